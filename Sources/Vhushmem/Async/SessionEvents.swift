// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The events of a front-end, a back-end or a channel, as a sequence. Taking the next element drives the session: while a task
/// waits for one, the session serves its peer.
///
/// The sequence ends behind the event of the end of the connection, unless the session goes on to the next one, and when the
/// session is closed. A cancelled task gets `CancellationError`.
///
/// A session has one order of events: two loops share them, and each event goes to one of them. The sequence replaces
/// `onEvent`, and an `onEvent` that is set later replaces the sequence.
///
/// While 1,024 events wait, the session serves nothing that would make more, unless a task waits for an answer. Of more than
/// 2,048 the oldest are dropped.
public struct SessionEvents<Event>: AsyncSequence {
    /// One event.
    public typealias Element = Event
    /// `CancellationError` or `ShmemError`.
    public typealias Failure = any Error

    let session: any TaskSession
    let buffer: EventBuffer<Event>

    /// Begins to take events. Use it where the session is.
    ///
    /// - Returns: the iterator that takes them.
    public func makeAsyncIterator() -> Iterator {
        Iterator(session: session, buffer: buffer)
    }

    /// Takes one event after the other.
    public struct Iterator: AsyncIteratorProtocol {
        let session: any TaskSession
        let buffer: EventBuffer<Event>

        /// Takes the next event.
        ///
        /// - Parameter actor: where the session is used, and this runs.
        /// - Returns: the event; nil: there will be none.
        /// - Throws: `CancellationError`, and `ShmemError` if the session cannot be waited for (EMFILE, ENFILE, ENOMEM).
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Event? {
            try await session.nextEvent(buffer)
        }
    }
}

/// Events that no loop has taken yet.
protocol EventBuffering: AnyObject {
    var isFull: Bool { get }
}

final class EventBuffer<Event>: EventBuffering {
    /// While so many wait, the session serves nothing that would make more. One dispatch makes more than one, so there may be a
    /// few more.
    static var mark: Int { 1024 }
    /// Beyond that the oldest are dropped.
    static var limit: Int { 2048 }

    private var events: [Event] = []
    /// The index of the oldest in `events`.
    private var first = 0
    var count: Int { events.count - first }
    var isFull: Bool { count >= EventBuffer.mark }

    func append(_ event: Event) {
        if count >= EventBuffer.limit { first += 1 }
        events.append(event)
        trim()
    }

    func take() -> Event? {
        guard first < events.count else { return nil }
        defer {
            first += 1
            trim()
        }
        return events[first]
    }

    private func trim() {
        guard first >= EventBuffer.limit || first == events.count else { return }
        events.removeFirst(first)
        first = 0
    }
}

/// A session that tasks can wait for.
protocol TaskSession: Pollable {
    /// No connection, and no way to one.
    var isUnconnected: Bool { get }
    /// The owner has closed it.
    var isClosed: Bool { get }
    /// There was a connection, there will be none any more, and all events were reported.
    var isFinished: Bool { get }
    /// The reason why the last connection ended; nil: it has not, or the owner closed it.
    var ending: ShmemError? { get }
}

extension TaskSession {
    nonisolated(nonsending) func nextEvent<Event>(_ buffer: EventBuffer<Event>) async throws -> Event? {
        while true {
            let wasFull = buffer.isFull
            if let event = buffer.take() {
                if wasFull { tasks.arm() }
                return event
            }
            if isFinished { return nil }
            try await drive { [self] in buffer.count > 0 || isFinished }
        }
    }

    /// `listen` sets the session's callback.
    func makeEvents<Event>(_ listen: (@escaping (Event) -> Void) -> Void) -> SessionEvents<Event> {
        let tasks = tasks
        let buffer = tasks.events as? EventBuffer<Event> ?? EventBuffer<Event>()
        tasks.events = buffer
        listen { [weak tasks] event in
            buffer.append(event)
            tasks?.look()
        }
        return SessionEvents(session: self, buffer: buffer)
    }

    nonisolated(nonsending) func serveUntilTheEnd() async throws {
        guard !isUnconnected || isClosed else {
            throw ending ?? ShmemError(ENOTCONN, "there is no connection to serve, and none is awaited")
        }
        try await drive { [self] in isClosed || isUnconnected }
        if !isClosed, let ending { throw ending }
    }
}
