// SPDX-License-Identifier: BSD-3-Clause

/// A value that threads share. Its lock is a pthread mutex, because ThreadSanitizer does not know the `Mutex` of
/// Synchronization.
///
/// Unchecked Sendable: the value is reached only with the lock held.
final class Shared<Value>: @unchecked Sendable {
    private let lock = Lock<Shared>()
    private var value: Lock<Shared>.Guarded<Value>

    init(_ value: Value) {
        self.value = Lock<Shared>.Guarded(value)
    }

    func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        lock.withLock { held in body(&value[held]) }
    }
}
