// SPDX-License-Identifier: BSD-3-Clause

/// Polls the queues whose driver does not kick: a front-end says so if it gives no descriptor with SET_VRING_KICK. There is one
/// deadline for all such queues, and the loop waits for it. It comes soon after something was found, and later after nothing
/// was.
struct QueuePolling {
    /// Microseconds.
    private static let shortestPause: UInt64 = 1_000
    private static let longestPause: UInt64 = 16_000

    /// The time of the next look (microseconds); nil: there is no such queue.
    private(set) var next: UInt64?
    private var pause = shortestPause

    /// A queue of this kind has begun to run.
    mutating func begin() {
        pause = QueuePolling.shortestPause
        next = Clock.now() &+ pause
    }

    mutating func end() { next = nil }

    mutating func looked(found: Bool) {
        pause = found ? QueuePolling.shortestPause : min(pause &* 2, QueuePolling.longestPause)
        next = Clock.now() &+ pause
    }
}

extension Backend {
    /// Looks at the queues whose driver does not kick, when the time has come.
    func pollQueues() {
        guard let next = polling.next, Clock.now() >= next else { return }
        guard !protocolFeatures.contains(.inbandNotifications) else { return polling.end() }
        var arePolled = false
        var found = false
        for queue in queues where queue.isRunning {
            guard case .withoutDescriptor = queue.setup.kick else { continue }
            arePolled = true
            if queue.ring?.hasNews() == true {
                found = true
                look(at: queue)
            }
        }
        if arePolled { polling.looked(found: found) } else { polling.end() }
    }
}
