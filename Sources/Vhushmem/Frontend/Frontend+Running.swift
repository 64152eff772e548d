// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Start and stop, in the order of QEMU's generic device.
extension Frontend {
    /// The device was started, and neither stopped nor reset since.
    public var isStarted: Bool { isReady && setup.run == .started }

    /// Starts the device: sends SET_FEATURES, guest memory, the queues, and the device status if STATUS was agreed on.
    ///
    /// - Parameters:
    ///   - features: the virtio features that the driver accepted, of those that the back-end offers.
    ///   - queues: the queues that the driver has set up, in order.
    /// - Throws: EALREADY (it was started), EINVAL (features that are not offered, or more queues than `options.queues`),
    ///   ENOSPC, and what `ask` throws. After a failure the back-end may know a part.
    public func startDevice(features: UInt64, queues: [FrontendQueue]) throws(ShmemError) {
        let failure: ShmemError? = try waitFor { done throws(ShmemError) in
            begin(try startSequence(features: features, queues: queues), done)
        }
        if let failure { throw failure }
    }

    /// The same without waiting.
    ///
    /// - Parameters:
    ///   - features: the virtio features that the driver accepted, of those that the back-end offers.
    ///   - queues: the queues that the driver has set up, in order.
    ///   - completion: called once, with the error if it failed, unless this throws.
    /// - Throws: EALREADY, EINVAL, ENOTCONN.
    public func startDevice(
        features: UInt64, queues: [FrontendQueue], completion: @escaping (ShmemError?) -> Void
    ) throws(ShmemError) {
        begin(try startSequence(features: features, queues: queues), outside(completion))
    }

    private func begin(_ sequence: FrontendSequence, _ completion: @escaping (ShmemError?) -> Void) {
        setup.run = .starting
        sequence.run(on: self) { frontend, error in
            if let frontend, frontend.setup.run == .starting { frontend.setup.run = .stopped }
            completion(error)
        }
    }

    /// Stops the device. The device keeps its state: nothing is reset.
    ///
    /// - Returns: where each queue stopped: the base to start it again with (0 for one that was not used).
    /// - Throws: ENOTCONN (it was not started), and what `ask` throws.
    public func stopDevice() throws(ShmemError) -> [UInt16] {
        let bases: Result<[UInt16], ShmemError> = try waitFor { done throws(ShmemError) in try stop(done) }
        return try bases.get()
    }

    /// The same without waiting.
    ///
    /// - Parameter completion: called once, with where the queues stopped or the error, unless this throws.
    /// - Throws: ENOTCONN (it was not started).
    public func stopDevice(completion: @escaping (Result<[UInt16], ShmemError>) -> Void) throws(ShmemError) {
        try stop(outside(completion))
    }

    private func stop(_ completion: @escaping (Result<[UInt16], ShmemError>) -> Void) throws(ShmemError) {
        var bases = [UInt16](repeating: 0, count: setup.queues.count)
        try stopSequence { bases[$0] = $1 }.run(on: self) { _, error in
            completion(error.map { .failure($0) } ?? .success(bases))
        }
    }

    // MARK: The messages

    private func startSequence(features: UInt64, queues: [FrontendQueue]) throws(ShmemError) -> FrontendSequence {
        guard isReady else { throw ShmemError(ENOTCONN, "no back-end is connected") }
        guard setup.run != .started else { throw ShmemError(EALREADY, "the device was started") }
        try requireNotStarting()
        guard features & ~self.features == 0 else {
            throw ShmemError(
                EINVAL, "the back-end does not offer the virtio features \(hex(features & ~self.features))")
        }
        guard queues.count <= Int(options.queues) else {
            throw ShmemError(EINVAL, "the front-end has \(options.queues) queues, and cannot start \(queues.count)")
        }
        let before = (setup.features, setup.queues)
        setup.features = features
        setup.queues = queues
        do throws(ShmemError) {
            // This finds out at once whether the ranges fit.
            _ = try memorySteps()
            let steps = try startSteps()
            return FrontendSequence(
                steps + [
                    FrontendSequence.act { frontend in
                        frontend.setup.run = .started
                        frontend.kickOnce()
                    }
                ], isOfOneLife: true)
        } catch {
            (setup.features, setup.queues) = before
            throw error
        }
    }

    /// A driver may have kicked before the back-end had the descriptor, and a back-end looks at a ring only after a kick ("Ring
    /// states" of the specification). So each queue is kicked once when the back-end has all that it needs.
    func kickOnce() {
        for queue in setup.queues { queue.kick?.signal() }
    }

    func requireNotStarting() throws(ShmemError) {
        if isResetting, !protocolFeatures.contains(.resetDevice) {
            throw ShmemError(EALREADY, "the device is being stopped for a reset")
        }
        guard setup.run != .starting else { throw ShmemError(EALREADY, "the device is being started") }
    }

