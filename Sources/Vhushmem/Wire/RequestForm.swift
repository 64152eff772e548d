// SPDX-License-Identifier: BSD-3-Clause

/// What a front-end's request looks like, before anybody reads what it says.
struct RequestForm {
    /// Bytes of payload.
    let sizes: ClosedRange<Int>
    let descriptors: ClosedRange<Int>

    init(_ sizes: ClosedRange<Int>, descriptors: ClosedRange<Int> = 0...0) {
        self.sizes = sizes
        self.descriptors = descriptors
    }
}

extension FrontendRequest {
    /// Its reply says something, so there is none that could say no.
    var hasOwnReply: Bool {
        switch self {
        case .getFeatures, .getProtocolFeatures, .getVringBase, .getQueueNum, .getConfig, .getInflightFd, .getMaxMemSlots,
            .getStatus, .getSharedObject, .setDeviceStateFd, .checkDeviceState, .getShmemConfig, .setLogBase:
            true
        default: false
        }
    }

    /// nil: one that no back-end of this library serves, whatever it looks like.
    var form: RequestForm? {
        switch self {
        case .getFeatures, .setOwner, .resetOwner, .getProtocolFeatures, .getQueueNum, .resetDevice, .getMaxMemSlots,
            .getStatus, .checkDeviceState, .getShmemConfig:
            RequestForm(0...0)
        case .setFeatures, .setProtocolFeatures, .setVringNum, .setVringBase, .getVringBase, .setVringEnable, .setStatus,
            .setVringEndian, .vringKick:
            RequestForm(8...8)
        case .setVringKick, .setVringCall, .setVringErr: RequestForm(8...8, descriptors: 0...1)
        case .setVringAddr: RequestForm(VringAddresses.size...VringAddresses.size)
        case .setLogBase: RequestForm(LogArea.size...LogArea.size, descriptors: 1...1)
        // What the payload says is nothing, and some send eight bytes of it.
        case .setLogFd: RequestForm(0...8, descriptors: 1...1)
        case .setMemTable: RequestForm(8...Int.max, descriptors: 0...MemoryTable.maximumRegions)
        case .addMemReg: RequestForm(SingleMemoryRegion.size...SingleMemoryRegion.size, descriptors: 1...1)
        // Some front-ends send a descriptor, and it has to be let pass.
        case .remMemReg: RequestForm(SingleMemoryRegion.size...SingleMemoryRegion.size, descriptors: 0...1)
        case .setBackendReqFd: RequestForm(0...0, descriptors: 1...1)
        case .getConfig, .setConfig: RequestForm(ConfigAccess.size...Int.max)
        case .getInflightFd: RequestForm(0...InflightArea.size)
        case .setInflightFd: RequestForm(0...InflightArea.size, descriptors: 1...1)
        case .getSharedObject: RequestForm(16...16)
        case .setDeviceStateFd: RequestForm(DeviceStateTransfer.size...DeviceStateTransfer.size, descriptors: 1...1)
        default: nil
        }
    }
}
