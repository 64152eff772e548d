// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The results of a handshake.
struct Negotiated {
    var features: UInt64 = 0
    var protocolFeatures: ProtocolFeatures = []
    /// 1 if the back-end cannot tell.
    var maximumQueues: UInt64 = 1
    /// 0 if the back-end cannot tell.
    var memorySlots: UInt64 = 0
    /// Set once SET_PROTOCOL_FEATURES has gone: from the next request on, every request asks for its acknowledgement.
    var repliesAreAcknowledged = false
    var config: SharedMemoryConfig?
}

/// The handshake: a sequence of questions, in the order of QEMU's generic device, which back-ends expect.
extension Frontend {
    func shakeHands(on connection: Connection) {
        FrontendSequence(handshakeSteps(on: connection)).run(on: self) { frontend, error in
            guard let frontend, frontend.connection === connection else { return }
            guard let error else { return frontend.becomeReady(connection) }
            // If a request of the handshake is refused, the front-end cannot go on.
            frontend.end(error.code == EIO ? ShmemError(EPROTO, "\(error.message)") : error)
        }
    }

    private func handshakeSteps(on connection: Connection) -> [FrontendSequence.Step] {
        /// Asks if the feature that the request needs was agreed on.
        func askIfAgreed<Answer>(
            _ question: FrontendQuestion<Answer>, _ use: @escaping (Frontend, Answer) -> ShmemError?
        ) -> FrontendSequence.Step {
            let needed = question.request.neededFeature(shmem: shmem)
            return FrontendSequence.step(
                { _ in connection.negotiated.protocolFeatures.isSuperset(of: needed) ? question : nil }, use)
        }
        let hasProtocolFeatures = { connection.negotiated.features & ProtocolFeatures.virtioFeature != 0 }
        let learnFeatures: (Frontend, UInt64) -> ShmemError? = { _, features in
            connection.negotiated.features = features
            return nil
        }
        var steps: [FrontendSequence.Step] = [
            FrontendSequence.ask(.init(number: .getFeatures), learnFeatures),
            FrontendSequence.step({ _ in hasProtocolFeatures() ? .init(number: .getProtocolFeatures) : nil }) {
                frontend, offered in
                connection.negotiated.protocolFeatures = frontend.agreement(on: ProtocolFeatures(rawValue: offered))
                return nil
            },
            FrontendSequence.step({ _ in
                hasProtocolFeatures() ? .setProtocolFeatures(connection.negotiated.protocolFeatures) : nil
            }) { _, _ in
                connection.negotiated.repliesAreAcknowledged = connection.negotiated.protocolFeatures.contains(.replyAck)
                return nil
            },
            askIfAgreed(.init(number: .getQueueNum)) { frontend, number in
                connection.negotiated.maximumQueues = number
                let needed = frontend.options.leastQueueNumber ?? frontend.options.queues
                if number >= UInt64(needed) { return nil }
                return ShmemError(EPROTO, "the back-end can have \(number) queues, and the front-end needs \(needed)")
            },
            askIfAgreed(.init(number: .getMaxMemSlots)) { _, slots in
                connection.negotiated.memorySlots = slots
                return nil
            },
            FrontendSequence.step { frontend throws(ShmemError) in try frontend.openChannel(of: connection) },
            FrontendSequence.ask(.init(.setOwner)),
            // This asks again, as QEMU's generic device does: the features may depend on the protocol features.
            FrontendSequence.ask(.init(number: .getFeatures), learnFeatures),
        ]
        // QEMU gives each queue two eventfds here, used or not. Here one stands for all that are not needed before a start,
        // which sends them again.
        for index in 0..<Int(options.queues) {
            guard let error = setup.error else { break }
            steps.append(FrontendSequence.ask(.vringDescriptor(.setVringCall, index, setup.madeCall(ofQueue: index) ?? error)))
            steps.append(FrontendSequence.ask(.vringDescriptor(.setVringErr, index, error)))
        }
        if !setup.regions.areGiven {
            steps.append(
                askIfAgreed(.shmemConfig()) { frontend, config in
                    connection.negotiated.config = config
                    do throws(ShmemError) {
                        try frontend.makeRegions(config)
                        return nil
                    } catch {
                        return error
                    }
                })
        }
        return steps
    }

