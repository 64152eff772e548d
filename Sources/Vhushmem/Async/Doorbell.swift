// SPDX-License-Identifier: BSD-3-Clause

/// A worker on any thread rings it to wake a task that waits for a session. It wakes one task, which then looks for work.
final class Doorbell: Sendable {
    private enum State {
        case silent
        /// It rang while nothing waited.
        case rung
        case waited(Waiter)
    }

    private let state = Shared(State.silent)

    func ring() {
        let waiter = state.withLock { state -> Waiter? in
            defer { state = .rung }
            if case .waited(let waiter) = state { return waiter }
            return nil
        }
        waiter?.wake()
    }

    /// Wakes `waiter`, which replaces the last one, when it rings; at once if it rang before. nil: nothing waits.
    func arm(_ waiter: Waiter?) {
        let isRung = state.withLock { state in
            if case .rung = state, waiter == nil { return false }
            if case .rung = state {
                state = .silent
                return true
            }
            state = waiter.map { .waited($0) } ?? .silent
            return false
        }
        if isRung { waiter?.wake() }
    }
}
