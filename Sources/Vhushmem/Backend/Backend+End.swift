// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: How a connection ends

extension Backend {
    func lost(_ doing: StaticString, _ error: Errno) -> ShmemError {
        .lost(doing, "the connection to the front-end", error)
    }

    /// Ends the connection; a listener goes on listening.
    func drop(_ error: ShmemError) {
        guard let connection, !work.contains(.ending) else { return }
        work.insert(.ending)
        // Requests that the device makes while its queues are stopped get no answer any more.
        closeChannel(connection, Errno(ENOTCONN))
        // Chains that the device gives back now still reach the driver.
        for queue in queues { pause(queue) }
        work.remove(.ending)
        // A callback may have freed the back-end.
        guard self.connection === connection else { return }
        stopWatching()
        forgetQueues()
        move(to: .idle)
        ending = error
        // This comes before the callback, which may bring a new connection under the same number.
        watch()
        emit(.disconnected(error))
        // Without a callback nothing is reported, and the handlers go now.
        if onEvent == nil { letCallbacksGo() }
    }

    /// Callbacks and handlers may hold the back-end. They go with the connection, unless another one comes by itself or has
    /// come meanwhile.
    func letCallbacksGo() {
        guard !loops.areOfC, connection == nil, acceptor == nil else { return }
        callbacksWent = callbacksWent || onEvent != nil || handlers.areSet
        if onEvent != nil { onEvent = nil }
        handlers = BackendHandlers()
    }

    /// Closes everything without an event and stops every loop that drives it. Calls that have no outcome yet end with
    /// ENOTCONN.
    public func close() {
        // They go last: code that runs when they go may dispatch, and must find that the back-end is over.
        let callbacks = (onEvent, handlers)
        defer { withExtendedLifetime(callbacks) {} }
        onEvent = nil
        handlers = BackendHandlers()
        if let connection { closeChannel(connection, Errno(ENOTCONN)) }
        stopWatching()
        forgetQueues()
        move(to: .freed)
        acceptor = nil
        watch()
        letLoopsGo()
        tellRest()
    }
}
