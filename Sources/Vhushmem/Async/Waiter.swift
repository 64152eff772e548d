// SPDX-License-Identifier: BSD-3-Clause

/// One suspension of one task. Any thread may wake it.
final class Waiter: Sendable {
    private enum State {
        case notYet
        case suspended(CheckedContinuation<Void, Never>)
        /// Woken, maybe before the task was suspended.
        case woken
    }

    private let state = Shared(State.notYet)

    /// Suspends the task until it is woken or cancelled.
    nonisolated(nonsending) func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isWoken = state.withLock { state in
                    if case .woken = state { return true }
                    state = .suspended(continuation)
                    return false
                }
                if isWoken { continuation.resume() }
            }
        } onCancel: {
            wake()
        }
    }

    func wake() {
        let continuation = state.withLock { state -> CheckedContinuation<Void, Never>? in
            defer { state = .woken }
            if case .suspended(let continuation) = state { return continuation }
            return nil
        }
        continuation?.resume()
    }
}
