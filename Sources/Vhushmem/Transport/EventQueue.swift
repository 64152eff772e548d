// SPDX-License-Identifier: BSD-3-Clause

/// The events and completions that a session must report to its program. Callbacks never nest: an event that comes while one
/// runs waits, in order, until it has returned. Events also wait until the program has set a callback.
struct EventQueue<Event> {
    /// Something that waits to be reported.
    enum Delivery {
        case event(Event)
        /// The end of an operation that the program began: calls its completion.
        case completion(() -> Void)
    }

    /// Whether the program wants events.
    enum Callback {
        case notYet, set, removed
    }

    /// The most events that may wait. While a callback runs and so many wait, the session takes nothing from the peer that
    /// would make another. Before the first callback is set, the oldest are dropped.
    static var limit: Int { 1024 }
    /// The most that one turn of a loop reports, besides what happens in that turn.
    static var mostInATurn: Int { 64 }

    private var waiting: [Delivery] = []
    /// The index of the oldest; not 0 only if events were dropped before the first callback is set.
    private var oldest = 0
    private(set) var completions = 0
    /// A callback is on the stack.
    private(set) var isTelling = false
    private(set) var callback = Callback.notYet
    /// Mappings have news that did not fit.
    var newsWait = false

    /// Nothing waits and no callback runs: an event can be reported at once.
    @inline(__always)
    var isIdle: Bool { !isTelling && waiting.isEmpty }

    /// Something waits and can be reported now.
    @inline(__always)
    var hasDue: Bool { waiting.isEmpty || isTelling ? false : hasWaiting }

    /// Something waits, and there is a callback for it.
    var hasWaiting: Bool { callback == .set ? !waiting.isEmpty : completions > 0 }

    /// The program wants events, now or later.
    @inline(__always)
    var isWanted: Bool { callback != .removed }

    /// The session must take nothing from the peer that makes an event.
    @inline(__always)
    var isFull: Bool { isTelling && waiting.count >= EventQueue.limit }

    /// How many of `most` requests may be served. Each makes an event.
    @inline(__always)
    func bound(_ most: Int32) -> Int32 {
        isTelling ? min(most, Int32(clamping: max(0, EventQueue.limit &- waiting.count))) : most
    }

    mutating func begin() { isTelling = true }
    mutating func end() { isTelling = false }

    /// The program has set or removed a callback.
    mutating func callbackChanged(isSet: Bool) {
        var inOrder: [Delivery] = []
        for index in 0..<waiting.count {
            let delivery = waiting[(oldest &+ index) % waiting.count]
            if isSet || !delivery.isEvent { inOrder.append(delivery) }
        }
        waiting = inOrder
        oldest = 0
        callback = isSet ? .set : .removed
    }

    mutating func keep(_ event: Event) {
        guard isWanted else { return }
        guard callback == .notYet, waiting.count >= EventQueue.limit, waiting[oldest].isEvent else {
            return waiting.append(.event(event))
        }
        // The new event replaces the oldest, so that nothing moves: a program that never sets a callback comes here with each
        // request.
        waiting[oldest] = .event(event)
        oldest = (oldest &+ 1) % waiting.count
    }

    mutating func keep(completion: @escaping () -> Void) {
        waiting.append(.completion(completion))
        completions = completions &+ 1
    }

    /// The completions that wait, for a session that goes. The events are dropped.
    mutating func takeCompletions() -> [() -> Void] {
        var taken: [() -> Void] = []
        for delivery in waiting {
            if case .completion(let completion) = delivery { taken.append(completion) }
        }
        waiting = []
        oldest = 0
        completions = 0
        return taken
    }

    /// The next one that can be reported.
    mutating func take() -> Delivery? {
        guard hasDue, let index = waiting.firstIndex(where: { callback == .set || !$0.isEvent }) else { return nil }
        let delivery = waiting.remove(at: index)
        if index < oldest { oldest = oldest &- 1 }
        if !delivery.isEvent { completions = completions &- 1 }
        if waiting.isEmpty, waiting.capacity > EventQueue.mostInATurn { waiting = [] }
        return delivery
    }
}

