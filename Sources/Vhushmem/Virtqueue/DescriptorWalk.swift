// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// An impossible value in a ring or in a descriptor, which ends the use of the queue; or a chain that cannot be served.
struct VirtqueueFault: Error {
    let sentence: StaticString
    /// The driver may be right: the chain goes back, and the queue goes on.
    let isOfChain: Bool

    init(_ sentence: StaticString, isOfChain: Bool = false) {
        self.sentence = sentence
        self.isOfChain = isOfChain
    }
}

/// Chains that cannot be served: they were given back, and the device has not seen them.
struct RefusedChains {
    /// The most descriptors of such chains that one `pop` follows, some milliseconds: a driver may put such chains in by the
    /// thousand, each as long as the queue.
    private static let most = 1 << 16

    private var followed = 0
    private var areAny = false

    /// There were any since the last `take`.
    @inline(__always)
    var isAny: Bool { areAny }

    /// This `pop` looks at no more of them.
    var areEnough: Bool { followed >= RefusedChains.most }

    mutating func begin() { followed = 0 }

    mutating func add(_ walk: DescriptorWalk) {
        areAny = true
        followed = followed &+ walk.followed
    }

    /// Whether there were any since the last call.
    mutating func take() -> Bool {
        defer { areAny = false }
        return areAny
    }
}

/// Follows a chain of descriptors (VIRTIO 1.2, 2.7.5). Every index, length and address comes from the driver; a walk reads
/// nothing twice.
@safe struct DescriptorWalk {
    /// Linux fills indirect tables that are longer than the queue, which the specification forbids. Other devices accept as
    /// many.
    private static let indirectEntries: UInt32 = 1024

    /// The range of the last buffer.
    private(set) var span = GuestSpan()
    /// Descriptors that were looked at.
    private(set) var followed = 0

    /// Forgets the range of the last buffer.
    mutating func memoryChanged() { span = GuestSpan() }

    /// Fills a chain in with the one that begins at `head`. `table` is the queue's own. All chains belong to the same memory,
    /// until `memoryChanged`.
    @_optimize(speed)
    mutating func follow(
        from head: UInt16, in table: DescriptorTable, takesIndirect: Bool, into chain: DescriptorChain
    ) throws(VirtqueueFault) {
        chain.removeAllPieces()
        var followed = 0
        defer { self.followed = followed }
        var table = table
        var index = UInt32(head)
        // A chain has no more descriptors than its table: a longer one is a loop.
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
                // The chain continues at the beginning of the other table, and ends there.
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

    /// The table of an indirect descriptor (VIRTIO 1.2, 2.7.5.3).
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
