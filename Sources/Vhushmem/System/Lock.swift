// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// A mutex that guards state of an `Owner`. Never held while calling out of the library.
///
/// Who holds it has a `Held`, which only the lock hands out. State that it guards is `Guarded`, and a function that needs the lock takes
/// `held`: so the compiler refuses whoever forgets it, or holds the lock of something else. In debug builds a token also fits the values
/// of its own lock alone, not those of another `Owner` of the same type. In other builds all of this costs nothing.
///
/// Unchecked Sendable: it is what threads share it for.
struct Lock<Owner>: ~Copyable, @unchecked Sendable {
    private let mutex = Mutex()

    /// Shows that the lock is held. It cannot be kept: it does not escape the closure that it is given to.
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

    /// A value that only those reach who hold the lock.
    struct Guarded<Value: ~Copyable>: ~Copyable {
        private var value: Value
        #if DEBUG
            /// The address of the mutex with which it was reached first; 0: it was not yet.
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

    /// Lets go of the lock until the condition is signalled; it may also return without that.
    borrowing func wait(for condition: borrowing Condition, _ held: Held) {
        unsafe pthread_cond_wait(condition.pointer, mutex.pointer)
    }

    /// For a fork, which copies the lock: held across it, a child finds what it guards whole.
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

/// What threads that hold a lock wait for. Unchecked Sendable: it is what threads share it for.
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
