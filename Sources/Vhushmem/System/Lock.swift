// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// A mutex that guards state of an `Owner`. The library never holds it while it calls out.
///
/// The lock's holder has a `Held`, which only the lock gives out. State that the lock guards is `Guarded`, and a function that
/// needs the lock takes `held`. So the compiler refuses code that forgets the lock, or holds the lock of something else. In
/// debug builds a token also fits only the values of its own lock, and not those of another `Owner` of the same type. In other
/// builds all of this costs nothing.
///
/// Unchecked Sendable: threads share it by design.
struct Lock<Owner>: ~Copyable, @unchecked Sendable {
    private let mutex = Mutex()

    /// Shows that the lock is held. It does not escape the closure that gets it, so nothing can keep it.
    struct Held: ~Escapable {
        #if DEBUG
            fileprivate let lock: UInt
        #endif

        @_lifetime(borrow mutex)
        @inline(__always)
        fileprivate init(_ mutex: borrowing Mutex) {
            #if DEBUG
                lock = unsafe UInt(bitPattern: mutex.pointer)
            #endif
        }
    }

    /// A value that only a holder of the lock can reach.
    struct Guarded<Value: ~Copyable>: ~Copyable {
        private var value: Value
        #if DEBUG
            /// The address of the mutex with which the value was reached first; 0: it was not reached yet.
            private let lock = Atomic<UInt>(0)
        #endif

        @inline(__always)
        init(_ value: consuming Value) {
            self.value = value
        }

        subscript(held: Held) -> Value {
            @inline(__always) _read {
                check(held)
                yield value
            }
            @inline(__always) _modify {
                check(held)
                yield &value
            }
        }

        @inline(__always)
        private func check(_ held: Held) {
            #if DEBUG
                let (isFirst, first) = lock.compareExchange(expected: 0, desired: held.lock, ordering: .relaxed)
                precondition(isFirst || first == held.lock, "the lock of another object is held")
            #endif
        }
    }

    /// Lets go of the lock until the condition is signalled. It may also return without a signal.
    borrowing func wait(for condition: borrowing Condition, _ held: Held) {
        unsafe pthread_cond_wait(condition.pointer, mutex.pointer)
    }

    /// For a fork, which copies the lock: if the lock is held across the fork, the child finds the guarded state whole.
    borrowing func hold() {
        unsafe pthread_mutex_lock(mutex.pointer)
    }

    borrowing func letGo() {
        unsafe pthread_mutex_unlock(mutex.pointer)
    }

    @inline(__always)
    borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (Held) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        unsafe pthread_mutex_lock(mutex.pointer)
        defer { unsafe pthread_mutex_unlock(mutex.pointer) }
        return try body(Held(mutex))
    }

    /// nil: another thread holds the lock, and `body` did not run.
    borrowing func withLockIfFree<Result: ~Copyable>(_ body: (Held) -> Result) -> Result? {
        guard unsafe pthread_mutex_trylock(mutex.pointer) == 0 else { return nil }
        defer { unsafe pthread_mutex_unlock(mutex.pointer) }
        return body(Held(mutex))
    }
}

/// The memory of a pthread mutex.
@safe private struct Mutex: ~Copyable {
    let pointer: UnsafeMutablePointer<pthread_mutex_t>

    init() {
        unsafe pointer = .allocate(capacity: 1)
        // SAFETY: the memory is ours until deinit and is initialised before anything can lock it.
        unsafe pthread_mutex_init(pointer, nil)
    }

    deinit {
        unsafe pthread_mutex_destroy(pointer)
        unsafe pointer.deallocate()
    }
}

/// A condition that threads wait for while they hold a lock. Unchecked Sendable: threads share it by design.
@safe struct Condition: ~Copyable, @unchecked Sendable {
    fileprivate let pointer: UnsafeMutablePointer<pthread_cond_t>

    init() {
        unsafe pointer = .allocate(capacity: 1)
        // SAFETY: the memory is ours until deinit and is initialised before anything can wait for it.
        unsafe pthread_cond_init(pointer, nil)
    }

    deinit {
        unsafe pthread_cond_destroy(pointer)
        unsafe pointer.deallocate()
    }

    borrowing func wakeAll() {
        unsafe pthread_cond_broadcast(pointer)
    }
}
