// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The reset of a device. `setup.reset` says what it waits for.
extension Frontend {
    /// The reset has begun, and the back-end has not answered it.
    var isResetting: Bool { setup.reset == .answer }

    /// Undoes every mapping (many of them in the turns of the loop that follow), tells the back-end where that was negotiated,
    /// and refuses what it asked for before. The event `reset` tells that it is complete.
    ///
    /// - Throws: ENOTCONN (not ready), EALREADY (a reset is under way; the mappings were undone all the same).
    public func reset() throws(ShmemError) {
        let wasRunning = setup.run != .stopped
        try beginReset()
        if protocolFeatures.contains(.resetDevice) {
            // This goes before all waiting requests, because those were for the device before the reset.
            try submit(
                FrontendQuestion(.resetDevice).call { [way] in way.target?.resetWasAnswered($0.failure) }, isUrgent: true)
        } else if wasRunning {
            // A back-end without RESET_DEVICE is stopped instead: its queues stop, and the status is 0 if there is one.
            let status = protocolFeatures.contains(.status) ? [FrontendSequence.ask(.setStatus(0))] : []
            FrontendSequence(stopSteps() + status).run(on: self) { $0?.resetWasAnswered($1) }
        } else {
            resetWasAnswered(nil)
        }
        watch()
    }

    /// Stops the device and undoes its mappings. From now on the channel refuses the back-end's requests, until
    /// `resetWasAnswered`.
    private func beginReset() throws(ShmemError) {
        guard isReady else {
            // A back-end that comes back finds a device that was reset. It may have mapped something by then, or before it was
            // lost.
            if setup.wasReady {
                forgetRunning()
                setup.reset = isLost ? .none : .backend
            }
            throw ShmemError(ENOTCONN, "there is no back-end to reset")
        }
        forgetRunning()
        guard isReady else { throw ShmemError(ENOTCONN, "the connection ended while mappings were undone") }
        if isResetting { throw ShmemError(EALREADY, "a reset is under way") }
        setup.reset = .answer
        connection?.channel?.beginReset()
    }

    /// Sends a request of the program. A status of 0 is a driver's reset of its device, so it undoes what a reset undoes.
    func submitAsked(_ call: FrontendCall) throws(ShmemError) {
        if call.resetsDevice {
            try beginReset()
            call.beforeCompletion { [way] in
                guard let frontend = way.target, frontend.isResetting, frontend.isConnected else { return }
                frontend.resetWasAnswered(nil)
            }
        }
        try submit(call)
    }

    private func resetWasAnswered(_ error: ShmemError?) {
        if let error { return end(ShmemError(EPROTO, "\(error.message)")) }
        // Requests are refused until no mapping is left.
        setup.isAnswered = true
        if setup.isUndoing { return watch() }
        setup.isAnswered = false
        setup.reset = .none
        history.counters.resets &+= 1
        connection?.channel?.endReset()
        // The channel refused all requests between the reset and the back-end's answer. This is for mappings that other threads
        // may have made.
        device.unmapAll()
        emit(.reset)
    }

    /// Notes that the device does not run any more. Nothing is mapped then, now or after some turns of the loop.
    func forgetRunning() {
        setup.forgetRunning()
        switch phase {
        case .ready, .listening, .away: undoMappings()
        // The end of the connection undoes them, before the program gets the event.
        case .ending: setup.undoesAtEnd = true
        case .idle, .shakingHands, .restoring, .over: device.unmapAll()
        }
    }

    /// Whether the connection ends and that undoes nothing.
    private var keepsWhatIsMapped: Bool {
        if case .ending = phase { return !setup.undoesAtEnd }
        return false
    }

    /// Undoes mappings for a while. Others on the loop wait meanwhile, so mappings that are left go in the next turn.
    @inline(never)
    func undoMappings() {
        setup.isUndoing = true
        // A handler of the program may dispatch: then this is under way already. It may also end the connection, which undoes
        // the rest.
        setup.isCallingOut = true
        let isDone = keepsWhatIsMapped || device.unmapForATurn()
        setup.isCallingOut = false
        guard isDone, setup.isUndoing else { return watch() }
        setup.isUndoing = false
        if case .ending(let end) = phase { return tellEnd(end) }
        if setup.tellsChannelLoss { tellChannelLoss() }
        if setup.isAnswered { resetWasAnswered(nil) }
    }
}
