// SPDX-License-Identifier: BSD-3-Clause

/// How the program is told. A callback is never called inside a callback.
extension Frontend {
    /// Tells an event, at once if no callback runs and nothing waits before it.
    ///
    /// What a listener does while mappings are undone may end the connection: then its end is the last that is told.
    @inline(__always)
    func emit(_ event: FrontendEvent) {
        if !isConnected {
            guard case .disconnected = event else { return }
        }
        announce(event)
    }

    /// The same, also of a front-end that is without a connection.
    @inline(__always)
    func announce(_ event: FrontendEvent) {
        guard events.isIdle, let onEvent else { return events.keep(event) }
        events.begin()
        onEvent(self, event)
        finishTelling()
    }

    /// Calls the completion of something that the program began, as soon as no callback runs.
    func complete(_ completion: @escaping () -> Void) {
        guard events.isIdle || (onEvent == nil && !events.isTelling) else { return events.keep(completion: completion) }
        events.begin()
        completion()
        finishTelling()
    }

    /// A completion of the program's, called by way of `complete`.
    func outside<Outcome>(_ completion: @escaping (Outcome) -> Void) -> (Outcome) -> Void {
        { [self] outcome in complete { completion(outcome) } }
    }

    /// Tells what waits, up to a bound.
    @inline(never)
    func tellWaiting() {
        var told = 0
        while told < EventQueue<FrontendEvent>.mostInATurn, let delivery = events.take() {
            told = told &+ 1
            tell(delivery)
        }
    }

    private func tell(_ delivery: EventQueue<FrontendEvent>.Delivery) {
        events.begin()
        switch delivery {
        case .event(let event): onEvent?(self, event)
        case .completion(let completion): completion()
        }
        events.end()
    }

    /// A callback has returned. If it freed the front-end, no loop will tell what still waits: the completions of what was under way.
    @inline(__always)
    private func finishTelling() {
        events.end()
        if events.hasDue, hasEnded { tellAll() }
    }

    @inline(never)
    private func tellAll() {
        while let delivery = events.take() { tell(delivery) }
    }
}
