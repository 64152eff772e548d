// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// An epoll of all that a session waits for: one descriptor that stands for its sockets and its alarm. The owner takes care of
/// the deadline.
final class TargetSet {
    private let epoll: OwnedDescriptor
    /// Microseconds.
    private static let retryPause: UInt64 = 100_000
    private var watched = PollTargets()
    /// A child of fork shares the epoll, and changes nothing for its parent.
    private let process = getpid()

    var fd: Int32 { epoll.raw }

    private init(_ epoll: consuming OwnedDescriptor) {
        self.epoll = epoll
    }

    static func make() throws(Errno) -> TargetSet {
        TargetSet(OwnedDescriptor(owning: try systemCall(.epollCreate) { epoll_create1(vhu_epoll_flags) }))
    }

    /// Makes the epoll wait for `targets`. A descriptor that was closed meanwhile has left it by itself. Returns the latest
    /// time of the next look, as `PollTargets.deadline`.
    ///
    /// If a socket cannot be waited for (the kernel has no memory, the user no watches left), it is tried again soon.
    @_optimize(speed)
    func watch(_ targets: PollTargets) -> UInt64? {
        guard targets != watched, getpid() == process else { return watched.deadline }
        var now = targets
        now.first = update(from: watched.first, to: targets.first)
        now.second = update(from: watched.second, to: targets.second)
        now.alarm = update(from: watched.alarm, to: targets.alarm)
        if now != targets { now.deadline = earliest(targets.deadline, Clock.now() &+ TargetSet.retryPause) }
        watched = now
        return now.deadline
    }

    /// Waits for one more descriptor as long as the set lives.
    func insert(_ fd: Int32) throws(Errno) {
        _ = try systemCall(.epollControl) { vhu_epoll_control(epoll.raw, EPOLL_CTL_ADD, fd, UInt32(POLLIN)) }
    }

    /// Returns what the epoll waits for now.
    private func update(from old: PollTargets.Target?, to new: PollTargets.Target?) -> PollTargets.Target? {
        if let old, old.fd != new?.fd { _ = control(EPOLL_CTL_DEL, old.fd, 0) }
        guard let new, new != old else { return new }
        let operation = old?.fd == new.fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD
        return control(operation, new.fd, UInt32(truncatingIfNeeded: Int32(new.events))) ? new : nil
    }

    private func control(_ operation: Int32, _ fd: Int32, _ events: UInt32) -> Bool {
        do throws(Errno) {
            _ = try systemCall(.epollControl) { vhu_epoll_control(epoll.raw, operation, fd, events) }
            return true
        } catch {
            switch (operation, error.code) {
            case (EPOLL_CTL_MOD, ENOENT): return control(EPOLL_CTL_ADD, fd, events)
            case (EPOLL_CTL_ADD, EEXIST): return control(EPOLL_CTL_MOD, fd, events)
            case (EPOLL_CTL_DEL, _): return true
            default:
                Log.warning("cannot wait for a socket: \(Errno.text(error.code)) (errno \(error.code))")
                return false
            }
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

    private init(_ targets: TargetSet, timer: consuming OwnedDescriptor) {
        self.targets = targets
        self.timer = timer
    }

    static func make() throws(Errno) -> PollDescriptor {
        let set = try TargetSet.make()
        let timer = OwnedDescriptor(
            owning: try systemCall(.timerfdCreate) { timerfd_create(CLOCK_MONOTONIC, vhu_timerfd_flags) })
        try set.insert(timer.raw)
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
