// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A pthread mutex. Never held while calling out of the library. Unchecked Sendable: it is what threads share it for.
struct Lock: ~Copyable, @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    init() {
        mutex = .allocate(capacity: 1)
        // SAFETY: the memory is ours until deinit and is initialised before anything can lock it.
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Lets go of the lock, which the caller holds, until the condition is signalled; it may also return without that.
    borrowing func wait(for condition: borrowing Condition) {
        pthread_cond_wait(condition.pointer, mutex)
    }

    @inline(__always)
    borrowing func withLock<Result: ~Copyable, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }
}

/// What threads that hold a lock wait for. Unchecked Sendable: it is what threads share it for.
struct Condition: ~Copyable, @unchecked Sendable {
    fileprivate let pointer: UnsafeMutablePointer<pthread_cond_t>

    init() {
        pointer = .allocate(capacity: 1)
        // SAFETY: the memory is ours until deinit and is initialised before anything can wait for it.
        pthread_cond_init(pointer, nil)
    }

    deinit {
        pthread_cond_destroy(pointer)
        pointer.deallocate()
    }

    borrowing func wakeAll() {
        pthread_cond_broadcast(pointer)
    }
}
