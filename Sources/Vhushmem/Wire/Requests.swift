// SPDX-License-Identifier: BSD-3-Clause

/// Ids of the requests that a front-end sends.
enum FrontendRequest: UInt32 {
    case getFeatures = 1
    case setFeatures = 2
    case setOwner = 3
    case setMemTable = 5
    case setVringNum = 8
    case setVringAddr = 9
    case setVringBase = 10
    case getVringBase = 11
    case setVringKick = 12
    case setVringCall = 13
    case setVringErr = 14
    case getProtocolFeatures = 15
    case setProtocolFeatures = 16
    case getQueueNum = 17
    case setVringEnable = 18
    case setBackendReqFd = 21
    case resetDevice = 34
    case getMaxMemSlots = 36
    case getShmemConfig = 44

    /// The name in the specification, for messages.
    var name: StaticString {
        switch self {
        case .getFeatures: "GET_FEATURES"
        case .setFeatures: "SET_FEATURES"
        case .setOwner: "SET_OWNER"
        case .setMemTable: "SET_MEM_TABLE"
        case .setVringNum: "SET_VRING_NUM"
        case .setVringAddr: "SET_VRING_ADDR"
        case .setVringBase: "SET_VRING_BASE"
        case .getVringBase: "GET_VRING_BASE"
        case .setVringKick: "SET_VRING_KICK"
        case .setVringCall: "SET_VRING_CALL"
        case .setVringErr: "SET_VRING_ERR"
        case .getProtocolFeatures: "GET_PROTOCOL_FEATURES"
        case .setProtocolFeatures: "SET_PROTOCOL_FEATURES"
        case .getQueueNum: "GET_QUEUE_NUM"
        case .setVringEnable: "SET_VRING_ENABLE"
        case .setBackendReqFd: "SET_BACKEND_REQ_FD"
        case .resetDevice: "RESET_DEVICE"
        case .getMaxMemSlots: "GET_MAX_MEM_SLOTS"
        case .getShmemConfig: "GET_SHMEM_CONFIG"
        }
    }
}

/// Ids of the requests that a back-end sends on its own channel.
enum BackendRequest {
    static let shmemMap: UInt32 = 9
    static let shmemUnmap: UInt32 = 10
}
