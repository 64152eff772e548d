// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What was learnt and agreed on in a handshake.
struct Negotiated {
    var features: UInt64 = 0
    var protocolFeatures: ProtocolFeatures = []
    /// 1 where the back-end can't tell.
    var maximumQueues: UInt64 = 1
    /// 0 where the back-end can't tell.
    var memorySlots: UInt64 = 0
    /// Set once SET_PROTOCOL_FEATURES has gone: from the next request on, every one asks for its acknowledgement.
    var repliesAreAcknowledged = false
    var config: SharedMemoryConfig?
}

/// One step of the handshake, in the order in which QEMU's generic device speaks and back-ends expect it.
enum HandshakeStep: Equatable {
    case getFeatures
    case getProtocolFeatures
    case setProtocolFeatures
    case getQueueNum
    case getMaxMemSlots
    case setBackendReqFd
    case setOwner
    case getFeaturesAgain
    case setVringCall(UInt32)
    case setVringErr(UInt32)
    case getShmemConfig
    case done

    /// The step after this one.
    func next(_ negotiated: Negotiated, queues: UInt32, shmem: ProtocolFeatures, asksForRegions: Bool) -> HandshakeStep {
        let has = negotiated.protocolFeatures
        switch self {
        case .getFeatures:
            return negotiated.features & ProtocolFeatures.virtioFeature != 0 ? .getProtocolFeatures : .setOwner
        case .getProtocolFeatures: return .setProtocolFeatures
        case .setProtocolFeatures:
            if has.contains(.multiqueue) { return .getQueueNum }
            fallthrough
        case .getQueueNum:
            if has.contains(.configureMemSlots) { return .getMaxMemSlots }
            fallthrough
        case .getMaxMemSlots: return has.contains(.backendRequests) ? .setBackendReqFd : .setOwner
        case .setBackendReqFd: return .setOwner
        case .setOwner: return .getFeaturesAgain
        case .getFeaturesAgain: return .setVringCall(0)
        case .setVringCall(let queue): return .setVringErr(queue)
        case .setVringErr(let queue):
            if queue &+ 1 < queues { return .setVringCall(queue &+ 1) }
            return has.contains(shmem) && asksForRegions ? .getShmemConfig : .done
        case .getShmemConfig, .done: return .done
        }
    }

    var request: FrontendRequest {
        switch self {
        case .getFeatures, .getFeaturesAgain: .getFeatures
        case .getProtocolFeatures: .getProtocolFeatures
        case .setProtocolFeatures: .setProtocolFeatures
        case .getQueueNum: .getQueueNum
        case .getMaxMemSlots: .getMaxMemSlots
        case .setBackendReqFd: .setBackendReqFd
        case .setOwner: .setOwner
        case .setVringCall: .setVringCall
        case .setVringErr: .setVringErr
        case .getShmemConfig, .done: .getShmemConfig
        }
    }
}

extension FrontendRequest {
    /// How long the payload of the request's own reply is; nil: it has none, and may be acknowledged instead.
    var replySize: Int? {
        switch self {
        case .getFeatures, .getProtocolFeatures, .getQueueNum, .getMaxMemSlots: 8
        case .getShmemConfig: SharedMemoryConfig.size
        default: nil
        }
    }
}

/// A request whose reply or acknowledgement is awaited.
struct AwaitedReply {
    /// The request's.
    let id: UInt32
    /// The payload's length.
    let sizes: ClosedRange<Int>
    let mayHaveDescriptor: Bool
    let isAcknowledgement: Bool
    /// Microseconds.
    let deadline: UInt64
    /// nil: a step of the handshake.
    let call: FrontendCall?

    var name: String {
        FrontendRequest(rawValue: id).map { "\($0.name)" } ?? "request \(id)"
    }

    /// What is wrong with a message that should be this reply.
    func fault(_ header: MessageHeader, descriptors: Int) -> ShmemError? {
        if header.request != id {
            return ShmemError(EPROTO, "the back-end replied to request \(header.request) where \(name) was asked")
        }
        // libvhost-user leaves the need_reply of the request in some of its replies: it means nothing there.
        if header.flags & ~MessageHeader.needReplyBit != MessageHeader.replyFlags {
            return ShmemError(EPROTO, "the back-end's reply to \(name) has the flags \(hex(UInt64(header.flags))) and not 0x5")
        }
        guard let size = Int(exactly: header.size), sizes.contains(size) else {
            let wanted = sizes.count == 1 ? "\(sizes.lowerBound)" : "\(sizes.lowerBound) to \(sizes.upperBound)"
            return ShmemError(EPROTO, "the back-end's reply to \(name) has \(header.size) bytes of payload and not \(wanted)")
        }
        if descriptors > (mayHaveDescriptor ? 1 : 0) {
            return ShmemError(EPROTO, "the back-end's reply to \(name) came with \(descriptors) file descriptors")
        }
        return nil
    }
}

extension Negotiated {
    /// Takes what the reply to a step tells. Its length has been checked.
    mutating func learn(
        _ step: HandshakeStep, _ payload: UnsafeRawBufferPointer, wanted: ProtocolFeatures, shmem: ProtocolFeatures,
        queues: UInt32
    ) throws(ShmemError) {
        let value = payload.integer(at: 0, as: UInt64.self) ?? 0
        switch step {
        case .getFeatures, .getFeaturesAgain: features = value
        case .getProtocolFeatures:
            protocolFeatures = wanted.intersection(ProtocolFeatures(rawValue: value))
            // Without a channel to ask on there is nothing that could be mapped.
            if !protocolFeatures.contains(.backendRequests) { protocolFeatures.subtract(shmem) }
        case .getQueueNum:
            maximumQueues = value
            if value < UInt64(queues) {
                throw ShmemError(EPROTO, "the back-end can have \(value) queues, and \(queues) are needed")
            }
        case .getMaxMemSlots: memorySlots = value
        case .getShmemConfig: config = SharedMemoryConfig(payload)
        default: break
        }
    }
}

extension SharedMemoryConfig {
    /// Whether regions can be made of it. A count that merely disagrees with the sizes is logged: the sizes decide.
    func check() throws(ShmemError) {
        guard statedRegions <= UInt32(SharedMemoryConfig.maximumRegions) else {
            throw ShmemError(
                EPROTO, "the back-end says that it has \(statedRegions) shared memory regions, and a device has at most 256")
        }
        for shmid in UInt8.min...UInt8.max where !self[shmid].isMultiple(ofPage: Page.size) {
            throw ShmemError(
                EPROTO,
                "the back-end's region \(shmid) has \(hex(self[shmid])) bytes, no multiple of the page size,"
                    + " \(hex(Page.size))")
        }
        if statedRegions != UInt32(regionCount) {
            Log.warning(
                "the back-end says that it has \(statedRegions) shared memory regions, and gives sizes for \(regionCount)")
        }
    }
}
