// SPDX-License-Identifier: BSD-3-Clause

/// The meaning of the flags of a SHMEM_MAP on the wire.
public enum MapFlags: Sendable {
    /// Bit 0 asks for writing, as in the specification.
    case current
    /// As in versions 1 to 4 of the series: bit 0 asks for reading, bit 1 for writing.
    case first

    /// The default for a peer whose SHMEM is this protocol feature bit. (Versions 5 to 11 have bit 20 too.)
    static func `default`(shmemBit: UInt32) -> MapFlags { shmemBit == ProtocolFeatures.firstShmemBit ? .first : .current }
}

/// The payload of SHMEM_MAP and SHMEM_UNMAP: 40 bytes.
struct SharedMemoryMap: Equatable {
    static let size = 40
    /// The only flag: the mapping can be written.
    static let readWrite: UInt64 = 1 << 0
    /// Versions 1 to 4 of the series have other flags: bit 0 asks for reading, bit 1 for writing.
    private static let firstRead: UInt64 = 1 << 0
    private static let firstWrite: UInt64 = 1 << 1

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

    /// Turns flags of the first versions into today's.
    @inline(never)
    mutating func translateFirstFlags() {
        let writes = flags & SharedMemoryMap.firstWrite != 0
        flags = flags & ~(SharedMemoryMap.firstRead | SharedMemoryMap.firstWrite) | (writes ? SharedMemoryMap.readWrite : 0)
    }

    /// Turns today's flags into those of the first versions.
    mutating func useFirstFlags() {
        let writes = flags & SharedMemoryMap.readWrite != 0
        flags = SharedMemoryMap.firstRead | (writes ? SharedMemoryMap.firstWrite : 0)
    }

    /// nil unless the payload has exactly the right length. The padding is ignored.
    @inline(__always)
    init?(_ payload: UnsafeRawBufferPointer) {
        guard payload.count == SharedMemoryMap.size, let shmid = unsafe payload.integer(at: 0, as: UInt8.self),
            let fileOffset = unsafe payload.integer(at: 8, as: UInt64.self),
            let offset = unsafe payload.integer(at: 16, as: UInt64.self),
            let length = unsafe payload.integer(at: 24, as: UInt64.self),
            let flags = unsafe payload.integer(at: 32, as: UInt64.self)
        else { return nil }
        self.init(shmid: shmid, fileOffset: fileOffset, offset: offset, length: length, flags: flags)
    }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        // The seven bytes of padding go out as zeros, so no memory of this process leaks.
        unsafe payload.store(integer: 0 as UInt64, at: 0)
        unsafe payload.store(integer: shmid, at: 0)
        unsafe payload.store(integer: fileOffset, at: 8)
        unsafe payload.store(integer: offset, at: 16)
        unsafe payload.store(integer: length, at: 24)
        unsafe payload.store(integer: flags, at: 32)
    }
}