extension EventQueue.Delivery {
    fileprivate var isEvent: Bool {
        if case .event = self { return true }
        return false
    }
}

/// A session that reports events to its program. It never calls a callback inside a callback.
protocol EventTelling: Pollable {
    associatedtype Event
    var eventQueue: EventQueue<Event> { get set }
    /// Calls the program's callback, if there is one.
    func callBack(_ event: Event)
    /// There is nothing to wait for any more.
    var hasEnded: Bool { get }
    /// Nothing will be reported any more: releases callbacks that may hold the session.
    func letCallbacksGo()
}

extension EventTelling {
    /// The `dispatch` of Swift programs: it throws, and so ends a loop, as soon as there is nothing more to report.
    func dispatchInLoop(_ reason: @autoclosure () -> String) throws(ShmemError) -> Int {
        let taken = dispatch(.both)
        guard taken < 0, !eventQueue.hasDue else { return max(0, Int(taken)) }
        throw ShmemError(-taken, "there is nothing to dispatch: \(reason())")
    }
}

extension EventTelling {
    /// Reports an event: at once, if no callback runs and nothing waits before it.
    @inline(__always)
    func announce(_ event: Event) {
        guard eventQueue.isIdle, eventQueue.callback == .set else { return eventQueue.keep(event) }
        eventQueue.begin()
        callBack(event)
        finishTelling()
    }

    /// Calls the completion of an operation that the program began, as soon as no callback runs.
    func complete(_ completion: @escaping () -> Void) {
        guard eventQueue.isIdle || (eventQueue.callback != .set && !eventQueue.isTelling) else {
            return eventQueue.keep(completion: completion)
        }
        eventQueue.begin()
        completion()
        finishTelling()
    }

    /// Reports what waits, up to a bound.
    @inline(never)
    func tellWaiting() {
        var told = 0
        while told < EventQueue<Event>.mostInATurn, let delivery = eventQueue.take() {
            told = told &+ 1
            tell(delivery)
        }
    }

    private func tell(_ delivery: EventQueue<Event>.Delivery) {
        eventQueue.begin()
        switch delivery {
        case .event(let event): callBack(event)
        case .completion(let completion): completion()
        }
        eventQueue.end()
        if isOver { letCallbacksGo() }
    }

    private var isOver: Bool { hasEnded && !eventQueue.hasWaiting }

    /// The end of the session was announced.
    func endWasAnnounced() {
        if isOver { letCallbacksGo() }
    }

    /// Calls the program, which may free the session meanwhile. Call it while no callback runs.
    func tell(_ body: () -> Void) {
        eventQueue.begin()
        body()
        finishTelling()
    }

    /// Calls the program at once, for what cannot wait: another callback may be on the stack. Events wait until it has
    /// returned.
    func callNow(_ body: () -> Void) {
        if eventQueue.isTelling { body() } else { tell(body) }
    }

    /// The same if the program answers, or refuses.
    func askNow<Answer: ~Copyable>(_ body: () throws(ShmemError) -> Answer?) throws(ShmemError) -> Answer? {
        var result: Result<Answer?, ShmemError> = .success(nil)
        callNow {
            do throws(ShmemError) {
                result = .success(try body())
            } catch {
                result = .failure(error)
            }
        }
        return try result.get()
    }

    /// The session was freed. The completions of pending operations are called now, or when the running callback has returned.
    func tellRest() {
        if eventQueue.hasDue { tellAll() }
    }

    /// A callback has returned. If it freed the session, no loop will report what still waits, so this calls the completions of
    /// pending operations.
    @inline(__always)
    private func finishTelling() {
        eventQueue.end()
        loops.news.changes &+= 1
        if eventQueue.hasDue, hasEnded { tellAll() }
    }

    @inline(never)
    private func tellAll() {
        while let delivery = eventQueue.take() { tell(delivery) }
    }
}
