// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The pieces of a chain: the address of each in this process, in the form of readv, and in the guest. Allocated room stays.
@safe struct ChainPieces: ~Copyable {
    /// The most pieces: each buffer of the largest queue, across the border between two ranges.
    static let most = 1 << 16
    private static let first = 4

    /// Room for `iovec`s, and behind them for as many addresses.
    private(set) var start: UnsafeMutablePointer<iovec>
    private var room: Int
    /// The guest addresses of the pieces.
    private var addresses: UnsafeMutableRawPointer
    private(set) var count = 0

    init() {
        room = ChainPieces.first
        unsafe start = unsafe ChainPieces.allocate(ChainPieces.first)
        unsafe addresses = unsafe UnsafeMutableRawPointer(start + ChainPieces.first)
    }

    deinit {
        unsafe UnsafeMutableRawPointer(start).deallocate()
    }

    private static func allocate(_ room: Int) -> UnsafeMutablePointer<iovec> {
        let size = unsafe room &* (MemoryLayout<iovec>.stride &+ MemoryLayout<UInt64>.stride)
        // SAFETY: new memory, large enough and aligned for so many of both.
        return unsafe UnsafeMutableRawPointer.allocate(byteCount: size, alignment: MemoryLayout<iovec>.alignment)
            .bindMemory(to: iovec.self, capacity: room)
    }

    @inline(__always)
    mutating func removeAll() { count = 0 }

    /// It takes more memory than a chain that is kept for another use should have.
    var isLarge: Bool { room > 128 }

    /// There is room for one more.
    @inline(__always)
    var hasRoom: Bool { count < room }

    /// False: the most pieces are reached.
    mutating func makeRoom() -> Bool {
        guard count < ChainPieces.most else { return false }
        if !hasRoom { grow() }
        return true
    }

    /// There must be room.
    @inline(__always)
    mutating func append(_ host: UnsafeMutableRawPointer, _ length: Int, guestAddress: UInt64) {
        // SAFETY: there is room for one more of both.
        unsafe start[count] = unsafe iovec(iov_base: host, iov_len: length)
        unsafe addresses.storeBytes(of: guestAddress, toByteOffset: count &* MemoryLayout<UInt64>.stride, as: UInt64.self)
        count = count &+ 1
    }

    /// There is always room for one.
    @inline(__always)
    mutating func replaceAll(by host: UnsafeMutableRawPointer, _ length: Int, guestAddress: UInt64) {
        removeAll()
        unsafe append(host, length, guestAddress: guestAddress)
    }

    @inline(never)
    private mutating func grow() {
        let larger = room &* 2
        let new = unsafe ChainPieces.allocate(larger)
        // SAFETY: the new memory has room for twice as many of both.
        unsafe memcpy(new, start, room &* MemoryLayout<iovec>.stride)
        unsafe memcpy(new + larger, addresses, room &* MemoryLayout<UInt64>.stride)
        unsafe UnsafeMutableRawPointer(start).deallocate()
        unsafe start = unsafe new
        unsafe addresses = unsafe UnsafeMutableRawPointer(new + larger)
        room = larger
    }

    /// The guest address of a piece.
    @inline(__always)
    func guestAddress(_ index: Int) -> UInt64 {
        // SAFETY: `index` is below the number of pieces.
        unsafe addresses.load(fromByteOffset: index &* MemoryLayout<UInt64>.stride, as: UInt64.self)
    }
}
