// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The pool of nodes. They are cut from slabs, go back to a free list, and return to the allocator only when the table ends.
/// There are two reasons: a pair of insert and remove allocates nothing once warm, and a reader that follows a stale pointer
/// still reads a node.
extension MappingTable {
    /// The words before a slab's first node: one links the slabs, the rest keeps the nodes on cache lines of their own.
    private static var slabHeaderWords: Int { 8 }
    /// 48 nodes and the header are just below 64 KiB. malloc takes such a block from its heap: no system call for each.
    private static var largestSlab: UInt64 { 48 }
    /// From this number of nodes on, slabs are large pages. All of such a table is in use: every few nodes would take a page of
    /// their own, and its place in the processor's translation cache.
    private static var nodesBeforeLargePages: UInt64 { 4096 }
    private static var largePage: Int { 1 << 21 }
    private static var nodesOfLargePage: UInt64 {
        UInt64((largePage / MemoryLayout<UInt64>.stride - slabHeaderWords) / TableNode.wordCount)
    }

    /// How many nodes the table has taken from the allocator, in use or free.
    var allocatedNodes: UInt64 { unsafe state[StateWord.allocatedNodes] }
    /// How many of them are free.
    var freeNodes: UInt64 { unsafe state[StateWord.freeNodeCount] }

    /// Makes sure that `needed` nodes are free; false: no memory.
    ///
    /// It is called before a change begins: readers must never wait for the allocator, and a change must not fail halfway.
    @inline(__always)
    func reserveNodes(_ needed: UInt64) -> Bool {
        freeNodes >= needed || growPool(by: needed &- freeNodes)
    }

    @inline(never)
    private func growPool(by missing: UInt64) -> Bool {
        let allocated = allocatedNodes
        guard allocated < nodeLimit, missing <= nodeLimit &- allocated else { return false }
        // Each slab doubles the pool until slabs are large. So one record costs one node, and a large table few calls of
        // malloc.
        let isLarge = allocated >= Self.nodesBeforeLargePages && nodeLimit &- allocated >= Self.nodesOfLargePage
        if isLarge, addLargePage() { return true }
        let wanted = min(max(allocated, missing), Self.largestSlab, nodeLimit &- allocated)
        return addSlab(of: max(wanted, missing)) || addSlab(of: missing)
    }

    private func addSlab(of nodes: UInt64) -> Bool {
        // At most 48 nodes or one a level: far from overflow.
        let count = Int(truncatingIfNeeded: nodes)
        let size = (Self.slabHeaderWords + count * TableNode.wordCount) * MemoryLayout<UInt64>.stride
        guard let memory = unsafe aligned_alloc(64, size) else { return false }
        unsafe add(memory, size, count)
        return true
    }

    private func addLargePage() -> Bool {
        guard let memory = unsafe aligned_alloc(Self.largePage, Self.largePage) else { return false }
        // If the kernel has no large page, this is memory like other memory.
        try? unsafe MemoryCalls.advise(memory, Self.largePage, MADV_HUGEPAGE)
        unsafe add(memory, Self.largePage, Int(Self.nodesOfLargePage))
        return true
    }

    private func add(_ memory: UnsafeMutableRawPointer, _ size: Int, _ count: Int) {
        // SAFETY: the block is new and of `size` bytes: a header and `count` nodes.
        let slab = unsafe memory.bindMemory(to: UInt64.self, capacity: size / MemoryLayout<UInt64>.stride)
        unsafe slab[0] = unsafe state[StateWord.slabs]
        unsafe state[StateWord.slabs] = UInt64(UInt(bitPattern: slab))
        unsafe state[StateWord.allocatedNodes] &+= UInt64(count)
        // From the last to the first, so that nodes are handed out in the order of their addresses.
        for index in (0..<count).reversed() {
            unsafe recycle(TableNode(words: slab + (Self.slabHeaderWords + index * TableNode.wordCount)))
        }
    }

    /// Takes a free node; `reserveNodes` has made sure that there is one.
    func takeNode(level: Int) -> TableNode {
        // The list is not empty: the caller has reserved as many nodes as it takes.
        let node = unsafe TableNode(certain: state[StateWord.freeNodes])
        unsafe state[StateWord.freeNodes] = node.next?.address ?? 0
        unsafe state[StateWord.freeNodeCount] &-= 1
        node.reset(level: level)
        return node
    }

    /// Puts a node that the tree no longer reaches into the free list. A reader may still be in it. It will find that the
    /// sequence has changed.
    func recycle(_ node: TableNode) {
        unsafe node.store(state[StateWord.freeNodes], at: 2)
        unsafe state[StateWord.freeNodes] = node.address
        unsafe state[StateWord.freeNodeCount] &+= 1
    }

    /// For deinit: no thread uses the table any more.
    func releaseSlabs() {
        var address = unsafe UInt(truncatingIfNeeded: state[StateWord.slabs])
        // SAFETY: each slab was linked by addSlab and is freed once, after its link was read.
        while let slab = unsafe UnsafeMutablePointer<UInt64>(bitPattern: address) {
            address = unsafe UInt(truncatingIfNeeded: slab[0])
            unsafe free(slab)
        }
    }
}
