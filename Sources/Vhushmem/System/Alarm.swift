// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// Wakes the loop that drives a session from anywhere, signal handlers among it.
final class Alarm {
    private let eventfd: OwnedDescriptor
    private let isRaised = Atomic(false)

    var fd: Int32 { eventfd.raw }

    private init(_ eventfd: consuming OwnedDescriptor) {
        self.eventfd = eventfd
    }

    static func make() throws(Errno) -> Alarm {
        Alarm(try Readiness.makeEventfd())
    }

    func raise() {
        var one: UInt64 = 1
        // It does not wait. What is full is signalled.
        _ = try? systemCall(.write) { unsafe write(eventfd.raw, &one, 8) }
        // After the write: a readable eventfd without the flag would keep a loop awake for ever.
        isRaised.store(true, ordering: .releasing)
    }

    /// Whether it was raised since it was last asked.
    @inline(__always)
    func wasRaised() -> Bool {
        isRaised.load(ordering: .relaxed) && silence()
    }

    private func silence() -> Bool {
        // Before the read: if it is raised in between, the flag stays and one more look finds nothing new.
        let wasRaised = isRaised.exchange(false, ordering: .acquiringAndReleasing)
        _ = try? systemCall(.read) { vhu_read_count(eventfd.raw) }
        return wasRaised
    }
}
