// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// An impossible value in a ring or in a descriptor: the queue is not used any more. Or a chain alone can't be served.
struct VirtqueueFault: Error {
    let sentence: StaticString
    /// The driver may have done what it may: the chain goes back, and the queue goes on.
    let isOfChain: Bool

    init(_ sentence: StaticString, isOfChain: Bool = false) {
        self.sentence = sentence
        self.isOfChain = isOfChain
    }
}

/// Chains that were given back and that the device has not seen, since it can't be served with them.
struct RefusedChains {
    /// Descriptors of such chains that one `pop` follows, some milliseconds: a driver may put them in by the thousand, each as long as the
    /// queue.
    private static let most = 1 << 16

    private var followed = 0
    private var areAny = false

    /// No more of them are looked at in this `pop`.
    var areEnough: Bool { followed >= RefusedChains.most }

    mutating func begin() { followed = 0 }

    mutating func add(_ walk: DescriptorWalk) {
        areAny = true
        followed = followed &+ walk.followed
    }

    /// Whether there were any since this was last asked.
    mutating func take() -> Bool {
        defer { areAny = false }
        return areAny
    }
}

/// Follows a chain of descriptors (VIRTIO 1.2, 2.7.5). Every index, length and address is the driver's; nothing is read twice.
@safe struct DescriptorWalk {
    /// What a whole chain may come to: lengths are 32 bits in the used ring.
    private static let mostBytes: UInt64 = 1 << 32
    /// Linux fills indirect tables longer than the queue, which the specification forbids; other devices take as many.
    private static let indirectEntries: UInt32 = 1024
    /// Each buffer of the largest queue, lying across the border between two ranges.
    private static let mostSegments = 1 << 16

    private(set) var segments: [iovec] = unsafe []
    private(set) var readableSegments = 0
    private(set) var readableSize: UInt64 = 0
    private(set) var writableSize: UInt64 = 0
    /// Descriptors that were looked at.
    private(set) var followed = 0

    /// Forgets what was found, and keeps its room.
    private mutating func begin() {
        unsafe segments.removeAll(keepingCapacity: true)
        readableSegments = 0
        readableSize = 0
        writableSize = 0
        followed = 0
    }

    /// Collects the pieces of the chain that begins at `head`. `table` is the queue's own.
    mutating func follow(
        from head: UInt16, in table: DescriptorTable, memory: BackendMemory, takesIndirect: Bool
    ) throws(VirtqueueFault) {
        begin()
        var table = table
        var index = UInt32(head)
        // A chain has no more descriptors than its table: one that goes on is a loop.
        var left = table.count
        var mayBeIndirect = takesIndirect
        while true {
            guard let descriptor = table[index] else {
                throw VirtqueueFault("the index of a descriptor lies outside of its table")
            }
            guard left > 0 else { throw VirtqueueFault("a chain of descriptors is longer than its table") }
            left = left &- 1
            followed = followed &+ 1
            if descriptor.isIndirect {
                guard mayBeIndirect else { throw VirtqueueFault("a descriptor is indirect where none may be") }
                mayBeIndirect = false
                // The chain goes on at the beginning of the other table, and ends there.
                table = try DescriptorWalk.indirectTable(of: descriptor, queueSize: table.count, memory)
                left = table.count
                index = 0
                continue
            }
            try add(descriptor, memory)
            guard let next = descriptor.next else { return }
            index = UInt32(next)
        }
    }

    /// The table that an indirect descriptor is about (VIRTIO 1.2, 2.7.5.3).
    private static func indirectTable(
        of descriptor: Descriptor, queueSize: UInt32, _ memory: BackendMemory
    ) throws(VirtqueueFault) -> DescriptorTable {
        guard descriptor.next == nil else { throw VirtqueueFault("a chain goes on behind an indirect descriptor") }
        let (count, rest) = descriptor.length.quotientAndRemainder(dividingBy: DescriptorTable.entrySize)
        guard count > 0, rest == 0, count <= max(queueSize, indirectEntries) else {
            throw VirtqueueFault("an indirect table has a length that it can't have")
        }
        guard let table = DescriptorTable(at: descriptor.address, count: count, in: memory) else {
            throw VirtqueueFault("an indirect table lies outside of guest memory")
        }
        return table
    }

    private mutating func add(_ descriptor: Descriptor, _ memory: BackendMemory) throws(VirtqueueFault) {
        let length = UInt64(descriptor.length)
        // What the device may write comes behind all that it may read (VIRTIO 1.2, 2.7.4.2).
        guard descriptor.isWritable || writableSize == 0 else {
            throw VirtqueueFault("a chain has something to read behind something to write")
        }
        guard length <= DescriptorWalk.mostBytes &- readableSize &- writableSize else {
            throw VirtqueueFault("a chain has more than 4 GiB")
        }
        guard let whole = ByteRange(start: descriptor.address, length: length) else {
            throw VirtqueueFault("a buffer wraps around")
        }
        var at = whole.start
        // Guest memory that is one piece for the guest may be several here.
        while at < whole.end {
            guard let piece = memory.piece(at: at, length: whole.end &- at) else {
                // The guest has more memory than this process was told of: that of other devices, and what a file is mapped to. A buffer that
                // lies there is no fault of the driver's. One that goes over the edge of what was told, or begins there, is.
                throw VirtqueueFault("a buffer lies outside of guest memory", isOfChain: !memory.touches(whole))
            }
            guard !descriptor.isWritable || !piece.isReadOnly else {
                throw VirtqueueFault("a buffer that is to be written lies in memory that may only be read", isOfChain: true)
            }
            guard unsafe segments.count < DescriptorWalk.mostSegments else {
                throw VirtqueueFault("a chain has too many pieces")
            }
            unsafe segments.append(iovec(iov_base: piece.host, iov_len: Int(clamping: piece.length)))
            at = at &+ piece.length
        }
        if descriptor.isWritable {
            writableSize = writableSize &+ length
        } else {
            readableSize = readableSize &+ length
            readableSegments = unsafe segments.count
        }
    }
}