    /// The features that both sides want. Without a channel for the back-end's requests nothing can be mapped.
    func agreement(on offered: ProtocolFeatures) -> ProtocolFeatures {
        let both = wantedProtocolFeatures.intersection(offered)
        return both.contains(.backendRequests) ? both : both.subtracting(shmem)
    }

    private var wantedProtocolFeatures: ProtocolFeatures {
        // The caller chose the bit for SHMEM, so that bit means nothing else.
        var known = ProtocolFeatures.ofFrontends.union(shmem)
        if options.sharedObjects != nil { known.insert(.sharedObject) }
        return known.chosen(options.protocolFeatures)
    }

    /// Makes the channel for the back-end's requests. One end stays here, the other one goes with the question. Returns nil if
    /// BACKEND_REQ was not agreed on.
    private func openChannel(of connection: Connection) throws(ShmemError) -> FrontendQuestion<Void>? {
        guard protocolFeatures.contains(.backendRequests) else { return nil }
        do throws(Errno) {
            let (ours, theirs) = try Socket.pair()
            let made = BackendChannel(
                socket: OwnedDescriptor(owning: ours), device: device, messageTimeout: options.messageTimeoutLimit.microseconds,
                counters: history.counters)
            made.isNegotiated = protocolFeatures.contains(shmem)
            made.speaksFirstFlags = options.speaksFirstFlags
            made.others = { [way] request in way.target?.carryOut(request) ?? request.answered { nil } }
            connection.channel = made
            history.channelLoss = nil
            return FrontendQuestion(.setBackendReqFd, descriptors: [SharedDescriptor(OwnedDescriptor(owning: theirs))])
        } catch {
            throw ShmemError(error.code, "cannot make a socket pair for the back-end channel: \(Errno.text(error.code))")
        }
    }

    private func makeRegions(_ config: SharedMemoryConfig) throws(ShmemError) {
        try config.check()
        if setup.wasReady { return }
        var asOffered = options.region
        asOffered.isForClaim = true
        try device.addRegions(config, options: asOffered)
    }

    /// The handshake is done. A back-end that comes back to a running device is told how to run before it counts as ready.
    private func becomeReady(_ connection: Connection) {
        if !protocolFeatures.contains(shmem) {
            Log.message(
                "the back-end does not offer both BACKEND_REQ and SHMEM (as protocol feature bit \(options.shmemBit); old ones"
                    + " used 20 and 21): it can map nothing")
        }
        let regions = negotiated.config ?? SharedMemoryConfig()
        if let known = setup.regions.known {
            if let error = known.difference(from: regions) { return end(error) }
            if setup.run == .started { return restore(connection) }
        }
        setup.regions.known = regions
        announceReady(connection)
    }

    func announceReady(_ connection: Connection) {
        move(to: .ready(connection))
        let mustReset = setup.reset == .backend
        setup.reset = .none
        emit(.ready)
        if mustReset, isReady { try? reset() }
    }
}

// MARK: Questions of the handshake alone

extension FrontendQuestion where Answer == Void {
    fileprivate static func setProtocolFeatures(_ features: ProtocolFeatures) -> FrontendQuestion {
        unsafe FrontendQuestion(.setProtocolFeatures, encoded(8) { unsafe $0.store(integer: features.rawValue, at: 0) })
    }
}

extension FrontendQuestion where Answer == SharedMemoryConfig {
    /// GET_SHMEM_CONFIG: the sizes of the device's regions.
    fileprivate static func shmemConfig() -> FrontendQuestion {
        FrontendQuestion(request: .getShmemConfig) { reply throws(ShmemError) in
            guard let config = unsafe reply.payload.withUnsafeBytes({ unsafe SharedMemoryConfig($0) }) else {
                throw ShmemError(EPROTO, "the back-end's reply to GET_SHMEM_CONFIG is no list of regions")
            }
            return config
        }
    }
}