    /// All that a back-end must know to run, after the handshake.
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
                FrontendSequence.ask(FrontendQuestion<UInt8>.status()) { _, seen in
                    seen & DeviceStatus.featuresOk != 0
                        ? nil : ShmemError(EOPNOTSUPP, "the back-end does not accept the virtio features")
                })
        }
        if let inflight = setup.inflight { steps.append(FrontendSequence.ask(.setInflight(inflight))) }
        steps += startMemorySteps()
        // The kick goes last: a back-end that comes back serves waiting requests as soon as it has the kick, and needs the call
        // for it.
        for (index, queue) in setup.queues.enumerated() {
            guard let kick = queue.kick else { continue }
            steps.append(FrontendSequence.ask(.vring(.setVringNum, index, UInt32(queue.size))))
            steps.append(FrontendSequence.ask(.vring(.setVringBase, index, UInt32(queue.base))))
            steps.append(FrontendSequence.ask(.vringAddresses(index, queue)))
            let (call, error) = try signals(ofQueue: index, queue)
            steps.append(FrontendSequence.ask(.vringDescriptor(.setVringCall, index, call)))
            steps.append(FrontendSequence.ask(.vringDescriptor(.setVringErr, index, error)))
            steps.append(FrontendSequence.ask(.vringDescriptor(.setVringKick, index, kick)))
        }
        if hasProtocolFeatures {
            for (index, queue) in setup.queues.enumerated() where queue.isUsed && queue.isEnabled {
                steps.append(FrontendSequence.ask(.vring(.setVringEnable, index, 1)))
            }
        }
        if hasStatus {
            let status =
                DeviceStatus.acknowledge | DeviceStatus.driver | DeviceStatus.featuresOk | DeviceStatus.driverOk
            steps.append(FrontendSequence.ask(.setStatus(status)))
        }
        return steps
    }

    private func signals(ofQueue index: Int, _ queue: FrontendQueue) throws(ShmemError) -> (SharedDescriptor, SharedDescriptor)
    {
        do throws(Errno) {
            let error = try setup.errorSignal()
            if let call = queue.call { return (call, error) }
            return (try setup.call(ofQueue: index), error)
        } catch {
            throw ShmemError(error.code, "cannot make an eventfd for queue \(index): \(Errno.text(error.code))")
        }
    }

    private func stopSequence(_ use: @escaping (Int, UInt16) -> Void) throws(ShmemError) -> FrontendSequence {
        try requireNotStarting()
        let wasStarted = isStarted
        // A back-end that is away, or on its way back, finds a device that does not run.
        setup.run = .stopped
        guard wasStarted else { throw ShmemError(ENOTCONN, "the device was not started, or its back-end is away") }
        return FrontendSequence(stopSteps(use))
    }

    /// `use` gets where each queue stopped. No status 0 is sent: that would reset the device, whose state may be saved
    /// afterwards.
    func stopSteps(_ use: @escaping (Int, UInt16) -> Void = { _, _ in }) -> [FrontendSequence.Step] {
        var steps: [FrontendSequence.Step] = []
        let used = setup.queues.indices.filter { setup.queues[$0].isUsed }
        if features & ProtocolFeatures.virtioFeature != 0 {
            for index in used { steps.append(FrontendSequence.ask(.vring(.setVringEnable, index, 0))) }
        }
        for index in used {
            steps.append(
                FrontendSequence.ask(FrontendQuestion<UInt16>.vringBase(index)) { _, base in
                    use(index, base)
                    return nil
                })
        }
        return steps
    }

    // MARK: Single queues

    /// Enables or disables a queue of the running device.
    ///
    /// - Parameters:
    ///   - queue: its number.
    ///   - isEnabled: whether the back-end serves it.
    /// - Throws: ENOTCONN (the device was not started), EINVAL (it has no such queue), and what `ask` throws.
    public func setQueueEnabled(_ queue: Int, _ isEnabled: Bool) throws(ShmemError) {
        let question = try enableQuestion(queue, isEnabled)
        try ask(question)
        noteEnabled(queue, isEnabled)
    }

    /// The same without waiting.
    ///
    /// - Parameters:
    ///   - queue: its number.
    ///   - isEnabled: whether the back-end serves it.
    ///   - completion: called once, unless this throws.
    /// - Throws: ENOTCONN (the device was not started), EINVAL (it has no such queue).
    public func setQueueEnabled(
        _ queue: Int, _ isEnabled: Bool, completion: @escaping (Result<Void, ShmemError>) -> Void
    ) throws(ShmemError) {
        try ask(enableQuestion(queue, isEnabled)) { [way] result in
            if case .success = result { way.target?.noteEnabled(queue, isEnabled) }
            completion(result)
        }
    }

    private func enableQuestion(_ queue: Int, _ isEnabled: Bool) throws(ShmemError) -> FrontendQuestion<Void> {
        guard isStarted else { throw ShmemError(ENOTCONN, "the device was not started, or its back-end is away") }
        guard setup.queues.indices.contains(queue), setup.queues[queue].isUsed else {
            throw ShmemError(EINVAL, "the device was started without a queue \(queue)")
        }
        return .vring(.setVringEnable, queue, isEnabled ? 1 : 0)
    }

    /// Notes the setting for a back-end that comes back.
    private func noteEnabled(_ queue: Int, _ isEnabled: Bool) {
        if setup.queues.indices.contains(queue) { setup.queues[queue].isEnabled = isEnabled }
    }
}
