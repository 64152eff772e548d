// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The answer to a request.
enum BackendAnswer {
    /// The request's own reply: a number, or bytes.
    case value(UInt64)
    case bytes([UInt8], descriptor: SharedDescriptor? = nil)
    case done
    /// Done. The device learns of its reset when the front-end has the answer.
    case reset
    /// The library refuses, and says why.
    case refused(ShmemError)
    /// The device refuses, and knows why: a positive errno value.
    case refusedByDevice(Int32)
    /// A front-end that knows the protocol does not send this.
    case malformed

    init(_ body: () throws(ShmemError) -> Void) {
        do throws(ShmemError) {
            try body()
            self = .done
        } catch {
            self = .refused(error)
        }
    }

    /// The files that came with the request are mapped now.
    func isMapped(_ request: FrontendRequest) -> Bool {
        switch (request, self) {
        case (.setMemTable, .done), (.addMemReg, .done), (.setInflightFd, .done), (.setLogBase, .value): true
        default: false
        }
    }

    /// The result of a handler: 0, or a negative errno. Any other number cannot be sent, and counts as EIO, as on the back-end
    /// channel.
    init(result: Int32) {
        if result == 0 {
            self = .done
        } else {
            self = .refusedByDevice((-4095 ... -1).contains(result) ? -result : EIO)
        }
    }

    @inline(never)
    static func refused(_ code: Int32, _ sentence: Sentence) -> BackendAnswer { .refused(ShmemError(code, sentence)) }
}

/// Requests of a front-end on the main socket.
extension Backend {
    /// Serves one message. Returns whether the device was reset and has yet to be told. Throws the errors that end the
    /// connection.
    func take(
        _ header: MessageHeader, _ payload: UnsafeRawBufferPointer, _ connection: BackendConnection
    ) throws(ShmemError) -> Bool {
        if header.isReply { throw ShmemError(EPROTO, "the front-end sent an unexpected reply") }
        let known = FrontendRequest(rawValue: header.request)
        guard let request = known, request.form.isServed else {
            let error = ShmemError(EOPNOTSUPP, "this library does not support it")
            let name: Sentence = known.map { "\($0.name)" } ?? "request \(header.request)"
            try refuse(header, error, name, isOwedAnswer(header, connection), connection)
            return false
        }
        let form = request.form
        let main = connection.main
        var answer = BackendAnswer.malformed
        if !isAgreed(on: request, connection) {
            answer = .refused(EOPNOTSUPP, "the feature that it needs was not agreed on")
        } else if form.payload.contains(payload.count), form.descriptors.contains(main.descriptorCount),
            !main.descriptorsWereTruncated
        {
            answer = unsafe self.answer(request, payload, connection)
        }
        // A mapping keeps its file, so the close of its descriptors frees nothing.
        if answer.isMapped(request) { main.releaseDescriptors(.mapped) }
        // A callback may have ended the connection meanwhile.
        guard self.connection === connection else { return false }
        switch answer {
        case .value(let value): try reply(header, value, connection)
        case .bytes(let bytes, let descriptor):
            try unsafe requireSent(bytes.withUnsafeBytes { unsafe sendReply(header, $0, descriptor, connection) })
        case .done: try acknowledge(header, connection)
        case .reset:
            connection.live.removeAll()
            try acknowledge(header, connection)
            return true
        case .refused(let error):
            try refuse(header, error, "\(request.name)", canTellRefusal(of: request, header, connection), connection)
        case .refusedByDevice(let code):
            guard canTellRefusal(of: request, header, connection) else {
                throw ShmemError(code, "the device refused \(request.name): \(Errno.text(code))")
            }
            try reply(header, UInt64(bitPattern: Int64(-code)), connection)
        case .malformed:
            throw ShmemError(
                EPROTO,
                "the front-end sent \(request.name) with \(payload.count) bytes of payload and"
                    + " \(main.descriptorCount) file descriptors, which it cannot have")
        }
        return false
    }

    /// Whether the features that a request needs were negotiated.
    private func isAgreed(on request: FrontendRequest, _ connection: BackendConnection) -> Bool {
        // A request that needs bit 30 of the virtio features needs only the offer, and this library always offers it. QEMU's
        // vhost-user-net and DPDK's virtio-user enable and disable queues before they accept any features.
        connection.protocolFeatures.isSuperset(of: request.neededFeature(shmem: shmem))
    }

    /// SET_LOG_BASE has no reply of its own if no log can be given.
    private func hasOwnReply(_ request: FrontendRequest, _ connection: BackendConnection) -> Bool {
        request.hasOwnReply && (request != .setLogBase || isAgreed(on: request, connection))
    }

