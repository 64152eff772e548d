// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What a session waits for: at most two sockets, an alarm, and a point in time.
struct PollTargets: Equatable {
    struct Target: Equatable {
        var fd: Int32
        /// poll(2) events.
        var events: Int16
    }

    var first: Target?
    var second: Target?
    /// Is readable when something has happened that no socket tells of. The blocking calls need not wake for it: what they wait for comes
    /// from the others.
    var alarm: Target?
    /// Microseconds of the monotonic clock; 0: at once; nil: none.
    var deadline: UInt64?

    /// Waits until something is ready or `limit` (microseconds; nil: none) has passed. False: it has passed.
    func wait(until limit: UInt64?) throws(Errno) -> Bool {
        let until = earliest(deadline, limit)
        let ready = try Readiness.wait(
            for: (first?.fd ?? -1, first?.events ?? 0), (second?.fd ?? -1, second?.events ?? 0), until: until)
        if ready { return true }
        // The session's own deadline is something to dispatch for.
        guard let limit else { return true }
        return Clock.now() < limit
    }
}

/// A session that a loop drives.
///
/// Its descriptor is readable from the end on, so that a loop which waits for it finds that it is over. A C program's is silent then.
protocol Pollable: AnyObject {
    var pollTargets: PollTargets { get }
    /// There is nothing to wait for any more, and never will be.
    var isOver: Bool { get }
    /// Nothing will happen any more: a loop of a Swift program ends.
    var isAtEnd: Bool { get }
    /// Does what can be done without waiting. Returns how many messages were taken, or a negative errno.
    func dispatch(_ ready: ReadyTargets) -> Int32
    var loops: SessionLoops { get set }
}

/// The loops that drive a session: the descriptor that stands for it, and those who have to know when its owner frees it.
struct SessionLoops {
    /// Tells that a mapping has become broken, or that something is covered for the moment. nil: the session has no device of its own.
    var alarm: Alarm?
    var alarmTarget: PollTargets.Target? { alarm.map { PollTargets.Target(fd: $0.fd, events: Int16(POLLIN)) } }
    fileprivate var descriptor: PollDescriptor?
    fileprivate(set) var attachments: [any PollAttachment] = []
    /// A C program owns the session. Its callbacks stay until it frees the session, and a session that is over has nothing to dispatch. In
    /// Swift callbacks go with the connection, since they may hold the session; and a loop is woken to find that it is over.
    fileprivate(set) var areOfC = false
}

extension Pollable {
    /// The session, for a C program.
    func forC() -> Self {
        loops.areOfC = true
        return self
    }

    /// The descriptor that stands for all that the session waits for; made when it is first asked for.
    func waitDescriptor() throws(ShmemError) -> Int32 {
        if let descriptor = loops.descriptor { return descriptor.fd }
        do throws(Errno) {
            let made = try PollDescriptor.make()
            loops.descriptor = made
            watch()
            return made.fd
        } catch {
            throw ShmemError(error.code, "no descriptor to wait on: \(Errno.text(error.code))")
        }
    }

    /// Has the descriptor wait for what the session waits for now. To be called whenever that may have changed.
    func watch() {
        guard let descriptor = loops.descriptor else { return }
        var targets = pollTargets
        if targets.first == nil, isAtEnd, !loops.areOfC { targets.deadline = 0 }
        descriptor.watch(targets)
    }

    /// Has the descriptor wait for nothing. To be called before sockets are closed: the other side of a fork may share one, and
    /// then closing it would not take it out of the epoll.
    func stopWatching() {
        loops.descriptor?.watch(PollTargets())
    }

    /// Has `body` called whenever what the session waits for may have changed: at the end of each dispatch, too. The descriptor must have
    /// been made.
    func whenWatched(_ body: @escaping () -> Void) {
        loops.descriptor?.onWatch = body
    }

    func attach(_ attachment: any PollAttachment) {
        loops.attachments.append(attachment)
    }

    func detach(_ attachment: any PollAttachment) {
        loops.attachments.removeAll { $0 === attachment }
    }

    /// The session was freed by its owner.
    func letLoopsGo() {
        let attachments = loops.attachments
        loops.attachments = []
        for attachment in attachments { attachment.sessionWasFreed() }
    }
}

/// A loop's hold on a session.
protocol PollAttachment: AnyObject {
    func sessionWasFreed()
}

/// One descriptor that stands for all that a session waits for: an epoll of its sockets and a timer.
final class PollDescriptor {
    private let epoll: FileDescriptor
    private let timer: FileDescriptor
    /// Microseconds.
    private static let retryPause: UInt64 = 100_000
    private var watched = PollTargets()
    var onWatch: (() -> Void)?
    /// A child of fork shares the epoll and the timer, and changes nothing for its parent.
    private let process = getpid()

    var fd: Int32 { epoll.raw }

    private init(epoll: consuming FileDescriptor, timer: consuming FileDescriptor) {
        self.epoll = epoll
        self.timer = timer
    }

    static func make() throws(Errno) -> PollDescriptor {
        let epoll = FileDescriptor(owning: try systemCall(.epollCreate) { epoll_create1(vhu_epoll_flags) })
        let timer = FileDescriptor(
            owning: try systemCall(.timerfdCreate) { timerfd_create(CLOCK_MONOTONIC, vhu_timerfd_flags) })
        _ = try systemCall(.epollControl) {
            vhu_epoll_control(epoll.raw, EPOLL_CTL_ADD, timer.raw, UInt32(POLLIN))
        }
        return PollDescriptor(epoll: epoll, timer: timer)
    }

    /// Makes the descriptor wait for `targets`. A descriptor that was closed meanwhile has left the epoll by itself.
    ///
    /// A socket that can't be waited for (the kernel has no memory, the user no watches left) is tried again before long.
    @_optimize(speed)
    func watch(_ targets: PollTargets) {
        onWatch?()
        guard targets != watched, getpid() == process else { return }
        var now = targets
        now.first = update(from: watched.first, to: targets.first)
        now.second = update(from: watched.second, to: targets.second)
        now.alarm = update(from: watched.alarm, to: targets.alarm)
        if now != targets {
            let retry = Clock.now() &+ PollDescriptor.retryPause
            now.deadline = min(targets.deadline ?? retry, retry)
        }
        if now.deadline != watched.deadline {
            // 0 disarms a timer, so "at once" is the earliest time there is.
            let when = now.deadline.map { max($0, 1) } ?? 0
            _ = try? systemCall(.timerfdSet) { vhu_timerfd_set(timer.raw, when) }
        }
        watched = now
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
