// SPDX-License-Identifier: BSD-3-Clause

/// The form of a front-end's request on the wire, and what must be negotiated first: one row of the table below.
struct RequestForm {
    /// The specification's name, without its prefix.
    let name: StaticString
    let needs: Need
    /// Bytes of payload.
    let payload: ClosedRange<Int>
    let descriptors: ClosedRange<Int>
    let reply: ReplyForm
    let sender: Sender
    /// A back-end of this library serves it.
    let isServed: Bool

    /// What the back-end must have agreed to before the request may be sent.
    enum Need {
        case nothing
        /// Bit 30 of the virtio features: VHOST_USER_F_PROTOCOL_FEATURES.
        case protocolFeatures
        case feature(ProtocolFeatures)
        /// The protocol feature SHMEM, whose bit depends on the peer.
        case shmem
    }

    /// Who may send it.
    enum Sender {
        case anyone
        /// The library alone. A program that sent it by itself would change what the library has to know.
        case library
    }

    @inline(__always)
    fileprivate init(
        _ name: StaticString, needs: Need = .nothing, payload: ClosedRange<Int> = 0...0,
        descriptors: ClosedRange<Int> = 0...0, reply: ReplyForm = .acknowledgement, sender: Sender = .anyone,
        isServed: Bool = true
    ) {
        self.name = name
        self.needs = needs
        self.payload = payload
        self.descriptors = descriptors
        self.reply = reply
        self.sender = sender
        self.isServed = isServed
    }
}

/// The form of the answer to a request.
enum ReplyForm {
    /// Only an acknowledgement, if REPLY_ACK was negotiated.
    case acknowledgement
    /// A reply of the request's own: bytes of payload, and whether a descriptor may come with it. It carries data, so it cannot
    /// signal refusal.
    case own(ClosedRange<Int>, mayHaveDescriptor: Bool = false)
    /// No payload (the request failed), or as many bytes as the request had.
    case likeTheRequest
}

extension FrontendRequest {
    /// The specification's name, without its prefix; nil: this library knows none.
    static func name(of request: UInt32) -> StaticString? { FrontendRequest(rawValue: request)?.form.name }