    /// The payload and the descriptors have the request's form.
    private func answer(
        _ request: FrontendRequest, _ payload: UnsafeRawBufferPointer, _ connection: BackendConnection
    ) -> BackendAnswer {
        let value = unsafe payload.integer(at: 0, as: UInt64.self) ?? 0
        switch request {
        case .getFeatures: return .value(offeredFeatures)
        case .setFeatures: return takeFeatures(value, connection)
        case .getProtocolFeatures: return .value(offeredProtocolFeatures.rawValue)
        case .setProtocolFeatures:
            return takeProtocolFeatures(ProtocolFeatures(rawValue: value), connection)
        case .getQueueNum: return .value(UInt64(options.queues))
        case .getMaxMemSlots: return .value(UInt64(BackendMemory.maximumRanges))
        case .getShmemConfig:
            connection.toldRegions = true
            var bytes = [UInt8](repeating: 0, count: SharedMemoryConfig.size)
            unsafe bytes.withUnsafeMutableBytes(config.encode)
            return .bytes(bytes)
        case .setOwner: return takeOwner(connection)
        // Some back-ends do more here, so newer front-ends do not send it. Here it disables the queues.
        case .resetOwner:
            stopQueues()
            return .done
        case .resetDevice:
            stopQueues()
            connection.status = 0
            // Chains of the old rings have no meaning for the new ones.
            connection.inflight?.clear()
            connection.inflight = nil
            return .reset
        case .setBackendReqFd: return takeChannel(connection)
        case .setMemTable: return unsafe takeMemoryTable(payload, connection)
        case .addMemReg: return unsafe addMemory(payload, connection)
        case .remMemReg: return unsafe removeMemory(payload, connection)
        case .setVringNum: return unsafe takeVringState(payload) { takeSize($1, of: $0, connection) }
        case .setVringBase: return unsafe takeVringState(payload) { takeBase($1, of: $0, connection) }
        case .getVringBase: return unsafe takeVringState(payload) { queue, _ in answerBase(of: queue) }
        case .setVringEnable: return unsafe takeVringState(payload) { takeEnable($1, of: $0, connection) }
        case .setVringEndian: return unsafe takeVringState(payload) { takeByteOrder($1, of: $0) }
        case .vringKick: return unsafe takeVringState(payload) { queue, _ in takeKick(of: queue, connection) }
        case .setVringAddr: return unsafe takeVringAddresses(payload, connection)
        case .setLogBase: return unsafe takeLog(payload, connection)
        case .setLogFd: return takeLogDescriptor(connection)
        case .setVringKick: return unsafe takeVringDescriptor(payload, connection) { setKick($1, of: $0, connection) }
        case .setVringCall: return unsafe takeVringDescriptor(payload, connection) { setCall($1, of: $0, connection) }
        case .setVringErr:
            return unsafe takeVringDescriptor(payload, connection) { queue, eventfd in
                queue.setup.err = eventfd
                return .done
            }
        case .getConfig: return unsafe answerConfig(payload)
        case .setConfig: return unsafe takeConfig(payload)
        case .setStatus: return takeStatus(value, connection)
        case .getStatus: return .value(UInt64(connection.status))
        case .getInflightFd: return unsafe makeInflight(payload, connection)
        case .setInflightFd: return unsafe takeInflight(payload, connection)
        case .getSharedObject: return unsafe answerSharedObject(payload)
        case .setDeviceStateFd: return unsafe transferState(payload, connection)
        case .checkDeviceState: return answerStateCheck()
        // These are not served, as the table says, so they do not come here.
        case .sendRarp, .netSetMtu, .iotlbMessage, .gpuSetSocket, .getVringBaseSkipDrain:
            return .refused(EOPNOTSUPP, "this library does not support it")
        }
    }

    /// A second SET_OWNER begins a session for another device of the same front-end: QEMU unplugs a device, plugs another one
    /// in, and keeps the connection. What came before SET_OWNER stays: the protocol features and the channel.
    private func takeOwner(_ connection: BackendConnection) -> BackendAnswer {
        guard connection.hasOwner else {
            connection.hasOwner = true
            return .done
        }
        stopQueues()
        forgetQueues()
        connection.forgetDevice()
        return .reset
    }

    private func takeProtocolFeatures(_ features: ProtocolFeatures, _ connection: BackendConnection) -> BackendAnswer {
        let unknown = features.subtracting(offeredProtocolFeatures)
        guard unknown.isEmpty else {
            return .refused(EINVAL, "the protocol features \(unknown.sentence.text) were not offered")
        }
        connection.protocolFeatures = features
        // The specification requires them together. Without them the feature counts as not chosen: the driver could not be
        // called, or kicks by message would pile up without acknowledgements.
        if !features.isSuperset(of: [.backendRequests, .replyAck]), features.contains(.inbandNotifications) {
            connection.protocolFeatures.remove(.inbandNotifications)
            Log.debug("INBAND_NOTIFICATIONS was accepted without BACKEND_REQ and REPLY_ACK, and does not count")
        }
        return .done
    }

