// SPDX-License-Identifier: BSD-3-Clause

/// Reports events to the program.
extension Frontend: DeviceSession {
    static func event(_ news: MappingNews) -> FrontendEvent {
        news.isBroken ? .broken(news.mapping) : .healed(news.mapping)
    }

    @inline(__always)
    func callBack(_ event: FrontendEvent) { onEvent?(self, event) }

    func letCallbacksGo() {
        guard !loops.areOfC else { return }
        if onEvent != nil { onEvent = nil }
        onRequest = nil
    }

    /// Tells an event of the connection. A listener may end the connection while mappings are undone. Then the end of the
    /// connection is the last event.
    @inline(never)
    func emit(_ event: FrontendEvent) { emitInline(event) }

    /// The same for what comes often.
    @inline(__always)
    func emitInline(_ event: FrontendEvent) {
        if !isConnected {
            guard case .disconnected = event else { return }
        }
        announce(event)
    }

    /// A completion of the program, called when no callback runs. It does not retain the front-end, which may go before the
    /// answer comes.
    func outside<Outcome>(_ completion: @escaping (Outcome) -> Void) -> (Outcome) -> Void {
        { [way] outcome in
            guard let frontend = way.target else { return completion(outcome) }
            frontend.complete { completion(outcome) }
        }
    }
}