    /// The table of requests.
    var form: RequestForm {
        typealias Row = RequestForm
        let number = 8...8
        switch self {
        case .getFeatures: return Row("GET_FEATURES", reply: .own(number))
        case .setFeatures: return Row("SET_FEATURES", payload: number, sender: .library)
        case .setOwner: return Row("SET_OWNER", sender: .library)
        case .resetOwner: return Row("RESET_OWNER")
        case .setMemTable:
            return Row("SET_MEM_TABLE", payload: 8...Int.max, descriptors: 0...MemoryTable.maximumRegions, sender: .library)
        case .setLogBase:
            // Back-ends reply in different ways: a number, the payload again, or nothing.
            return Row(
                "SET_LOG_BASE", needs: .feature(.logSharedFd), payload: exactly(LogDescription.size), descriptors: 1...1,
                reply: .own(0...16))
        // The payload has no meaning, and some front-ends send eight bytes of it.
        case .setLogFd: return Row("SET_LOG_FD", payload: 0...8, descriptors: 1...1)
        case .setVringNum: return Row("SET_VRING_NUM", payload: number, sender: .library)
        case .setVringAddr: return Row("SET_VRING_ADDR", payload: exactly(VringAddresses.size), sender: .library)
        case .setVringBase: return Row("SET_VRING_BASE", payload: number, sender: .library)
        case .getVringBase: return Row("GET_VRING_BASE", payload: number, reply: .own(number), sender: .library)
        case .setVringKick: return Row("SET_VRING_KICK", payload: number, descriptors: 0...1, sender: .library)
        case .setVringCall: return Row("SET_VRING_CALL", payload: number, descriptors: 0...1, sender: .library)
        case .setVringErr: return Row("SET_VRING_ERR", payload: number, descriptors: 0...1, sender: .library)
        case .getProtocolFeatures:
            return Row("GET_PROTOCOL_FEATURES", needs: .protocolFeatures, reply: .own(number))
        case .setProtocolFeatures:
            return Row("SET_PROTOCOL_FEATURES", needs: .protocolFeatures, payload: number, sender: .library)
        case .getQueueNum:
            return Row("GET_QUEUE_NUM", needs: .feature(.multiqueue), reply: .own(number))
        case .setVringEnable: return Row("SET_VRING_ENABLE", needs: .protocolFeatures, payload: number, sender: .library)
        case .sendRarp: return Row("SEND_RARP", isServed: false)
        case .netSetMtu: return Row("NET_SET_MTU", isServed: false)
        case .setBackendReqFd:
            return Row("SET_BACKEND_REQ_FD", needs: .feature(.backendRequests), descriptors: 1...1, sender: .library)
        case .iotlbMessage: return Row("IOTLB_MSG", isServed: false)
        case .setVringEndian: return Row("SET_VRING_ENDIAN", needs: .feature(.crossEndian), payload: number)
        case .getConfig:
            return Row("GET_CONFIG", needs: .feature(.config), payload: ConfigAccess.size...Int.max, reply: .likeTheRequest)
        case .setConfig: return Row("SET_CONFIG", needs: .feature(.config), payload: ConfigAccess.size...Int.max)
        case .getInflightFd:
            return Row(
                "GET_INFLIGHT_FD", needs: .feature(.inflightFd), payload: 0...InflightDescription.size,
                reply: .own(20...InflightDescription.size, mayHaveDescriptor: true))
        case .setInflightFd:
            return Row(
                "SET_INFLIGHT_FD", needs: .feature(.inflightFd), payload: 0...InflightDescription.size, descriptors: 1...1)
        case .gpuSetSocket: return Row("GPU_SET_SOCKET", isServed: false)
        case .resetDevice: return Row("RESET_DEVICE", needs: .feature(.resetDevice), sender: .library)
        case .vringKick: return Row("VRING_KICK", needs: .feature(.inbandNotifications), payload: number)
        case .getMaxMemSlots:
            return Row("GET_MAX_MEM_SLOTS", needs: .feature(.configureMemSlots), reply: .own(number))
        case .addMemReg:
            return Row(
                "ADD_MEM_REG", needs: .feature(.configureMemSlots), payload: exactly(SingleMemoryRegion.size),
                descriptors: 1...1,
                sender: .library)
        // Some front-ends send a descriptor, which must be accepted.
        case .remMemReg:
            return Row(
                "REM_MEM_REG", needs: .feature(.configureMemSlots), payload: exactly(SingleMemoryRegion.size),
                descriptors: 0...1,
                sender: .library)
        case .setStatus: return Row("SET_STATUS", needs: .feature(.status), payload: number)
        case .getStatus: return Row("GET_STATUS", needs: .feature(.status), reply: .own(number))
        case .getSharedObject:
            // The reply has the name again, or nothing: the descriptor is the answer.
            return Row(
                "GET_SHARED_OBJECT", needs: .feature(.sharedObject), payload: exactly(ObjectName.size),
                reply: .own(0...ObjectName.size, mayHaveDescriptor: true))
        case .setDeviceStateFd:
            return Row(
                "SET_DEVICE_STATE_FD", needs: .feature(.deviceState), payload: exactly(DeviceStateTransfer.size),
                descriptors: 1...1, reply: .own(number, mayHaveDescriptor: true))
        case .checkDeviceState: return Row("CHECK_DEVICE_STATE", needs: .feature(.deviceState), reply: .own(number))
        case .getVringBaseSkipDrain:
            return Row(
                "GET_VRING_BASE_SKIP_DRAIN", needs: .feature(.getVringBaseSkipDrain), payload: number, reply: .own(number),
                sender: .library, isServed: false)
        case .getShmemConfig:
            return Row("GET_SHMEM_CONFIG", needs: .shmem, reply: .own(exactly(SharedMemoryConfig.size)))
        }
    }

    /// The specification's name.
    var name: StaticString { form.name }

    /// The reply is the request's own, so no acknowledgement follows.
    var hasOwnReply: Bool {
        if case .acknowledgement = form.reply { return false }
        return true
    }

    /// The protocol feature that must be negotiated; empty: none. `shmem` is the one that means SHMEM with this peer.
    func neededFeature(shmem: ProtocolFeatures) -> ProtocolFeatures {
        switch form.needs {
        case .nothing, .protocolFeatures: []
        case .feature(let feature): feature
        case .shmem: shmem
        }
    }

    /// Bit 30 of the virtio features is needed.
    var needsProtocolFeatures: Bool {
        if case .protocolFeatures = form.needs { return true }
        return false
    }

    private func exactly(_ size: Int) -> ClosedRange<Int> { size...size }
}
