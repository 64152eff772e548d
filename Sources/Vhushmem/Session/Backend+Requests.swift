// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The eventfds that a front-end gave for its queues.
struct VringDescriptors {
    private var held: [Eventfd?]

    init() {
        held = []
    }

    /// Keeps `descriptor` for a queue and a purpose; what was there is closed.
    mutating func set(_ descriptor: Eventfd?, request: FrontendRequest, queue: UInt8) {
        let purpose: Int
        switch request {
        case .setVringKick: purpose = 0
        case .setVringCall: purpose = 1
        default: purpose = 2
        }
        if held.isEmpty { held = [Eventfd?](repeating: nil, count: 3 &* 256) }
        held[Int(queue) &* 3 &+ purpose] = descriptor
    }
}

/// What a front-end asks on the main socket.
extension Backend {
    /// Serves one message. What it returns ends the connection.
    func take(_ header: MessageHeader, _ payload: UnsafeRawBufferPointer, _ main: MessageStream) -> ShmemError? {
        if header.isReply { return ShmemError(EPROTO, "the front-end sent a reply that nobody asked for") }
        guard let request = FrontendRequest(rawValue: header.request) else {
            return refuse(header, EOPNOTSUPP, "request \(header.request)")
        }
        switch answer(request, payload, main) {
        case .reply(let value): return reply(header, value)
        case .config:
            toldRegions = true
            return replyWithConfig(header)
        case .done: return acknowledge(header, 0)
        case .refused(let code): return refuse(header, code, "\(request.name)")
        case .malformed:
            return ShmemError(
                EPROTO,
                "the front-end sent \(request.name) with \(payload.count) bytes of payload and"
                    + " \(main.descriptorCount) file descriptors, which it can't have")
        }
    }

    private enum Answer {
        case reply(UInt64)
        case config
        case done
        case refused(Int32)
        case malformed
    }

    private func answer(_ request: FrontendRequest, _ payload: UnsafeRawBufferPointer, _ main: MessageStream) -> Answer {
        guard request == .setMemTable || request == .setBackendReqFd || request.isVringDescriptor || !main.hasDescriptors
        else { return .malformed }
        let value = payload.integer(at: 0, as: UInt64.self)
        switch request {
        case .getFeatures: return payload.isEmpty ? .reply(offeredFeatures) : .malformed
        case .getProtocolFeatures: return payload.isEmpty ? .reply(offeredProtocolFeatures.rawValue) : .malformed
        case .getQueueNum: return payload.isEmpty ? .reply(UInt64(options.queues)) : .malformed
        case .getShmemConfig:
            guard payload.isEmpty else { return .malformed }
            return protocolFeatures.contains(shmem) ? .config : .refused(EOPNOTSUPP)
        case .setOwner: return payload.isEmpty ? .done : .malformed
        case .setFeatures:
            guard let value, payload.count == 8 else { return .malformed }
            guard value & ~offeredFeatures == 0 else { return .refused(EINVAL) }
            features = value
            return .done
        case .setProtocolFeatures:
            guard let value, payload.count == 8 else { return .malformed }
            guard value & ~offeredProtocolFeatures.rawValue == 0 else { return .refused(EINVAL) }
            protocolFeatures = ProtocolFeatures(rawValue: value)
            return .done
        case .setBackendReqFd: return takeChannel(payload, main)
        case .setVringCall, .setVringErr, .setVringKick: return takeVring(request, value, payload.count, main)
        case .resetDevice:
            guard payload.isEmpty else { return .malformed }
            emit(.reset)
            return .done
        default: return .refused(EOPNOTSUPP)
        }
    }

    private func takeChannel(_ payload: UnsafeRawBufferPointer, _ main: MessageStream) -> Answer {
        guard payload.isEmpty, main.descriptorCount == 1, !main.descriptorsWereTruncated,
            let socket = main.takeFirstDescriptor()
        else { return .malformed }
        do throws(Errno) {
            try Socket.requireUnixStream(socket.raw)
        } catch {
            return .malformed
        }
        channel = MessageStream(socket: socket, capacity: 256, timeout: UInt64(options.answerTimeout) &* 1000)
        return .done
    }

    private func takeVring(_ request: FrontendRequest, _ value: UInt64?, _ length: Int, _ main: MessageStream) -> Answer {
        guard length == 8, let vring = value.flatMap({ VringDescriptor($0) }),
            main.descriptorCount == (vring.hasDescriptor ? 1 : 0), !main.descriptorsWereTruncated
        else { return .malformed }
        guard UInt32(vring.queue) < options.queues else { return .refused(EINVAL) }
        let descriptor = main.takeFirstDescriptor()
        switch consume descriptor {
        case .some(let descriptor): vringDescriptors.set(Eventfd(descriptor), request: request, queue: vring.queue)
        case .none: vringDescriptors.set(nil, request: request, queue: vring.queue)
        }
        return .done
    }

    // MARK: Answers

    private func reply(_ header: MessageHeader, _ value: UInt64) -> ShmemError? {
        send(header, size: 8) { $0.store(integer: value, at: 0) }
    }

    private func replyWithConfig(_ header: MessageHeader) -> ShmemError? {
        send(header, size: SharedMemoryConfig.size) { config.encode(into: $0) }
    }

    /// An acknowledgement, where it is owed.
    private func acknowledge(_ header: MessageHeader, _ value: UInt64) -> ShmemError? {
        guard header.needsReply, protocolFeatures.contains(.replyAck) else { return nil }
        return reply(header, value)
    }

    /// A refusal that can't be told ends the connection: the front-end would take it for done.
    private func refuse(_ header: MessageHeader, _ code: Int32, _ what: String) -> ShmemError? {
        guard header.needsReply, protocolFeatures.contains(.replyAck) else {
            return ShmemError(code, "the front-end sent \(what), which is not served: \(Errno.text(code))")
        }
        return reply(header, UInt64(bitPattern: Int64(-code)))
    }

    private func send(_ header: MessageHeader, size: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) -> ShmemError? {
        // A callback may have ended the connection meanwhile.
        guard let main else { return nil }
        let sending = withUnsafeTemporaryAllocation(byteCount: MessageHeader.size &+ size, alignment: 8) { message in
            MessageHeader(request: header.request, flags: MessageHeader.replyFlags, size: UInt32(truncatingIfNeeded: size))
                .encode(into: message)
            fill(UnsafeMutableRawBufferPointer(rebasing: message[MessageHeader.size...]))
            return main.send(UnsafeRawBufferPointer(message))
        }
        guard case .failed(let error) = sending else { return nil }
        return ShmemError(error.code, "replying to the front-end: \(Errno.text(error.code)) (errno \(error.code))")
    }
}

extension FrontendRequest {
    fileprivate var isVringDescriptor: Bool {
        self == .setVringKick || self == .setVringCall || self == .setVringErr
    }
}
