// SPDX-License-Identifier: BSD-3-Clause

/// Checks, for tests, what holds between two changes. Nothing else calls it, so the shipped library does not contain it.
extension MappingTable {
    private struct Tally {
        var nodes: UInt64 = 0
        var records: UInt64 = 0
        /// The last byte owned so far.
        var lastOwned: UInt64?
        /// What the last leaf's link said: the address of the next leaf, or 0.
        var nextLeaf: UInt64?
    }

    /// Walks the whole tree and the pool.
    func checkInvariants() -> Bool {
        var tally = Tally()
        if let root {
            guard root.level < TableNode.maximumLevels, root.count >= (root.level > 0 ? 2 : 1) else { return false }
            guard check(root, level: root.level, isRoot: true, &tally), tally.nextLeaf == 0 else { return false }
            // Each level is one chain, with as many nodes as the level above has children.
            var first = root
            var expected = 1
            while true {
                var seen = 0
                var below = 0
                var node: TableNode? = first
                while let current = node {
                    guard current.level == first.level, seen < expected else { return false }
                    seen += 1
                    below += current.count
                    node = current.next
                }
                guard seen == expected else { return false }
                if first.level == 0 { break }
                first = first.child(0)
                expected = below
            }
        }
        var free: UInt64 = 0
        var node = unsafe TableNode(address: state[StateWord.freeNodes])
        while let current = node, free <= allocatedNodes {
            free += 1
            node = current.next
        }
        return unsafe pathIsRight && tally.records == count && free == freeNodes && free + tally.nodes == allocatedNodes
            && state[StateWord.sequence] & 1 == 0
    }

    /// The noted path leads from the root to a leaf, or is empty.
    private var pathIsRight: Bool {
        guard var node = unsafe TableNode(address: state[StateWord.path]) else { return true }
        guard let root, node.level == 0 else { return false }
        for level in 0..<root.level {
            guard let above = unsafe TableNode(address: state[StateWord.path + (level + 1) * 2]), above.level == level + 1
            else {
                return false
            }
            let index = unsafe Int(truncatingIfNeeded: state[StateWord.path + (level + 1) * 2 + 1])
            guard index < above.count, above.child(index).address == node.address else { return false }
            node = above
        }
        return node.address == root.address
    }

    private func check(_ node: TableNode, level: Int, isRoot: Bool, _ tally: inout Tally) -> Bool {
        let shape = TableNode.Shape(level: level)
        // The last node of a level may have fewer entries.
        let minimum = isRoot || node.next == nil ? (level > 0 ? 2 : 1) : shape.minimum
        guard node.level == level, node.count <= shape.capacity, node.count >= minimum else { return false }
        tally.nodes += 1
        if level == 0 {
            guard node.eachSlotIsNamedOnce else { return false }
            guard tally.nextLeaf == nil || tally.nextLeaf == node.address else { return false }
            tally.nextLeaf = node.next?.address ?? 0
        }
        for index in node.count..<shape.capacity where node.key(index) != .max { return false }
        for index in 0..<node.count {
            if index > 0, node.key(index) <= node.key(index - 1) { return false }
            if level > 0 {
                let child = node.child(index)
                guard child.count > 0, child.key(0) == node.key(index) else { return false }
                guard check(child, level: level - 1, isRoot: false, &tally) else { return false }
            } else {
                let record = node.record(index)
                if let last = tally.lastOwned, record.firstOwnedByte(pageMask: pageMask) <= last { return false }
                tally.lastOwned = record.lastOwnedByte(pageMask: pageMask)
                tally.records += 1
            }
        }
        return true
    }
}
