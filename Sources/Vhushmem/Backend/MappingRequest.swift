// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A map or unmap of a back-end, one of several that are sent before the first is answered.
public struct MappingRequest {
    let id: UInt32
    let payload: SharedMemoryMap
    /// Borrowed; nil: none travels along.
    let fd: Int32?
    /// Its result is known, as far as it ever will be.
    var isSettled = false
    /// 0, or a negative errno: the answer.
    public internal(set) var result: Int32 = 0

    private init(_ id: UInt32, _ payload: SharedMemoryMap, fd: Int32? = nil) {
        self.id = id
        self.payload = payload
        self.fd = fd
    }

    /// Makes a map of a range of a file.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - fd: the file, which stays the caller's, and must be open until the request was performed.
    ///   - fileOffset: first byte in the file; a multiple of the page size.
    ///   - offset: first byte in the region; a multiple of the page size.
    ///   - length: bytes.
    ///   - writable: the guest may write to it.
    /// - Returns: the request.
    public static func map(
        shmid: UInt8, fd: Int32, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64, writable: Bool = false
    ) -> MappingRequest {
        map(
            shmid: shmid, fd: fd, fileOffset: fileOffset, at: offset, length: length,
            flags: writable ? SharedMemoryMap.readWrite : 0)
    }

    static func map(
        shmid: UInt8, fd: Int32, fileOffset: UInt64, at offset: UInt64, length: UInt64, flags: UInt64
    ) -> MappingRequest {
        let payload = SharedMemoryMap(shmid: shmid, fileOffset: fileOffset, offset: offset, length: length, flags: flags)
        return MappingRequest(BackendRequest.shmemMap, payload, fd: fd)
    }

    /// Makes an unmap of a mapping.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - offset: the offset of the mapping, as it was made.
    ///   - length: the length of the mapping, as it was made.
    /// - Returns: the request.
    public static func unmap(shmid: UInt8, at offset: UInt64, length: UInt64) -> MappingRequest {
        let payload = SharedMemoryMap(shmid: shmid, fileOffset: 0, offset: offset, length: length, flags: 0)
        return MappingRequest(BackendRequest.shmemUnmap, payload)
    }

    var isMap: Bool { id == BackendRequest.shmemMap }

    var isWritable: Bool { payload.flags & SharedMemoryMap.readWrite != 0 }

    /// The reason why no front-end can grant it; nil: one may. Some front-ends never answer such a request, so it is not sent.
    var fault: ShmemError.Reason? {
        if payload.length == 0 { return .zeroLength }
        if payload.flags & ~SharedMemoryMap.readWrite != 0 { return .unknownFlags(payload.flags) }
        if ByteRange(start: payload.offset, length: payload.length) == nil { return .wrapsAround }
        if ByteRange(start: payload.fileOffset, length: payload.length) == nil { return .fileWrapsAround(payload.fileOffset) }
        return nil
    }

    /// The payload as it travels.
    func encode(into bytes: UnsafeMutableRawBufferPointer, asFirstFlags: Bool) {
        var payload = payload
        if isMap, asFirstFlags { payload.useFirstFlags() }
        unsafe payload.encode(into: bytes)
    }

    var subject: ShmemError.Subject {
        isMap
            ? .map(shmid: payload.shmid, offset: payload.offset, length: payload.length)
            : .unmap(shmid: payload.shmid, offset: payload.offset, length: payload.length)
    }
}
