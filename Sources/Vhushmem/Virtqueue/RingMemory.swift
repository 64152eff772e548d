// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The three parts of a split virtqueue (VIRTIO 1.2, 2.7) in this process. This file has every load and store of a ring.
///
/// The driver may write all of it at any moment. So each read here is one access that no compiler repeats, and a caller checks
/// and uses what that read has returned. A caller that reads a word again checks it again. No entry number leads out of a part:
/// it is reduced to the size of the queue, as the specification says for the rings, or compared with it.
///
/// Valid as long as something holds the guest memory that it was found in. It does not hold the memory itself: that would count
/// references in each `pop` and `push`.
@safe struct RingMemory {
    private let descriptors: UnsafeMutableRawPointer
    private let available: UnsafeMutableRawPointer
    private let used: UnsafeMutableRawPointer
    /// A power of two.
    private let size: UInt16

    // Both rings have: u16 flags, u16 index, the entries, and u16 for the index at which the other side wants a notice.
    private static let flags = 0
    private static let index = 2
    private static let entries = 4
    private static let headerAndEvent: UInt64 = 6
    private static let availableEntrySize = 2
    private static let usedEntrySize = 8

    /// nil: a part lies outside of guest memory or is not aligned, or no queue has this size.
    init?(size: UInt16, _ addresses: VringAddresses, in memory: BackendMemory) {
        let count = UInt64(size)
        guard count.isPowerOfTwo,
            let descriptors = unsafe memory.host(
                atUser: addresses.descriptors, length: UInt64(DescriptorTable.entrySize) &* count),
            let available = unsafe memory.host(
                atUser: addresses.available,
                length: RingMemory.headerAndEvent &+ UInt64(RingMemory.availableEntrySize) &* count),
            let used = unsafe memory.host(
                atUser: addresses.used, length: RingMemory.headerAndEvent &+ UInt64(RingMemory.usedEntrySize) &* count),
            UInt(bitPattern: descriptors) & 15 == 0, UInt(bitPattern: available) & 1 == 0, UInt(bitPattern: used) & 3 == 0
        else { return nil }
        unsafe self.descriptors = unsafe descriptors
        unsafe self.available = unsafe available
        unsafe self.used = unsafe used
        self.size = size
    }

    @inline(__always) var descriptorTable: DescriptorTable { unsafe DescriptorTable(descriptors, count: UInt32(size)) }

    // MARK: The available ring, which the driver writes

    @inline(__always) var availableFlags: UInt16 {
        // SAFETY: the part is larger than its header, and begins at an even address.
        unsafe UInt16(littleEndian: vhu_load16_relaxed(available + RingMemory.flags))
    }

    /// The entries below it were written before it was.
    @inline(__always) var availableIndex: UInt16 {
        // SAFETY: as for the flags; the offset is even.
        unsafe UInt16(littleEndian: vhu_load16_acquire(available + RingMemory.index))
    }

    /// The number in the entry of a free-running index.
    @inline(__always) func availableHead(at index: UInt16) -> UInt16 {
        // SAFETY: the number is reduced to the entries that the part has; they begin at an even offset and have 2 bytes each.
        unsafe UInt16(
            littleEndian: vhu_load16_relaxed(available + RingMemory.entries + RingMemory.availableEntrySize * entry(index)))
    }

    /// The used index at which the driver wants a call.
    @inline(__always) var usedEvent: UInt16 {
        // SAFETY: the part has 2 bytes behind its last entry, at an even offset.
        unsafe UInt16(
            littleEndian: vhu_load16_relaxed(available + RingMemory.entries + RingMemory.availableEntrySize * Int(size)))
    }

    // MARK: The used ring, which the device writes

    @inline(__always) var usedIndex: UInt16 {
        // SAFETY: the part is larger than its header, begins at a multiple of 4, and the offset is even.
        unsafe UInt16(littleEndian: vhu_load16_relaxed(used + RingMemory.index))
    }

    /// Makes everything that was written before visible before it.
    @inline(__always) func publishUsedIndex(_ index: UInt16) {
        // SAFETY: as for reading it.
        unsafe vhu_store16_release(used + RingMemory.index, index.littleEndian)
    }

    @inline(__always) func setUsedFlags(_ flags: UInt16) {
        // SAFETY: the part is larger than its header, and begins at a multiple of 4.
        unsafe vhu_store16_relaxed(used + RingMemory.flags, flags.littleEndian)
    }

    /// Fills in the entry of a free-running index.
    @inline(__always) func setUsed(at index: UInt16, head: UInt16, written: UInt32) {
        let place = unsafe used + offset(of: .entry(index))
        // SAFETY: the number is reduced to the entries that the part has; they begin at an offset of 4 and have 8 bytes each,
        // and the part begins at a multiple of 4.
        unsafe vhu_store32_relaxed(place, UInt32(head).littleEndian)
        unsafe vhu_store32_relaxed(place + 4, written.littleEndian)
    }

