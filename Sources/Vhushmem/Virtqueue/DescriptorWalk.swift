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

    /// There were any since `take` was last called.
    @inline(__always)
    var isAny: Bool { areAny }

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
    /// Linux fills indirect tables longer than the queue, which the specification forbids; other devices take as many.
    private static let indirectEntries: UInt32 = 1024

    /// The range that the last buffer was in.
    private var span = GuestSpan()
    /// Descriptors that were looked at.
    private(set) var followed = 0

    /// What is known of it is no longer so.
    mutating func memoryChanged() { span = GuestSpan() }

    /// Fills a chain in with the one that begins at `head`. `table` is the queue's own. All chains are of the same memory, until `memoryChanged`.
    @_optimize(speed)
    mutating func follow(
        from head: UInt16, in table: DescriptorTable, takesIndirect: Bool, into chain: DescriptorChain
    ) throws(VirtqueueFault) {
        chain.removeAllPieces()
        var followed = 0
        defer { self.followed = followed }
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
                table = try DescriptorWalk.indirectTable(of: descriptor, queueSize: table.count, chain)
                left = table.count
                index = 0
                continue
            }
            try chain.add(descriptor, &span)
            guard let next = descriptor.next else { return }
            index = UInt32(next)
        }
    }

    /// The table that an indirect descriptor is about (VIRTIO 1.2, 2.7.5.3).
    private static func indirectTable(
        of descriptor: Descriptor, queueSize: UInt32, _ chain: DescriptorChain
    ) throws(VirtqueueFault) -> DescriptorTable {
        guard descriptor.next == nil else { throw VirtqueueFault("a chain goes on behind an indirect descriptor") }
        let (count, rest) = descriptor.length.quotientAndRemainder(dividingBy: DescriptorTable.entrySize)
        guard count > 0, rest == 0, count <= max(queueSize, indirectEntries) else {
            throw VirtqueueFault("an indirect table has an impossible length")
        }
        guard let table = chain.indirectTable(at: descriptor.address, count: count) else {
            throw VirtqueueFault("an indirect table lies outside of guest memory")
        }
        return table
    }
}
