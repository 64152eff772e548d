// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What becomes of a request.
enum BackendAnswer {
    /// The request's own reply: a number, or bytes.
    case value(UInt64)
    case bytes([UInt8], descriptor: SharedDescriptor? = nil)
    case done
    /// A positive errno value.
    case refused(Int32)
    /// It is not what a front-end that knows the protocol sends.
    case malformed

    init(_ body: () throws(Errno) -> Void) {
        do throws(Errno) {
            try body()
            self = .done
        } catch {
            self = .refused(error.code)
        }
    }

    /// Of a handler: 0 or a negative errno.
    init(result: Int32) {
        self = result < 0 ? .refused(result == Int32.min ? EIO : -result) : .done
    }
}

/// What a front-end asks on the main socket.
extension Backend {
    /// Serves one message. What it returns ends the connection.
    func take(_ header: MessageHeader, _ payload: UnsafeRawBufferPointer, _ main: MessageStream) -> ShmemError? {
        if header.isReply { return ShmemError(EPROTO, "the front-end sent a reply that nobody asked for") }
        guard let request = FrontendRequest(rawValue: header.request), request.form.isServed else {
            return refuse(header, EOPNOTSUPP, "request \(header.request)")
        }
        let form = request.form
        var answer = BackendAnswer.malformed
        if !isAgreed(on: request) {
            answer = .refused(EOPNOTSUPP)
        } else if form.payload.contains(payload.count), form.descriptors.contains(main.descriptorCount),
            !main.descriptorsWereTruncated
        {
            answer = self.answer(request, payload, main)
        }
        // A callback may have ended the connection meanwhile.
        guard self.main === main else { return nil }
        switch answer {
        case .value(let value): return reply(header, value)
        case .bytes(let bytes, let descriptor): return bytes.withUnsafeBytes { reply(header, $0, descriptor: descriptor?.fd) }
        case .done: return acknowledge(header, 0)
        case .refused(let code):
            // Where the reply is a number anyway, an error would be taken for one.
            if hasOwnReply(request) { return refused(code, "\(request.name)") }
            return refuse(header, code, "\(request.name)")
        case .malformed:
            return ShmemError(
                EPROTO,
                "the front-end sent \(request.name) with \(payload.count) bytes of payload and"
                    + " \(main.descriptorCount) file descriptors, which it can't have")
        }
    }

    /// Whether what a request needs was negotiated.
    private func isAgreed(on request: FrontendRequest) -> Bool {
        if request == .setVringEnable { return features & ProtocolFeatures.virtioFeature != 0 }
        return protocolFeatures.isSuperset(of: request.neededFeature(shmem: shmem))
    }

    /// SET_LOG_BASE has none where no log can be given.
    private func hasOwnReply(_ request: FrontendRequest) -> Bool {
        request.hasOwnReply && (request != .setLogBase || isAgreed(on: request))
    }

    /// Payload and descriptors have the request's form.
    private func answer(_ request: FrontendRequest, _ payload: UnsafeRawBufferPointer, _ main: MessageStream) -> BackendAnswer {
        let value = payload.integer(at: 0, as: UInt64.self) ?? 0
        switch request {
        case .getFeatures: return .value(offeredFeatures)
        case .setFeatures: return takeFeatures(value)
        case .getProtocolFeatures: return .value(offeredProtocolFeatures.rawValue)
        case .setProtocolFeatures:
            guard value & ~offeredProtocolFeatures.rawValue == 0 else { return .refused(EINVAL) }
            protocolFeatures = ProtocolFeatures(rawValue: value)
            return .done
        case .getQueueNum: return .value(UInt64(options.queues))
        case .getMaxMemSlots: return .value(UInt64(BackendMemory.maximumRanges))
        case .getShmemConfig:
            toldRegions = true
            var bytes = [UInt8](repeating: 0, count: SharedMemoryConfig.size)
            bytes.withUnsafeMutableBytes(config.encode)
            return .bytes(bytes)
        case .setOwner: return .done
        // Some back-ends took it for more, so front-ends that know better do not send it: queues are disabled.
        case .resetOwner:
            stopQueues()
            return .done
        case .resetDevice:
            stopQueues()
            status = 0
            // What was taken from the rings of before is nothing to the rings that come.
            inflight?.clear()
            inflight = nil
            // Told when the front-end has its answer, for whose sake the device may ask it something.
            wasReset = true
            return .done
        case .setBackendReqFd: return takeChannel(main)
        case .setMemTable: return takeMemoryTable(payload, main)
        case .addMemReg: return addMemory(payload, main)
        case .remMemReg: return removeMemory(payload)
        case .setVringNum, .setVringBase, .getVringBase, .setVringEnable, .setVringEndian, .vringKick:
            return takeVringState(request, payload)
        case .setVringAddr: return takeVringAddresses(payload)
        case .setLogBase: return takeLog(payload, main)
        case .setLogFd: return takeLogDescriptor(main)
        case .setVringKick, .setVringCall, .setVringErr: return takeVringDescriptor(request, payload, main)
        case .getConfig: return answerConfig(payload)
        case .setConfig: return takeConfig(payload)
        case .setStatus: return takeStatus(value)
        case .getStatus: return .value(UInt64(status))
        case .getInflightFd: return makeInflight(payload)
        case .setInflightFd: return takeInflight(payload, main)
        case .getSharedObject: return answerSharedObject(payload)
        case .setDeviceStateFd: return transferState(payload, main)
        case .checkDeviceState: return answerStateCheck()
        default: return .refused(EOPNOTSUPP)
        }
    }