    /// The number in the used entry of a free-running index.
    @inline(__always) private func usedHead(at index: UInt16) -> UInt32 {
        // SAFETY: as for filling it in.
        unsafe UInt32(littleEndian: vhu_load32_relaxed(used + offset(of: .entry(index))))
    }

    /// The index to continue from if only the rings and the front-end tell it. DPDK's virtio-user says 0 to a back-end that
    /// comes back. Then chains that were given back would be taken twice, or the driver would seem too far ahead.
    func beginning(from base: UInt16) -> UInt16 {
        let used = usedIndex
        // At the used index, or ahead of it by chains that were taken and not given back.
        if base &- used <= size { return base }
        guard availableIndex &- base <= size else { return used }
        // The used ring counts if it has the chains from the base on, in their order.
        let count = used &- base
        guard count <= size else { return base }
        for number in 0..<count where usedHead(at: base &+ number) != UInt32(availableHead(at: base &+ number)) { return base }
        return used
    }

    /// The available index at which the device wants a kick.
    @inline(__always) func setAvailableEvent(_ index: UInt16) {
        // SAFETY: the part has 2 bytes behind its last entry, at an even offset.
        unsafe vhu_store16_relaxed(used + offset(of: .event), index.littleEndian)
    }

    /// The part of the used ring that is written at once.
    enum UsedPart {
        case flags, index, entry(UInt16), event
    }

    /// The first byte of such a part in the used ring, and its length in bytes.
    typealias UsedPlace = (offset: UInt64, count: UInt64)

    @inline(__always) func place(of part: UsedPart) -> UsedPlace {
        let count: Int
        if case .entry = part { count = RingMemory.usedEntrySize } else { count = 2 }
        return (UInt64(offset(of: part)), UInt64(count))
    }

    @inline(__always) private func offset(of part: UsedPart) -> Int {
        switch part {
        case .flags: RingMemory.flags
        case .index: RingMemory.index
        case .entry(let index): RingMemory.entries + RingMemory.usedEntrySize * entry(index)
        case .event: RingMemory.entries + RingMemory.usedEntrySize * Int(size)
        }
    }

    /// Indices run freely, modulo 65536; the entry is the index modulo the size.
    @inline(__always) private func entry(_ index: UInt16) -> Int { Int(index & (size &- 1)) }
}

/// A table of descriptors: the queue's own, or an indirect one. Valid as long as the guest memory that it was found in.
@safe struct DescriptorTable {
    static let entrySize: UInt32 = 16

    private let start: UnsafeRawPointer
    let count: UInt32

    /// There are `count` descriptors.
    fileprivate init(_ start: UnsafeRawPointer, count: UInt32) {
        unsafe self.start = unsafe start
        self.count = count
    }

    /// nil: it is not all in one range of guest memory. `address`: a guest address.
    init?(at address: UInt64, count: UInt32, in memory: BackendMemory) {
        let length = UInt64(count) &* UInt64(DescriptorTable.entrySize)
        guard let start = unsafe memory.host(at: address, length: length, isWritten: false) else { return nil }
        unsafe self.init(start, count: count)
    }

    /// A copy, so that what was checked is what is used. nil: there is none with this number.
    @inline(__always) subscript(index: UInt32) -> Descriptor? {
        guard index < count else { return nil }
        // SAFETY: the table has more entries than `index`, of 16 bytes each; the copy is made whatever the alignment is.
        return unsafe Descriptor(vhu_descriptor_at(start + Int(index &* DescriptorTable.entrySize)))
    }
}

/// A piece of memory that the driver names, and the next one.
struct Descriptor {
    private static let hasNextFlag: UInt16 = 1
    private static let writableFlag: UInt16 = 2
    private static let indirectFlag: UInt16 = 4

    private let raw: vhu_descriptor

    @inline(__always) fileprivate init(_ raw: vhu_descriptor) {
        self.raw = raw
    }

    @inline(__always) private var rest: UInt64 { UInt64(littleEndian: raw.rest) }
    @inline(__always) private var flags: UInt16 { UInt16(truncatingIfNeeded: rest &>> 32) }
    /// The guest's.
    @inline(__always) var address: UInt64 { UInt64(littleEndian: raw.address) }
    @inline(__always) var length: UInt32 { UInt32(truncatingIfNeeded: rest) }
    @inline(__always) var isWritable: Bool { flags & Descriptor.writableFlag != 0 }
    @inline(__always) var isIndirect: Bool { flags & Descriptor.indirectFlag != 0 }
    /// It is a chain by itself, and direct.
    @inline(__always) var isAlone: Bool { flags & (Descriptor.indirectFlag | Descriptor.hasNextFlag) == 0 }
    /// The number of the next one; nil: it is the last.
    @inline(__always) var next: UInt16? { flags & Descriptor.hasNextFlag != 0 ? UInt16(truncatingIfNeeded: rest &>> 48) : nil }
}
