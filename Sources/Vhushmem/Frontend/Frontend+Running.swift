// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Start and stop, in the order in which QEMU's generic device speaks.
extension Frontend {
    /// The device was started, and neither stopped nor reset since.
    public var isStarted: Bool { isReady && setup.run == .started }

    /// Starts the device: SET_FEATURES, guest memory, the queues, and the device status where that was agreed on.
    ///
    /// `features`: what the driver accepted of what the back-end offers. Throws EALREADY (it was started), EINVAL (features that are not
    /// offered, or more queues than `options.queues`), ENOSPC, and what `ask` does; the back-end may then have been told a part.
    public func startDevice(features: UInt64, queues: [FrontendQueue]) throws(ShmemError) {
        let sequence = try startSequence(features: features, queues: queues)
        let failure: ShmemError? = try waitFor { begin(sequence, $0) }
        if let failure { throw failure }
    }

    /// The same; `completion` is called once, with the error if it failed.
    public func startDevice(
        features: UInt64, queues: [FrontendQueue], _ completion: @escaping (ShmemError?) -> Void
    ) throws(ShmemError) {
        begin(try startSequence(features: features, queues: queues), outside(completion))
    }

    private func begin(_ sequence: FrontendSequence, _ completion: @escaping (ShmemError?) -> Void) {
        setup.run = .starting
        sequence.run(on: self) { [self] error in
            if setup.run == .starting { setup.run = .stopped }
            completion(error)
        }
    }

    /// Stops the device. Returns where each queue stopped: the base to start it again with. Throws ENOTCONN (it was not started), and
    /// what `ask` does.
    public func stopDevice() throws(ShmemError) -> [UInt16] {
        var bases: [UInt16] = []
        let sequence = try stopSequence { bases.append($0) }
        try perform(sequence)
        return bases
    }

    /// The same; `completion` is called once, with where the queues stopped or the error.
    public func stopDevice(_ completion: @escaping (Result<[UInt16], ShmemError>) -> Void) throws(ShmemError) {
        var bases: [UInt16] = []
        let completion = outside(completion)
        try stopSequence { bases.append($0) }.run(on: self) { error in
            completion(error.map { .failure($0) } ?? .success(bases))
        }
    }

    // MARK: The messages

    private func startSequence(features: UInt64, queues: [FrontendQueue]) throws(ShmemError) -> FrontendSequence {
        guard isReady else { throw ShmemError(ENOTCONN, "no back-end is connected that could be started") }
        guard setup.run != .started else { throw ShmemError(EALREADY, "the device was started") }
        try requireNotStarting()
        guard features & ~self.features == 0 else {
            throw ShmemError(
                EINVAL, "the back-end does not offer the virtio features \(hex(features & ~self.features))")
        }
        guard queues.count <= Int(options.queues) else {
            throw ShmemError(EINVAL, "the front-end has \(options.queues) queues, and \(queues.count) are to be started")
        }
        setup.features = features
        setup.queues = queues
        let steps = try startSteps()
        return FrontendSequence(
            steps + [FrontendSequence.act { $0.setup.run = .started }], isOfOneLife: true)
    }

    func requireNotStarting() throws(ShmemError) {
        if isResetting, !protocolFeatures.contains(.resetDevice) {
            throw ShmemError(EALREADY, "the device is being stopped, to be reset")
        }
        guard setup.run != .starting else { throw ShmemError(EALREADY, "the device is being started") }
    }

    /// Everything that a back-end must be told to run, after the handshake.
    func startSteps() throws(ShmemError) -> [FrontendSequence.Step] {
        let hasProtocolFeatures = features & ProtocolFeatures.virtioFeature != 0
        let hasStatus = protocolFeatures.contains(.status)
        var steps: [FrontendSequence.Step] = [
            FrontendSequence.ask(
                .setFeatures(setup.features | (hasProtocolFeatures ? ProtocolFeatures.virtioFeature : 0)))
        ]
        if hasStatus {
            let status = DeviceStatus.acknowledge | DeviceStatus.driver | DeviceStatus.featuresOk
            steps.append(FrontendSequence.ask(.setStatus(status)))
            steps.append(
                FrontendSequence.ask(FrontendQuestion<UInt8>.status()) { seen in
                    seen & DeviceStatus.featuresOk != 0
                        ? nil : ShmemError(EOPNOTSUPP, "the back-end does not accept the virtio features")
                })
        }
        if let inflight = setup.inflight { steps.append(FrontendSequence.ask(.setInflight(inflight))) }
        if !protocolFeatures.contains(.configureMemSlots) { setup.memory.told = [] }
        steps += try memorySteps()
        for (index, queue) in setup.queues.enumerated() {
            steps.append(FrontendSequence.ask(.vring(.setVringNum, index, UInt32(queue.size))))
            steps.append(FrontendSequence.ask(.vring(.setVringBase, index, UInt32(queue.base))))
            steps.append(FrontendSequence.ask(.vringAddresses(index, queue)))
            steps.append(FrontendSequence.ask(.vringDescriptor(.setVringKick, index, queue.kick)))
            if let call = queue.call ?? (setup.signals.indices.contains(index) ? setup.signals[index].call : nil) {
                steps.append(FrontendSequence.ask(.vringDescriptor(.setVringCall, index, call)))
            }
        }
        if hasProtocolFeatures {
            for index in setup.queues.indices { steps.append(FrontendSequence.ask(.vring(.setVringEnable, index, 1))) }
        }
        if hasStatus {
            let status =
                DeviceStatus.acknowledge | DeviceStatus.driver | DeviceStatus.featuresOk | DeviceStatus.driverOk
            steps.append(FrontendSequence.ask(.setStatus(status)))
        }
        return steps
    }

    private func stopSequence(_ use: @escaping (UInt16) -> Void) throws(ShmemError) -> FrontendSequence {
        try requireNotStarting()
        let wasStarted = isStarted
        // A back-end that is away, or on its way back, finds a device that does not run.
        setup.run = .stopped
        guard wasStarted else { throw ShmemError(ENOTCONN, "the device was not started, or its back-end is away") }
        return FrontendSequence(stopSteps(use))
    }

    func stopSteps(_ use: @escaping (UInt16) -> Void) -> [FrontendSequence.Step] {
        var steps: [FrontendSequence.Step] = []
        if features & ProtocolFeatures.virtioFeature != 0 {
            for index in setup.queues.indices { steps.append(FrontendSequence.ask(.vring(.setVringEnable, index, 0))) }
        }
        for index in setup.queues.indices {
            steps.append(
                FrontendSequence.ask(FrontendQuestion<UInt16>.vringBase(index)) { base in
                    use(base)
                    return nil
                })
        }
        if protocolFeatures.contains(.status) { steps.append(FrontendSequence.ask(.setStatus(0))) }
        return steps
    }
}
