// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The reset of a device. `setup.reset` says what it waits for.
extension Frontend {
    /// A reset was asked for, and the back-end has not answered it.
    var isResetting: Bool { setup.reset == .answer }

    /// Microseconds that mappings are undone in one turn of a loop.
    private static let longestUndoing: UInt64 = 2_000

    /// Undoes every mapping (many of them in the turns of the loop that follow), tells the back-end where that was negotiated, and refuses what
    /// it asked for before. The event `reset` tells that it is complete.
    ///
    /// - Throws: ENOTCONN (not ready), EALREADY (a reset is under way; what is mapped was undone all the same).
    public func reset() throws(ShmemError) {
        let wasRunning = setup.run != .stopped
        try beginReset()
        if protocolFeatures.contains(.resetDevice) {
            // Before all that waits: it was asked of the device as it is no more.
            try submit(
                FrontendQuestion(.resetDevice).call { [way] in way.target?.resetWasAnswered($0.failure) }, isUrgent: true)
        } else if wasRunning {
            // What it can be told instead: its queues stop, and the status is 0 where there is one.
            let status = protocolFeatures.contains(.status) ? [FrontendSequence.ask(.setStatus(0))] : []
            FrontendSequence(stopSteps() + status).run(on: self) { $0?.resetWasAnswered($1) }
        } else {
            resetWasAnswered(nil)
        }
        watch()
    }

    /// Undoes what runs and is mapped. From now on the channel refuses what the back-end asks for, until `resetWasAnswered`.
    private func beginReset() throws(ShmemError) {
        guard isReady else {
            // Whoever comes back finds a device that was reset. It may have mapped something by then, or before it was lost.
            if setup.wasReady {
                forgetRunning()
                setup.reset = hasEnded ? .none : .backend
            }
            throw ShmemError(ENOTCONN, "there is no back-end to reset")
        }
        forgetRunning()
        guard isReady else { throw ShmemError(ENOTCONN, "the connection ended while mappings were undone") }
        if isResetting { throw ShmemError(EALREADY, "a reset is under way") }
        setup.reset = .answer
        connection?.channel?.beginReset()
    }

    /// Sends what the program asks. A status of 0 is how a driver resets its device: it undoes what a reset undoes.
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
        // Requests are refused until nothing is left.
        setup.isAnswered = true
        if setup.isUndoing { return watch() }
        setup.isAnswered = false
        setup.reset = .none
        history.counters.resets &+= 1
        connection?.channel?.endReset()
        // What was served between the reset and the back-end's answer was refused: this is for what other threads may have mapped.
        device.unmapAll()
        emit(.reset)
    }

    /// The device does not run any more, and nothing is mapped; or nothing will be in some turns of the loop.
    func forgetRunning() {
        setup.forgetRunning()
        if isReady { undoMappings() } else { device.unmapAll() }
    }

    /// Undoes mappings for a while. Others on the loop wait meanwhile, so what is left goes in the next turn.
    func undoMappings() {
        setup.isUndoing = true
        // It may call out, and the connection may end there: then nothing is left.
        guard device.unmapAll(until: Clock.now() &+ Frontend.longestUndoing), setup.isUndoing else { return }
        setup.isUndoing = false
        if setup.isAnswered { resetWasAnswered(nil) }
    }
}
