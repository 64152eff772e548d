// SPDX-License-Identifier: BSD-3-Clause

/// The payload of SHMEM_MAP and SHMEM_UNMAP: 40 bytes.
struct SharedMemoryMap: Equatable {
    static let size = 40
    /// The one flag there is: the mapping can be written.
    static let readWrite: UInt64 = 1 << 0

    var shmid: UInt8
    var fileOffset: UInt64
    var offset: UInt64
    var length: UInt64
    var flags: UInt64

    init(shmid: UInt8, fileOffset: UInt64, offset: UInt64, length: UInt64, flags: UInt64) {
        self.shmid = shmid
        self.fileOffset = fileOffset
        self.offset = offset
        self.length = length
        self.flags = flags
    }

    /// The flags as today's, where the peer speaks the first versions of the series (SHMEM as bit 20): there bit 0 asks for reading and
    /// bit 1 for writing.
    @inline(never)
    mutating func translateFirstFlags() {
        let writes = flags & 2 != 0
        flags = flags & ~3 | (writes ? SharedMemoryMap.readWrite : 0)
    }

    /// nil unless the payload is exactly as long as it has to be. The padding is ignored, as padding is.
    @inline(__always)
    init?(_ payload: UnsafeRawBufferPointer) {
        guard payload.count == SharedMemoryMap.size, let shmid = payload.integer(at: 0, as: UInt8.self),
            let fileOffset = payload.integer(at: 8, as: UInt64.self), let offset = payload.integer(at: 16, as: UInt64.self),
            let length = payload.integer(at: 24, as: UInt64.self), let flags = payload.integer(at: 32, as: UInt64.self)
        else { return nil }
        self.init(shmid: shmid, fileOffset: fileOffset, offset: offset, length: length, flags: flags)
    }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        // The seven bytes of padding go out as zeros: nothing of this process's memory travels by accident.
        payload.store(integer: 0 as UInt64, at: 0)
        payload.store(integer: shmid, at: 0)
        payload.store(integer: fileOffset, at: 8)
        payload.store(integer: offset, at: 16)
        payload.store(integer: length, at: 24)
        payload.store(integer: flags, at: 32)
    }
}
