// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// An epoll of all that a session waits for: one descriptor that stands for its sockets and its alarm, and for others that the
/// session inserts. Each has a tag. The owner takes care of the deadline.
final class TargetSet {
    private let epoll: OwnedDescriptor
    /// The most descriptors that one look reports.
    static let most = 64
    /// Microseconds.
    private static let retryPause: UInt64 = 100_000
    private var watched = PollTargets()
    /// The epoll waits for all of them. If not, what it does not report may be ready nevertheless.
    private(set) var isWhole = true
    /// A child of fork shares the epoll, and changes nothing for its parent.
    private let process = getpid()

    var fd: Int32 { epoll.raw }

    /// The tags of the targets. A session's own begin at 0.
    enum Tag {
        static let first = UInt32.max
        static let second = first &- 1
        static let alarm = first &- 2
        static let timer = first &- 3
        /// An answer that a back-end waits for.
        static let answer = first &- 4
    }

    private init(_ epoll: consuming OwnedDescriptor) {
        self.epoll = epoll
    }

    static func make() throws(Errno) -> TargetSet {
        TargetSet(OwnedDescriptor(owning: try systemCall(.epollCreate) { epoll_create1(vhu_epoll_flags) }))
    }

    // MARK: The targets

    /// Makes the epoll wait for `targets`. A descriptor that was closed meanwhile has left it by itself. Returns the latest
    /// time of the next look, as `PollTargets.deadline`.
    ///
    /// If a socket cannot be waited for (the kernel has no memory, the user no watches left), it is tried again soon.
    @_optimize(speed)
    func watch(_ targets: PollTargets) -> UInt64? {
        guard targets != watched, getpid() == process else { return watched.deadline }
        var now = targets
        now.first = update(from: watched.first, to: targets.first, Tag.first)
        // The second may be this epoll itself.
        if targets.second?.fd != fd, watched.second?.fd != fd {
            now.second = update(from: watched.second, to: targets.second, Tag.second)
        }
        now.alarm = update(from: watched.alarm, to: targets.alarm, Tag.alarm)
        isWhole = now == targets
        if !isWhole { now.deadline = earliest(targets.deadline, Clock.now() &+ TargetSet.retryPause) }
        watched = now
        return now.deadline
    }

    /// Returns what the epoll waits for now.
    private func update(
        from old: PollTargets.Target?, to new: PollTargets.Target?, _ tag: UInt32
    ) -> PollTargets.Target? {
        if let old, old.fd != new?.fd { _ = change(EPOLL_CTL_DEL, old.fd, 0, tag) }
        guard let new, new != old else { return new }
        let operation = old?.fd == new.fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD
        return change(operation, new.fd, UInt32(truncatingIfNeeded: Int32(new.events)), tag) ? new : nil
    }

    private func change(_ operation: Int32, _ fd: Int32, _ events: UInt32, _ tag: UInt32) -> Bool {
        do throws(Errno) {
            try control(operation, fd, events, tag: tag)
            return true
        } catch {
            switch (operation, error.code) {
            case (EPOLL_CTL_MOD, ENOENT): return change(EPOLL_CTL_ADD, fd, events, tag)
            case (EPOLL_CTL_ADD, EEXIST): return change(EPOLL_CTL_MOD, fd, events, tag)
            case (EPOLL_CTL_DEL, _): return true
            default:
                Log.warning("cannot wait for a socket: \(Errno.text(error.code)) (errno \(error.code))")
                return false
            }
        }
    }

    // MARK: Others

    /// `once`: report each signal once, whether it is read or not. Throws EPERM for a file that is always ready.
    func insert(_ fd: Int32, tag: UInt32, once: Bool = false) throws(Errno) {
        try control(EPOLL_CTL_ADD, fd, UInt32(POLLIN) | (once ? vhu_epoll_once : 0), tag: tag)
    }

    /// Call it before a descriptor is closed: the peer shares the descriptor, so the epoll would keep it. False: this process is
    /// a child of fork, and nothing was done.
    @discardableResult
    func remove(_ fd: Int32) -> Bool {
        guard getpid() == process else { return false }
        _ = try? control(EPOLL_CTL_DEL, fd, 0, tag: 0)
        return true
    }

    /// `events`: those of poll(2).
    private func control(_ operation: Int32, _ fd: Int32, _ events: UInt32, tag: UInt32) throws(Errno) {
        _ = try systemCall(.epollControl) { vhu_epoll_control(epoll.raw, operation, fd, events, tag) }
    }

    /// Calls `body` with the tags of those that are ready, `most` of them at a time. Waits at most `limit` milliseconds for the
    /// first one; -1: no limit. Returns how many there were; 0: the time is up, or a signal came.
    func forEachReady(within limit: Int32 = 0, _ body: (UInt32) -> Void) -> Int {
        unsafe withUnsafeTemporaryAllocation(of: UInt32.self, capacity: TargetSet.most) { tags in
            let found = try? systemCall(.epollWait) { () -> Int32 in
                // SAFETY: the buffer has the room that vhu_epoll_ready_tags fills at the most.
                let count = unsafe vhu_epoll_ready_tags(epoll.raw, tags.baseAddress, limit)
                return count == -1 && vhu_errno() == EINTR ? 0 : count
            }
            let count = Int(found ?? 0)
            for index in 0..<count { unsafe body(tags[index]) }
            return count
        }
    }
}

/// One descriptor that stands for all that a session waits for: such an epoll, with a timer in it.
final class PollDescriptor {
    private let targets: TargetSet
    private let timer: OwnedDescriptor
    /// The time to which the timer is set.
    private var deadline: UInt64?
    var onWatch: (() -> Void)?
    /// A child of fork shares the timer, and changes nothing for its parent.
    private let process = getpid()

    var fd: Int32 { targets.fd }
    /// The epoll waits for all that the session waits for.
    var isWhole: Bool { targets.isWhole }

    private init(_ targets: TargetSet, timer: consuming OwnedDescriptor) {
        self.targets = targets
        self.timer = timer
    }

    /// `set`: the session may have others in it.
    static func make(in set: TargetSet) throws(Errno) -> PollDescriptor {
        let timer = OwnedDescriptor(
            owning: try systemCall(.timerfdCreate) { timerfd_create(CLOCK_MONOTONIC, vhu_timerfd_flags) })
        try set.insert(timer.raw, tag: TargetSet.Tag.timer)
        return PollDescriptor(set, timer: timer)
    }

    /// Makes the descriptor wait for `targets`.
    @_optimize(speed)
    func watch(_ targets: PollTargets) {
        onWatch?()
        let next = self.targets.watch(targets)
        guard next != deadline, getpid() == process else { return }
        deadline = next
        // 0 disarms a timer, so "at once" is the earliest time possible.
        let when = next.map { max($0, 1) } ?? 0
        _ = try? systemCall(.timerfdSet) { vhu_timerfd_set(timer.raw, when) }
    }
}
