// SPDX-License-Identifier: BSD-3-Clause

/// How a worker on any thread wakes a task that waits for a session: one of them, which then looks what there is.
final class Doorbell: Sendable {
    private enum State {
        case silent
        /// Rung while nobody waited.
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

    /// Wakes `waiter`, in the place of the one before, when it is rung; at once if it was. nil: nobody waits.
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
