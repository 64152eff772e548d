// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The handshake: a step at a time, each when the one before it was answered.
extension Frontend {
    /// Sends what can be sent without waiting for an answer.
    func advance() {
        while phase == .shakingHands, awaited == nil {
            if step == .done { return becomeReady() }
            guard sendStep() else {
                mustSendAgain = true
                return
            }
            if awaited == nil, phase == .shakingHands { completeStep() }
        }
    }

    func sendStep() -> Bool {
        switch step {
        case .setProtocolFeatures:
            return send(.setProtocolFeatures, payload: protocolFeatures.rawValue, descriptor: nil)
        case .setBackendReqFd:
            guard let theirs = makeChannel() else { return true }
            return send(.setBackendReqFd, payload: nil, descriptor: theirs)
        case .setVringCall(let queue):
            let payload = VringDescriptor(queue: UInt8(truncatingIfNeeded: queue), hasDescriptor: true)
            return send(.setVringCall, payload: payload.encoded, descriptor: callFds[Int(queue)].fd)
        case .setVringErr(let queue):
            let payload = VringDescriptor(queue: UInt8(truncatingIfNeeded: queue), hasDescriptor: true)
            return send(.setVringErr, payload: payload.encoded, descriptor: errFds[Int(queue)].fd)
        default: return send(step.request, payload: nil, descriptor: nil)
        }
    }

    /// Our end of the channel stays here; the other one is the back-end's. nil: the connection has ended over it.
    func makeChannel() -> Int32? {
        switch channelForBackend {
        case .some(let theirs): return theirs.raw
        case .none: break
        }
        do throws(Errno) {
            let (ours, theirs) = try Socket.pair()
            let made = BackendChannel(
                socket: FileDescriptor(owning: ours), device: device, messageTimeout: UInt64(options.messageTimeout) &* 1000,
                counters: counters)
            made.isNegotiated = protocolFeatures.contains(shmem)
            made.others = { [unowned(unsafe) self] in carryOut($0) }
            channel = made
            loss = nil
            channelForBackend = FileDescriptor(owning: theirs)
            return theirs
        } catch {
            end(ShmemError(error.code, "no socket pair for the back-end channel: \(Errno.text(error.code))"))
            return nil
        }
    }

    func completeStep() {
        sendDeadline = nil
        switch step {
        case .setProtocolFeatures: negotiated.repliesAreAcknowledged = protocolFeatures.contains(.replyAck)
        // Only the back-end has that end now: when it goes, our end says so.
        case .setBackendReqFd: channelForBackend = nil
        default: break
        }
        step = step.next(negotiated, queues: options.queues, shmem: shmem, asksForRegions: !regionsAreGiven)
    }

    /// Takes what a reply tells, and goes on.
    func learn(_ payload: UnsafeRawBufferPointer) {
        do throws(ShmemError) {
            try negotiated.learn(step, payload, wanted: wantedProtocolFeatures, shmem: shmem, queues: options.queues)
            if step == .getShmemConfig, let config = negotiated.config { try makeRegions(config) }
        } catch {
            return end(error)
        }
        completeStep()
        advance()
    }

    var wantedProtocolFeatures: ProtocolFeatures {
        // A bit that means SHMEM here has no other meaning, and SHMEM has no other bit.
        var known = ProtocolFeatures.ofFrontends.union(shmem)
        if options.sharedObjects != nil { known.insert(.sharedObject) }
        return options.protocolFeatures.map(known.union(.onRequest).intersection) ?? known
    }

    func makeRegions(_ config: SharedMemoryConfig) throws(ShmemError) {
        try config.check()
        if wasReady { return }
        for shmid in UInt8.min...UInt8.max where config[shmid] != 0 {
            do throws(ShmemError) {
                try device.addRegion(id: shmid, size: config[shmid], options: options.region)
            } catch {
                // To the caller, who asked for no region, it is the back-end's answer that can't be used.
                throw ShmemError(EPROTO, "the back-end's GET_SHMEM_CONFIG can't be used: \(error.message)")
            }
        }
    }

    func becomeReady() {
        if !protocolFeatures.contains(shmem) {
            Log.message(
                "the back-end does not offer both BACKEND_REQ and SHMEM (as protocol feature bit \(options.shmemBit); old ones"
                    + " used 20 and 21): it can map nothing")
        }
        let regions = negotiated.config ?? SharedMemoryConfig()
        if let known = knownRegions {
            if let error = known.difference(from: regions) { return end(error) }
            if running.isStarted { return restore() }
        }
        knownRegions = regions
        announceReady()
    }

    func announceReady() {
        phase = .ready
        let mustReset = mustResetWhenReady
        mustResetWhenReady = false
        emit(.ready)
        if mustReset, phase == .ready { try? reset() }
    }
}