    private func takeFeatures(_ value: UInt64, _ connection: BackendConnection) -> BackendAnswer {
        guard value & ~offeredFeatures == 0 else {
            return .refused(EINVAL, "the virtio features \(hex(value & ~offeredFeatures)) were not offered")
        }
        // A started queue is read and written by the features of its start. Logging and bit 30 do not change that.
        let aboutMessages = ProtocolFeatures.logAll | ProtocolFeatures.virtioFeature
        guard (value ^ connection.features) & ~aboutMessages == 0 || !queues.contains(where: { $0.ring != nil }) else {
            return .refused(
                EBUSY, "the queues run with the virtio features \(hex(connection.features)), and not \(hex(value))")
        }
        connection.features = value
        logChanged(connection)
        // Without bit 30 a queue need not be enabled, as before QEMU 7.2: most of its devices agreed on protocol features, left
        // the bit out and enabled nothing. If a front-end did say which queues are enabled, that counts.
        guard value & ProtocolFeatures.virtioFeature == 0 else { return .done }
        return BackendAnswer { () throws(ShmemError) in
            for queue in queues where !queue.setup.enableWasSaid {
                queue.setup.isEnabled = true
                try refresh(queue, connection)
            }
        }
    }

    private func takeChannel(_ connection: BackendConnection) -> BackendAnswer {
        let main = connection.main
        // It is checked before it is taken: a descriptor that is not taken is closed without lingering.
        guard let fd = main.firstDescriptor, (try? Socket.requireConnectedStream(fd)) != nil,
            let socket = main.takeFirstDescriptor()
        else { return .malformed }
        // Requests on the old channel get no answer any more.
        closeChannel(connection, Errno(ENOTCONN))
        connection.channel = MessageStream(
            socket: socket, capacity: 256, timeout: options.answerTimeoutLimit.microseconds, account: closes,
            isChannel: true)
        return .done
    }

    // MARK: Answers

    /// Sends an acknowledgement, if the request asks for one.
    private func acknowledge(_ header: MessageHeader, _ connection: BackendConnection) throws(ShmemError) {
        if isOwedAnswer(header, connection) { try reply(header, 0, connection) }
    }

    /// A refusal that cannot be sent ends the connection: the front-end would take silence for success. The log tells the
    /// program of the other refusals, because few front-ends say what went wrong. It warns of those about memory: a device
    /// without memory seems to hang.
    private func refuse(
        _ header: MessageHeader, _ error: ShmemError, _ what: Sentence, _ canTell: Bool, _ connection: BackendConnection
    ) throws(ShmemError) {
        guard canTell else {
            throw ShmemError(error.code, "the front-end sent \(what.text), which is refused: \(error.message)")
        }
        let sentence: Sentence = "refused the front-end's \(what.text): \(error.message)"
        switch FrontendRequest(rawValue: header.request) {
        case .setMemTable, .addMemReg, .remMemReg: Log.warning(sentence)
        default: Log.debug(sentence)
        }
        try reply(header, UInt64(bitPattern: Int64(-error.code)), connection)
    }

    /// If the reply is a number anyway, the front-end would take an error for a number.
    private func canTellRefusal(
        of request: FrontendRequest, _ header: MessageHeader, _ connection: BackendConnection
    ) -> Bool {
        !hasOwnReply(request, connection) && isOwedAnswer(header, connection)
    }

    private func isOwedAnswer(_ header: MessageHeader, _ connection: BackendConnection) -> Bool {
        header.needsReply && connection.protocolFeatures.contains(.replyAck)
    }

    private func reply(_ header: MessageHeader, _ value: UInt64, _ connection: BackendConnection) throws(ShmemError) {
        try unsafe requireSent(withUnsafeBytes(of: value) { unsafe sendReply(header, $0, nil, connection) })
    }

    /// Returns 0 or a positive errno value. If it cannot be sent now, it waits, and nothing is read until it is sent.
    private func sendReply(
        _ header: MessageHeader, _ payload: UnsafeRawBufferPointer, _ file: SharedDescriptor?, _ connection: BackendConnection
    ) -> Int32 {
        let message = OutgoingMessage.reply(to: header.request)
        let sending =
            if let file {
                unsafe connection.main.send(message, payload, keeping: file)
            } else {
                unsafe connection.main.send(message, payload)
            }
        return switch sending {
        case .done: 0
        case .failed(let error): error.code
        case .later: ENOBUFS
        }
    }

    private func requireSent(_ code: Int32) throws(ShmemError) {
        guard code == 0 else { throw ShmemError(code, "cannot reply to the front-end: \(Errno.text(code)) (errno \(code))") }
    }
}
