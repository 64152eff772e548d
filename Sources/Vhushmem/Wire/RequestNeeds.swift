// SPDX-License-Identifier: BSD-3-Clause

/// What a back-end must have agreed to before a request may be sent to it.
extension FrontendRequest {
    /// The protocol feature; empty: none.
    func neededProtocolFeature(shmem: ProtocolFeatures) -> ProtocolFeatures {
        switch self {
        case .getQueueNum: .multiqueue
        case .setLogBase: .logSharedFd
        case .setBackendReqFd: .backendRequests
        case .setVringEndian: .crossEndian
        case .getConfig, .setConfig: .config
        case .getInflightFd, .setInflightFd: .inflightFd
        case .resetDevice: .resetDevice
        case .vringKick: .inbandNotifications
        case .getMaxMemSlots, .addMemReg, .remMemReg: .configureMemSlots
        case .setStatus, .getStatus: .status
        case .getSharedObject: .sharedObject
        case .setDeviceStateFd, .checkDeviceState: .deviceState
        case .getShmemConfig: shmem
        default: []
        }
    }

    /// Whether feature bit 30 of the virtio features is needed: without it queues are enabled from the start.
    var needsProtocolFeatures: Bool {
        switch self {
        case .getProtocolFeatures, .setProtocolFeatures, .setVringEnable: true
        default: false
        }
    }
}
