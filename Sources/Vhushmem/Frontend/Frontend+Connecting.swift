// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The beginning and the end of connections, and the time between one back-end and the next.
extension Frontend {
    /// Begins a connection, or listens for one.
    func open() throws(Errno) {
        if let socket = address.socket.take() { return talk(through: socket) }
        guard let path = address.path else { return }
        if options.isServer {
            move(to: .listening(try Acceptor.make(at: path)))
        } else {
            talk(through: try Socket.connect(to: path))
        }
    }

    /// A back-end may have connected.
    func accept() {
        do throws(Errno) {
            guard let socket = try nextPeer() else { return }
            talk(through: socket)
        } catch {
            end(ShmemError(error.code, "cannot accept a back-end: \(Errno.text(error.code))"))
        }
    }

    private func nextPeer() throws(Errno) -> OwnedDescriptor? {
        guard case .listening(let acceptor) = phase else { return nil }
        return try acceptor.accept("back-end")
    }

    private func talk(through socket: consuming OwnedDescriptor) {
        let connection = Connection(socket: socket, options: options, closes: device.state.closes)
        history.counters.connections &+= 1
        move(to: .shakingHands(connection))
        shakeHands(on: connection)
    }

    // MARK: End

    /// Ends the connection. The program is told when nothing is mapped any more, which may take some turns of the loop.
    func end(_ error: ShmemError) {
        guard !isLost, !isAway else { return }
        let comesBack = setup.wasReady && options.reconnectIntervalLimit.count > 0
        endConnection(error, .ending(ConnectionEnd(error: error, comesBack: comesBack, wasUp: isReady)))
        guard case .ending = phase else { return }
        undoMappings()
        watch()
    }

    /// Ends the connection, and looks for no other back-end. `unmaps`: nothing is mapped any more when this returns.
    func endForGood(_ error: ShmemError, unmaps: Bool = true) {
        if hasEnded { return }
        endConnection(error, .over)
        setup.isUndoing = false
        if unmaps, !options.keepsMappings || setup.undoesAtEnd { device.unmapAll() }
        watch()
        emit(.disconnected(error))
        endWasAnnounced()
    }

    /// Drops the connection.
    private func endConnection(_ error: ShmemError, _ next: Phase) {
        let wasResetting = setup.reset == .answer
        history.ending = error
        history.negotiated = negotiated
        history.channelLoss = nil
        address.socket = nil
        stopWatching()
        let unanswered = connection?.close() ?? []
        move(to: next)
        // The back-end may have lost the connection before it heard of the reset.
        setup.reset = isAway && setup.reset != .none ? .backend : .none
        setup.isAnswered = false
        setup.tellsChannelLoss = false
        setup.memory.told = []
        setup.shares.connectionEnded(isForGood: !isAway)
        // The calls below may dispatch. The connection is gone by then, and until `undoMappings` dispatch does nothing about
        // it.
        if wasResetting { setup.forgetRunning() }
        if !options.keepsMappings || wasResetting || setup.isUndoing { setup.undoesAtEnd = true }
        setup.isUndoing = false
        if !setup.wasReady, !setup.regions.areGiven { device.removeRegions() }
        options.sharedObjects?.removeAll(of: self)
        for call in unanswered { call.complete(.failure(error)) }
    }

    /// What was mapped is undone: the program is told that the connection has ended.
    func tellEnd(_ end: ConnectionEnd) {
        // A server listens again at once, unless the handshake failed. A client pauses, so that the back-end can start.
        let next = options.isServer && end.wasUp ? Clock.now() : attemptAfterPause
        setup.undoesAtEnd = false
        move(to: end.comesBack ? .away(until: next) : .over)
        watch()
        emit(.disconnected(end.error))
        endWasAnnounced()
    }

    // MARK: Reconnect

    private var attemptAfterPause: UInt64 { Clock.now() &+ options.reconnectIntervalLimit.microseconds }

    /// Looks for a back-end if the time has come.
    func lookAgain(at when: UInt64) {
        guard Clock.now() >= when else { return }
        do throws(Errno) {
            try open()
        } catch {
            // There is no back-end yet. This is no event.
            move(to: .away(until: attemptAfterPause))
        }
    }

    /// Tells a back-end that came back all that a running device needs. Then the front-end is ready.
    func restore(_ connection: Connection) {
        move(to: .restoring(connection))
        do throws(ShmemError) {
            guard setup.features & ~features == 0 else {
                throw ShmemError(
                    EPROTO,
                    "the back-end came back without the virtio features \(hex(setup.features & ~features)), which are in use")
            }
            for index in setup.queues.indices where setup.queues[index].isUsed { try resume(index) }
            tell(try startSteps()) { $0.finishRestoring(connection) }
        } catch {
            end(error)
        }
    }

    /// Finds the index from which a queue continues. With an area for requests in flight the back-end knows better.
    private func resume(_ index: Int) throws(ShmemError) {
        var failure: ShmemError?
        do throws(Errno) {
            if try !setup.queues[index].goOnFromUsed() {
                failure = ShmemError(
                    EILSEQ,
                    "queue \(index) cannot continue: the last back-end used requests out of order and left earlier ones;"
                        + " reset the device, or have the back-end track requests in flight (INFLIGHT_SHMFD)")
            }
        } catch {
            failure = ShmemError(
                error.code,
                "queue \(index) cannot continue: its rings at \(hex(setup.queues[index].used)) cannot be read:"
                    + " \(Errno.text(error.code))")
        }
        if let failure, setup.inflight == nil { throw failure }
    }

    private func finishRestoring(_ connection: Connection) {
        // The device may have been stopped meanwhile, and guest memory may have changed.
        guard setup.run == .started else { return tell(stopSteps()) { $0.announceReady(connection) } }
        do throws(ShmemError) {
            let steps = try memorySteps()
            guard steps.isEmpty else { return tell(steps) { $0.finishRestoring(connection) } }
        } catch {
            return end(error)
        }
        // Signals for the last back-end may have been lost with it.
        kickOnce()
        announceReady(connection)
    }

    private func tell(_ steps: [FrontendSequence.Step], then goOn: @escaping (Frontend) -> Void) {
        FrontendSequence(steps).run(on: self) { frontend, error in
            guard let frontend else { return }
            if let error { frontend.end(error) } else { goOn(frontend) }
        }
    }
}