    private func takeFeatures(_ value: UInt64) -> BackendAnswer {
        guard value & ~offeredFeatures == 0 else { return .refused(EINVAL) }
        // A queue that is started is read and written by what was agreed on before.
        guard (value ^ features) & ~ProtocolFeatures.logAll == 0 || !queues.contains(where: { $0.ring != nil }) else {
            return .refused(EBUSY)
        }
        features = value
        logChanged()
        // Without protocol features there is no message to enable a queue with.
        guard value & ProtocolFeatures.virtioFeature == 0 else { return .done }
        return BackendAnswer { () throws(Errno) in
            for queue in queues {
                queue.setup.isEnabled = true
                try refresh(queue)
            }
        }
    }

    private func takeChannel(_ main: MessageStream) -> BackendAnswer {
        // Looked at before it is taken: what is not taken is closed without lingering.
        guard let fd = main.firstDescriptor, (try? Socket.requireUnixStream(fd)) != nil, let socket = main.takeFirstDescriptor()
        else { return .malformed }
        channel = MessageStream(socket: socket, capacity: 256, timeout: UInt64(options.answerTimeout) &* 1000)
        return .done
    }

    // MARK: Answers

    private func reply(_ header: MessageHeader, _ value: UInt64) -> ShmemError? {
        withUnsafeBytes(of: value) { reply(header, $0) }
    }

    /// An acknowledgement, where it is owed.
    private func acknowledge(_ header: MessageHeader, _ value: UInt64) -> ShmemError? {
        guard header.needsReply, protocolFeatures.contains(.replyAck) else { return nil }
        return reply(header, value)
    }

    /// A refusal that can't be told ends the connection: the front-end would take it for done.
    private func refuse(_ header: MessageHeader, _ code: Int32, _ what: Sentence) -> ShmemError? {
        guard header.needsReply, protocolFeatures.contains(.replyAck) else {
            return refused(code, what)
        }
        return reply(header, UInt64(bitPattern: Int64(-code)))
    }

    private func refused(_ code: Int32, _ what: Sentence) -> ShmemError {
        ShmemError(code, "the front-end sent \(what.text), which is not served: \(Errno.text(code))")
    }

    private func reply(
        _ header: MessageHeader, _ payload: UnsafeRawBufferPointer, descriptor: Int32? = nil
    ) -> ShmemError? {
        guard let main else { return nil }
        let sending = withUnsafeTemporaryAllocation(byteCount: MessageHeader.size &+ payload.count, alignment: 8) { message in
            MessageHeader(
                request: header.request, flags: MessageHeader.replyFlags, size: UInt32(truncatingIfNeeded: payload.count)
            ).encode(into: message)
            UnsafeMutableRawBufferPointer(rebasing: message[MessageHeader.size...]).copyMemory(from: payload)
            return main.send(UnsafeRawBufferPointer(message), descriptor: descriptor)
        }
        let code: Int32
        switch sending {
        case .done: return nil
        case .failed(let error): code = error.code
        // A descriptor can't wait until a front-end that reads no replies has room for it.
        case .later: code = ENOBUFS
        }
        return ShmemError(code, "replying to the front-end: \(Errno.text(code)) (errno \(code))")
    }
}
