// SPDX-License-Identifier: BSD-3-Clause

/// A range of guest memory, as a back-end is told of it. 32 bytes.
struct MemoryTableRegion: Equatable {
    static let size = 32

    /// Its guest address.
    var guestAddress: UInt64
    /// Bytes.
    var length: UInt64
    /// Its address in the front-end's process, to which ring addresses refer.
    var userAddress: UInt64
    /// First byte in the file that travels along.
    var fileOffset: UInt64

    init(guestAddress: UInt64, length: UInt64, userAddress: UInt64, fileOffset: UInt64) {
        self.guestAddress = guestAddress
        self.length = length
        self.userAddress = userAddress
        self.fileOffset = fileOffset
    }

    init?(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        guard let guestAddress = unsafe bytes.integer(at: offset, as: UInt64.self),
            let length = unsafe bytes.integer(at: offset &+ 8, as: UInt64.self),
            let userAddress = unsafe bytes.integer(at: offset &+ 16, as: UInt64.self),
            let fileOffset = unsafe bytes.integer(at: offset &+ 24, as: UInt64.self)
        else { return nil }
        self.init(guestAddress: guestAddress, length: length, userAddress: userAddress, fileOffset: fileOffset)
    }

    func encode(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
        unsafe bytes.store(integer: guestAddress, at: offset)
        unsafe bytes.store(integer: length, at: offset &+ 8)
        unsafe bytes.store(integer: userAddress, at: offset &+ 16)
        unsafe bytes.store(integer: fileOffset, at: offset &+ 24)
    }
}

/// The payload of SET_MEM_TABLE: at most 8 regions, each with a descriptor of its own.
struct MemoryTable: Equatable {
    /// The most descriptors that a message may carry.
    static let maximumRegions = 8

    let regions: [MemoryTableRegion]

    /// nil: there are too many.
    init?(_ regions: [MemoryTableRegion]) {
        guard regions.count <= MemoryTable.maximumRegions else { return nil }
        self.regions = regions
    }

    /// nil unless the payload has exactly the length of the regions that it announces.
    init?(_ payload: UnsafeRawBufferPointer) {
        guard let stated = unsafe payload.integer(at: 0, as: UInt32.self), stated <= UInt32(MemoryTable.maximumRegions),
            payload.count == MemoryTable.size(of: Int(stated))
        else { return nil }
        var regions: [MemoryTableRegion] = []
        for index in 0..<Int(stated) {
            guard let region = unsafe MemoryTableRegion(payload, at: MemoryTable.size(of: index)) else { return nil }
            regions.append(region)
        }
        self.regions = regions
    }

    private static func size(of regions: Int) -> Int { 8 &+ regions &* MemoryTableRegion.size }

    var size: Int { MemoryTable.size(of: regions.count) }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        unsafe payload.store(integer: UInt32(truncatingIfNeeded: regions.count), at: 0)
        unsafe payload.store(integer: 0 as UInt32, at: 4)
        for (index, region) in regions.enumerated() { unsafe region.encode(into: payload, at: MemoryTable.size(of: index)) }
    }
}

/// The payload of ADD_MEM_REG and REM_MEM_REG: 40 bytes.
struct SingleMemoryRegion: Equatable {
    static let size = 8 + MemoryTableRegion.size

    var region: MemoryTableRegion

    init(_ region: MemoryTableRegion) {
        self.region = region
    }

    init?(_ payload: UnsafeRawBufferPointer) {
        guard payload.count == SingleMemoryRegion.size, let region = unsafe MemoryTableRegion(payload, at: 8) else {
            return nil
        }
        self.region = region
    }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        unsafe payload.store(integer: 0 as UInt64, at: 0)
        unsafe region.encode(into: payload, at: 8)
    }
}
