// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What a session waits for: at most two sockets, an alarm, and a deadline.
struct PollTargets: Equatable {
    struct Target: Equatable {
        var fd: Int32
        /// poll(2) events.
        var events: Int16
    }

    var first: Target?
    var second: Target?
    /// Readable when something has happened that no socket shows. The blocking calls need not wake for it: they wait for what
    /// the others bring.
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
/// After the end its descriptor stays readable, so that a loop which waits for it finds that the session is over. A C program's
/// descriptor is silent then.
protocol Pollable: AnyObject {
    var pollTargets: PollTargets { get }
    /// There is nothing to wait for any more, and never will be.
    var isOver: Bool { get }
    /// Nothing will happen any more: a loop of a Swift program ends.
    var isAtEnd: Bool { get }
    /// Does all it can without waiting. Returns how many messages were taken, or a negative errno.
    func dispatch(_ ready: ReadyTargets) -> Int32
    var loops: SessionLoops { get set }
    /// The epoll for the session's descriptor.
    func makeWaitSet() throws(Errno) -> TargetSet
}

/// Tells whether a session may wait for something else now, for those that look at it in each turn of a loop. It is an object,
/// so that a look costs only two loads.
final class PollNews {
    /// The number changes whenever that may have changed.
    var changes: UInt32 = 1
    /// Dispatches that are under way. A loop inside a callback has to look each time.
    fileprivate(set) var dispatches: Int32 = 0
}

/// The loops that drive a session: the descriptor that stands for it, and those that must know when its owner frees it.
struct SessionLoops {
    let news = PollNews()
    /// The last turn that the session had in a loop.
    private var lastTurn = Turn.numberOfLast
    /// Wakes the loop when a mapping has become broken, or when something is covered for a while. nil: the session has no
    /// device of its own.
    var alarm: Alarm?
    var alarmTarget: PollTargets.Target? { alarm.map { PollTargets.Target(fd: $0.fd, events: Int16(POLLIN)) } }
    fileprivate(set) var descriptor: PollDescriptor?
    fileprivate(set) var attachments: [any PollAttachment] = []
    /// A C program owns the session. Its callbacks stay until it frees the session, and a session that is over has nothing to
    /// dispatch. In Swift, callbacks go with the connection, because they may hold the session; and a loop is woken to find
    /// that it is over.
    fileprivate(set) var areOfC = false

    /// A dispatch begins. Returns the session's share of the turn.
    @inline(__always)
    mutating func beginTurn() -> Turn {
        let turn = Turn(after: lastTurn)
        lastTurn = turn.number
        news.changes &+= 1
        news.dispatches &+= 1
        return turn
    }

    @inline(__always)
    func endTurn() { news.dispatches &-= 1 }
}

extension Pollable {
    /// The session, for a C program.
    func forC() -> Self {
        loops.areOfC = true
        return self
    }

    func makeWaitSet() throws(Errno) -> TargetSet { try TargetSet.make() }

    /// The descriptor that stands for all that the session waits for. The first call makes it.
    func waitDescriptor() throws(ShmemError) -> Int32 {
        if let descriptor = loops.descriptor { return descriptor.fd }
        do throws(Errno) {
            let made = try PollDescriptor.make(in: try makeWaitSet())
            loops.descriptor = made
            watch()
            return made.fd
        } catch {
            throw ShmemError(error.code, "cannot make a descriptor to wait on: \(Errno.text(error.code))")
        }
    }

    /// Has every loop wait for what the session waits for now. Call it whenever that may have changed.
    @inline(__always)
    func watch() {
        loops.news.changes &+= 1
        if loops.descriptor != nil { watchByDescriptor() }
    }

    @inline(never)
    private func watchByDescriptor() {
        guard let descriptor = loops.descriptor else { return }
        var targets = pollTargets
        if targets.first == nil, isAtEnd, !loops.areOfC { targets.deadline = 0 }
        descriptor.watch(targets)
    }

    /// Has every loop wait for nothing. Call it before sockets are closed: the other side of a fork may share one, and then the
    /// close would not take it out of the epoll.
    func stopWatching() {
        loops.news.changes &+= 1
        loops.descriptor?.watch(PollTargets())
        for attachment in loops.attachments { attachment.stopWatching() }
    }

    /// Calls `body` whenever the session may wait for something else, also at the end of each dispatch. The descriptor must
    /// exist.
    func whenWatched(_ body: @escaping () -> Void) {
        loops.descriptor?.onWatch = body
    }

    func attach(_ attachment: any PollAttachment) {
        loops.attachments.append(attachment)
    }

    func detach(_ attachment: any PollAttachment) {
        loops.attachments.removeAll { $0 === attachment }
    }

    /// The owner has freed the session.
    func letLoopsGo() {
        let attachments = loops.attachments
        loops.attachments = []
        for attachment in attachments { attachment.sessionWasFreed() }
    }
}

/// A loop's hold on a session.
protocol PollAttachment: AnyObject {
    func sessionWasFreed()
    /// Sockets are about to be closed.
    func stopWatching()
}

extension PollAttachment {
    /// For an attachment that waits for the session's descriptor.
    func stopWatching() {}
}
