// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A request of the back-end that was served or refused.
public struct ServedRequest: Sendable {
    public enum Kind: Sendable {
        case map, unmap
        /// Another request; all below but `request` and `error` is 0.
        case other
    }

    /// The request's id.
    public let request: UInt32
    /// The region's id.
    public let shmid: UInt8
    /// First byte in the region.
    public let offset: UInt64
    /// Bytes.
    public let length: UInt64
    /// First byte in the file; 0 for an unmap.
    public let fileOffset: UInt64
    /// As they came: bit 0 asks for a mapping that can be written.
    public let flags: UInt64
    /// What it was answered with: nil, it was done.
    public let error: ShmemError?

    public var kind: Kind {
        switch request {
        case BackendRequest.shmemMap: .map
        case BackendRequest.shmemUnmap: .unmap
        default: .other
        }
    }

    /// 0, or the negative errno that was answered.
    public var result: Int32 { error.map { -$0.code } ?? 0 }
}

/// A request of the back-end that is not about mappings. Good during the call that hands it over.
public struct OtherRequest {
    public let id: UInt32
    /// As they came: 8 asks for an answer.
    public let flags: UInt32
    public let payload: UnsafeRawBufferPointer
    /// Closed after the call: duplicate what is to be kept.
    public let descriptors: UnsafeBufferPointer<Int32>

    /// Whether the back-end waits for an answer.
    public var wantsAnswer: Bool { flags & MessageHeader.needReplyBit != 0 }
}
