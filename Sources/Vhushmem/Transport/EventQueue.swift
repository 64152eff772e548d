// SPDX-License-Identifier: BSD-3-Clause

/// What a session has to tell its program. Callbacks never nest: what comes while one runs waits, in order, until it has returned. What
/// comes before the program has set a callback waits too.
struct EventQueue<Event> {
    /// What waits to be told.
    enum Delivery {
        case event(Event)
        /// The end of something that the program began: calls its completion.
        case completion(() -> Void)
    }

    /// Whether the program wants events.
    enum Callback {
        case notYet, set, removed
    }

    /// Events that may wait. While a callback runs and so many wait, nothing that would make another is taken from the peer. Before the first
    /// callback is set, the oldest are dropped.
    static var limit: Int { 1024 }
    /// What is told in one turn of a loop, besides what happens in that turn.
    static var mostInATurn: Int { 64 }

    private var waiting: [Delivery] = []
    /// Where the order begins; not 0 only if events were dropped before the first callback is set.
    private var oldest = 0
    private(set) var completions = 0
    /// A callback is on the stack.
    private(set) var isTelling = false
    private(set) var callback = Callback.notYet
    /// Mappings have news that did not fit.
    var newsWait = false

    /// Nothing waits and no callback runs: an event can be told at once.
    @inline(__always)
    var isIdle: Bool { !isTelling && waiting.isEmpty }

    /// Something waits that can be told now.
    @inline(__always)
    var hasDue: Bool { waiting.isEmpty || isTelling ? false : hasWaiting }

    /// Something waits that there is a callback for.
    var hasWaiting: Bool { callback == .set ? !waiting.isEmpty : completions > 0 }

    /// Events are wanted, now or later.
    @inline(__always)
    var isWanted: Bool { callback != .removed }

    /// Nothing that makes an event is to be taken from the peer.
    @inline(__always)
    var isFull: Bool { isTelling && waiting.count >= EventQueue.limit }

    /// How many of `most` requests may be served, each of which makes an event.
    @inline(__always)
    func bound(_ most: Int32) -> Int32 {
        isTelling ? min(most, Int32(clamping: max(0, EventQueue.limit &- waiting.count))) : most
    }

    mutating func begin() { isTelling = true }
    mutating func end() { isTelling = false }

    /// A callback was set or taken away.
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
        // In its place, so that nothing moves: a program that never sets a callback comes here with each request.
        waiting[oldest] = .event(event)
        oldest = (oldest &+ 1) % waiting.count
    }

    mutating func keep(completion: @escaping () -> Void) {
        waiting.append(.completion(completion))
        completions = completions &+ 1
    }

    /// The completions that wait: for a session that goes. Events go with it.
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

    /// The next one that can be told.
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

/// A session that tells its program of events. A callback is never called inside a callback.
protocol EventTelling: Pollable {
    associatedtype Event
    var eventQueue: EventQueue<Event> { get set }
    /// Calls the program's callback, if there is one.
    func callBack(_ event: Event)
    /// There is nothing to wait for any more.
    var hasEnded: Bool { get }
    /// Nothing will be told any more: callbacks that may hold the session go.
    func letCallbacksGo()
}

extension EventTelling {
    /// What Swift programs call `dispatch`: a loop ends by what it throws, as soon as there is nothing more to tell.
    func dispatchInLoop(_ reason: @autoclosure () -> String) throws(ShmemError) -> Int {
        let taken = dispatch(.both)
        guard taken < 0, !eventQueue.hasDue else { return max(0, Int(taken)) }
        throw ShmemError(-taken, "there is nothing to dispatch: \(reason())")
    }
}

extension EventTelling {
    /// Tells an event, at once if no callback runs and nothing waits before it.
    @inline(__always)
    func announce(_ event: Event) {
        guard eventQueue.isIdle, eventQueue.callback == .set else { return eventQueue.keep(event) }
        eventQueue.begin()
        callBack(event)
        finishTelling()
    }

    /// Calls the completion of something that the program began, as soon as no callback runs.
    func complete(_ completion: @escaping () -> Void) {
        guard eventQueue.isIdle || (eventQueue.callback != .set && !eventQueue.isTelling) else {
            return eventQueue.keep(completion: completion)
        }
        eventQueue.begin()
        completion()
        finishTelling()
    }

    /// Tells what waits, up to a bound.
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

    /// Calls the program, who may free the session meanwhile. To be called while no callback runs.
    func tell(_ body: () -> Void) {
        eventQueue.begin()
        body()
        finishTelling()
    }

    /// Calls the program at once, for what can't wait: another callback may be on the stack. Events wait until it has returned.
    func callNow(_ body: () -> Void) {
        if eventQueue.isTelling { body() } else { tell(body) }
    }

    /// The same where the program answers, or refuses.
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

    /// The session was freed: the completions of what was under way are called now, or when the callback that runs has returned.
    func tellRest() {
        if eventQueue.hasDue { tellAll() }
    }

    /// A callback has returned. If it freed the session, no loop will tell what still waits: the completions of what was under way.
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
