// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Data that outlives a back-end.
extension Frontend {
    /// The question that makes an area for requests in flight. Throws EINVAL.
    func inflightQuestion(queues: UInt16, queueSize: UInt16) throws(ShmemError) -> FrontendQuestion<InflightArea> {
        guard queues > 0, UInt32(queues) <= options.queues, queueSize > 0 else {
            throw ShmemError(
                EINVAL,
                "cannot make an area for \(queues) queues of \(queueSize) entries: the front-end has \(options.queues) queues")
        }
        return .inflight(queues: queues, queueSize: queueSize)
    }

    /// Has the back-end make an area for requests in flight, and gives it back at each start.
    ///
    /// - Parameters:
    ///   - queues: the number of queues.
    ///   - queueSize: the number of entries of each.
    /// - Returns: the area.
    /// - Throws: EINVAL, and what `ask` throws.
    public func makeInflightArea(queues: UInt16, queueSize: UInt16) throws(ShmemError) -> InflightArea {
        let area = try ask(inflightQuestion(queues: queues, queueSize: queueSize))
        setup.inflight = area
        return area
    }

    /// The same without waiting.
    ///
    /// - Parameters:
    ///   - queues: the number of queues.
    ///   - queueSize: the number of entries of each.
    ///   - completion: called once, unless this throws.
    /// - Throws: EINVAL, and what the form with a completion of `ask` throws.
    public func makeInflightArea(
        queues: UInt16, queueSize: UInt16, completion: @escaping (Result<InflightArea, ShmemError>) -> Void
    ) throws(ShmemError) {
        try ask(inflightQuestion(queues: queues, queueSize: queueSize)) { [way] result in
            if case .success(let area) = result { way.target?.setup.inflight = area }
            completion(result)
        }
    }

    /// The area that the front-end gives to the back-end at each start. Set it to an area that was made before, or to nil for
    /// none.
    public var inflightArea: InflightArea? {
        get { setup.inflight }
        set { setup.inflight = newValue }
    }

    /// The question that begins a transfer of the device's state through `pipe`. Throws EBUSY (the device runs).
    func deviceStateQuestion(
        _ direction: DeviceStateDirection, _ pipe: SharedDescriptor
    ) throws(ShmemError) -> FrontendQuestion<FrontendReply> {
        guard setup.run != .started else { throw ShmemError(EBUSY, "the device runs: stop it before its state is transferred") }
        return .deviceState(direction, pipe)
    }

    /// Begins to transfer the state of a stopped device through a pipe. Ask `checkDeviceState` when the pipe is at its end.
    ///
    /// - Parameters:
    ///   - direction: whether the back-end writes its state or reads it.
    ///   - pipe: the pipe's end for the back-end; this closes it as soon as the back-end has it.
    /// - Returns: the descriptor to use instead of the pipe's other end; nil: use the pipe.
    /// - Throws: EBUSY (the device runs), and what `ask` throws.
    public func transferState(
        _ direction: DeviceStateDirection, through pipe: consuming OwnedDescriptor
    ) throws(ShmemError) -> OwnedDescriptor? {
        try ask(deviceStateQuestion(direction, SharedDescriptor(pipe))).takeDescriptor()
    }

    /// The reason why the device could not be migrated now; nil: it could.
    public var migrationBlocker: ShmemError? {
        guard isReady else { return ShmemError(ENOTCONN, "no back-end is connected") }
        for region in device.allRegions {
            let count = region.mappingCount
            if count > 0 {
                return ShmemError(
                    EBUSY,
                    "region \(region.shmid) has \(count) mappings (\(hex(region.mappedBytes)) bytes) of files of this host")
            }
        }
        guard protocolFeatures.contains(.logSharedFd), features & ProtocolFeatures.logAll != 0 else {
            return ShmemError(
                EOPNOTSUPP, "the back-end cannot log its writes (VHOST_F_LOG_ALL, LOG_SHMFD): guest memory cannot be copied")
        }
        guard protocolFeatures.contains(.deviceState) || options.isStateless else {
            return ShmemError(EOPNOTSUPP, "the back-end has not agreed to DEVICE_STATE: its state cannot be moved")
        }
        return nil
    }
}
