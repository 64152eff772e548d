// SPDX-License-Identifier: BSD-3-Clause

/// Ids of the requests that a front-end sends. `form` has the form of each.
enum FrontendRequest: UInt32 {
    case getFeatures = 1
    case setFeatures = 2
    case setOwner = 3
    case resetOwner = 4
    case setMemTable = 5
    case setLogBase = 6
    case setLogFd = 7
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
    case sendRarp = 19
    case netSetMtu = 20
    case setBackendReqFd = 21
    case iotlbMessage = 22
    case setVringEndian = 23
    case getConfig = 24
    case setConfig = 25
    case getInflightFd = 31
    case setInflightFd = 32
    case gpuSetSocket = 33
    case resetDevice = 34
    case vringKick = 35
    case getMaxMemSlots = 36
    case addMemReg = 37
    case remMemReg = 38
    case setStatus = 39
    case getStatus = 40
    case getSharedObject = 41
    case setDeviceStateFd = 42
    case checkDeviceState = 43
    case getShmemConfig = 44
    case getVringBaseSkipDrain = 45
}

/// Ids of the requests that a back-end sends on its own channel.
enum BackendRequest {
    static let iotlbMessage: UInt32 = 1
    static let configChange: UInt32 = 2
    static let vringHostNotifier: UInt32 = 3
    static let vringCall: UInt32 = 4
    static let vringErr: UInt32 = 5
    static let sharedObjectAdd: UInt32 = 6
    static let sharedObjectRemove: UInt32 = 7
    static let sharedObjectLookup: UInt32 = 8
    static let shmemMap: UInt32 = 9
    static let shmemUnmap: UInt32 = 10

    /// The specification's name, without its prefix; nil: this library knows none.
    static func name(of request: UInt32) -> StaticString? {
        switch request {
        case iotlbMessage: "IOTLB_MSG"
        case configChange: "CONFIG_CHANGE_MSG"
        case vringHostNotifier: "VRING_HOST_NOTIFIER_MSG"
        case vringCall: "VRING_CALL"
        case vringErr: "VRING_ERR"
        case sharedObjectAdd: "SHARED_OBJECT_ADD"
        case sharedObjectRemove: "SHARED_OBJECT_REMOVE"
        case sharedObjectLookup: "SHARED_OBJECT_LOOKUP"
        case shmemMap: "SHMEM_MAP"
        case shmemUnmap: "SHMEM_UNMAP"
        default: nil
        }
    }
}
