// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A request of the back-end that was served or refused.
public struct ServedRequest: Sendable {
    /// The kind of a request.
    public enum Kind: Sendable {
        /// SHMEM_MAP
        case map
        /// SHMEM_UNMAP
        case unmap
        /// Another request; all below but `request` and `error` is 0.
        case other
    }

    /// The request's id.
    public let request: UInt32
    private let map: SharedMemoryMap
    /// The error of the answer; nil: it was done.
    public let error: ShmemError?

    /// `map`: nil for another request, or for one that was too short to be read.
    @inline(__always)
    init(_ request: UInt32, _ map: SharedMemoryMap? = nil, error: ShmemError?) {
        self.request = request
        self.map = map ?? SharedMemoryMap(shmid: 0, fileOffset: 0, offset: 0, length: 0, flags: 0)
        self.error = error
    }

    /// The region's id.
    public var shmid: UInt8 { map.shmid }
    /// First byte in the region.
    public var offset: UInt64 { map.offset }
    /// Bytes.
    public var length: UInt64 { map.length }
    /// First byte in the file; 0 for an unmap.
    public var fileOffset: UInt64 { map.fileOffset }
    /// The flags as they came: bit 0 asks for a mapping that can be written.
    public var flags: UInt64 { map.flags }

    /// The kind of the request.
    public var kind: Kind {
        switch request {
        case BackendRequest.shmemMap: .map
        case BackendRequest.shmemUnmap: .unmap
        default: .other
        }
    }

    /// 0, or the negative errno of the answer.
    public var result: Int32 { error.map { -$0.code } ?? 0 }
}

/// A request of the back-end besides maps and unmaps. It is valid only during the call that receives it.
@safe public struct OtherRequest {
    /// The request's id.
    public let id: UInt32
    /// The flags as they came: 8 asks for an answer.
    public let flags: UInt32
    /// The payload as it came, valid during the call.
    public let payload: UnsafeRawBufferPointer
    /// Closed after the call: duplicate those that you keep.
    public let descriptors: UnsafeBufferPointer<Int32>

    /// Whether the back-end waits for an answer.
    public var wantsAnswer: Bool { flags & MessageHeader.needReplyBit != 0 }
}
