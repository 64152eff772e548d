// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// Wakes the loop that drives a session. Any thread may raise it, and a signal handler too.
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
        // The write does not wait. A full counter is signalled already.
        _ = try? systemCall(.write) { unsafe write(eventfd.raw, &one, 8) }
        // The flag is set after the write: a readable eventfd without the flag would keep a loop awake for ever.
        isRaised.store(true, ordering: .releasing)
    }

    /// Whether it was raised since the last look.
    @inline(__always)
    func wasRaised() -> Bool {
        isRaised.load(ordering: .relaxed) && silence()
    }

    private func silence() -> Bool {
        // The flag is cleared before the read. If the alarm is raised in between, the flag stays, and one more look finds
        // nothing new.
        let wasRaised = isRaised.exchange(false, ordering: .acquiringAndReleasing)
        _ = try? systemCall(.read) { vhu_read_count(eventfd.raw) }
        return wasRaised
    }
}
