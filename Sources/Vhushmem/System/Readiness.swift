// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Clocks and the calls that wait.
enum Clock {
    /// Microseconds of CLOCK_MONOTONIC, which is also GLib's monotonic time.
    static func now() -> UInt64 {
        vhu_monotonic_microseconds()
    }
}

/// The earlier of two points in time. nil means never.
func earliest(_ one: UInt64?, _ other: UInt64?) -> UInt64? {
    guard let one, let other else { return one ?? other }
    return min(one, other)
}

/// Which of two descriptors may be ready. The others need no attempt.
struct ReadyTargets: OptionSet {
    let rawValue: UInt8
    static let first = ReadyTargets(rawValue: 1)
    static let second = ReadyTargets(rawValue: 2)
    static let both: ReadyTargets = [.first, .second]
}

enum Readiness {
    /// Waits until one of at most two descriptors is ready for its poll(2) events (a descriptor of -1 is passed over), or until
    /// `deadline` (microseconds; nil: for ever). False: the time is up.
    static func wait(
        for first: (fd: Int32, events: Int16), _ second: (fd: Int32, events: Int16) = (-1, 0), until deadline: UInt64?
    ) throws(Errno) -> Bool {
        try !which(first, second, until: deadline).isEmpty
    }

    /// The same, and tells which are ready. Empty: the time is up.
    static func which(
        _ first: (fd: Int32, events: Int16), _ second: (fd: Int32, events: Int16), until deadline: UInt64?
    ) throws(Errno) -> ReadyTargets {
        while true {
            var timeout: Int32 = -1
            if let deadline {
                let now = Clock.now()
                timeout = deadline > now ? Int32(clamping: (deadline &- now &+ 999) / 1000) : 0
            }
            let ready = try pollOnce(first, second, timeout)
            if !ready.isEmpty { return ready }
            if let deadline, Clock.now() >= deadline { return [] }
        }
    }

    private static func pollOnce(
        _ first: (fd: Int32, events: Int16), _ second: (fd: Int32, events: Int16), _ timeout: Int32
    ) throws(Errno) -> ReadyTargets {
        var targets = (
            pollfd(fd: first.fd, events: first.events, revents: 0), pollfd(fd: second.fd, events: second.events, revents: 0)
        )
        _ = try systemCall(.poll) { () -> Int32 in
            let result = unsafe withUnsafeMutableBytes(of: &targets) { bytes in
                // SAFETY: a tuple of two equal structs is laid out as an array of them.
                unsafe poll(bytes.baseAddress?.assumingMemoryBound(to: pollfd.self), 2, timeout)
            }
            // After EINTR the remaining time must be computed again: the caller does that.
            return result == -1 && vhu_errno() == EINTR ? 0 : result
        }
        var ready: ReadyTargets = []
        if targets.0.revents != 0 { ready.insert(.first) }
        if targets.1.revents != 0 { ready.insert(.second) }
        return ready
    }

    /// Whether a write would neither wait nor fail. A pipe without a reader is ready for both.
    static func canWrite(_ fd: Int32) throws(Errno) -> Bool {
        var target = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        _ = try systemCall(.poll) { unsafe poll(&target, 1, 0) }
        return target.revents == Int16(POLLOUT)
    }

    /// Whether a read would not wait: there are bytes, or the end, or an error that a read reports.
    static func canRead(_ fd: Int32) -> Bool {
        var target = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        return (try? systemCall(.poll) { unsafe poll(&target, 1, 0) }) != 0
    }

    static func makeEventfd() throws(Errno) -> OwnedDescriptor {
        OwnedDescriptor(owning: try systemCall(.eventfd) { eventfd(0, vhu_eventfd_flags) })
    }
}
