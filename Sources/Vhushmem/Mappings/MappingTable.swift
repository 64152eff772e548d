// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The live mappings of a region, ordered by start: a B+tree whose nodes hold some dozens of entries.
///
/// No two records own the same page. So the order of starts is the order of ends too, and only neighbours can overlap a range.
/// An inner node's key is exactly the least start below its child. So a search for an offset ends in the leaf of the last
/// record that starts at or before it.
///
/// One caller at a time uses the table: its owner holds a lock. Only `concurrentFind` and `changes` may run at the same time,
/// on any thread.
///
/// This file: the table and its queries. `+Mutation`: insert, remove. `+Pool`: the memory of nodes. `+Gap`: free ranges.
/// `+Concurrent`: the reader's side. `+Invariants`: checks for tests.
///
/// Unchecked Sendable: the owner keeps the rule above, and `concurrentFind` is safe on any thread.
@safe final class MappingTable: @unchecked Sendable {
    /// The changing state is raw words and not stored properties. Readers on other threads need atomic access to some of them,
    /// and exclusivity checks would guard a class's properties at each use.
    let state: UnsafeMutablePointer<UInt64>
    /// Page size less one.
    let pageMask: UInt64
    /// The most nodes that the table allocates: a limit for tests and for memory budgets.
    let nodeLimit: UInt64

    /// The words of `state`. The path of the writer's last search follows them: for each level a node and an index in it. If
    /// the leaf is 0, the path is not valid.
    enum StateWord {
        /// Odd while a change is under way.
        static var sequence: Int { 0 }
        static var root: Int { 1 }
        static var count: Int { 2 }
        static var freeNodes: Int { 3 }
        static var freeNodeCount: Int { 4 }
        static var slabs: Int { 5 }
        static var allocatedNodes: Int { 6 }
        static var path: Int { 8 }
        static var total: Int { path + TableNode.maximumLevels * 2 }
    }

    /// nil: no memory, or a page size that is not a power of two. A table without records has no nodes.
    init?(pageSize: UInt64, nodeLimit: UInt64 = .max) {
        guard pageSize != 0, pageSize & (pageSize &- 1) == 0 else { return nil }
        guard let memory = unsafe calloc(StateWord.total, MemoryLayout<UInt64>.stride) else { return nil }
        // SAFETY: the block is new, has that many words, is all zero, and calloc has aligned it.
        unsafe state = unsafe memory.bindMemory(to: UInt64.self, capacity: StateWord.total)
        pageMask = pageSize &- 1
        self.nodeLimit = nodeLimit
    }

    deinit {
        releaseSlabs()
        unsafe free(state)
    }

    // SAFETY: for the accessors below: `state` has StateWord.total words for as long as the table lives.

    /// How many records there are.
    var count: UInt64 { unsafe state[StateWord.count] }

    @inline(__always) var root: TableNode? { unsafe TableNode(address: state[StateWord.root]) }

    // MARK: - Queries

    /// The record that starts exactly at `start`. Usually the caller removes it next, so the path is noted.
    @_optimize(speed)
    func find(at start: UInt64) -> MappingRecord? {
        guard let leaf = notePath(to: start) else { return nil }
        let index = leaf.index(of: start, shape: .leaf)
        return leaf.key(index) == start ? leaf.record(index) : nil
    }

    /// The first record whose last page ends after `offset`. It overlaps a range that begins at `offset` unless it starts after
    /// that range; and with `offset` one past what the last record owned, it is the next one.
    @_optimize(speed)
    func first(endingAfter offset: UInt64) -> MappingRecord? {
        guard let leaf = leaf(for: offset) else { return nil }
        let index = leaf.index(of: offset, shape: .leaf)
        let record = leaf.record(index)
        if record.lastOwnedByte(pageMask: pageMask) >= offset { return record }
        return successor(of: index, in: leaf)
    }

    /// The record with the greatest start before `offset`.
    @_optimize(speed)
    func last(startingBefore offset: UInt64) -> MappingRecord? {
        guard offset > 0, let leaf = leaf(for: offset &- 1) else { return nil }
        let index = leaf.index(of: offset &- 1, shape: .leaf)
        return leaf.key(index) < offset ? leaf.record(index) : nil
    }

    /// Copies records in their order, as many as there is room for. Returns how many.
    func copyRecords(into records: UnsafeMutableBufferPointer<MappingRecord>) -> Int {
        var copied = 0
        var leaf = leaf(for: 0)
        while let node = leaf {
            for index in 0..<node.count {
                guard copied < records.count else { return copied }
                unsafe records[copied] = node.record(index)
                copied &+= 1
            }
            leaf = node.next
        }
        return copied
    }

    /// Changes the owner's word of the record that starts there; false: there is none.
    @discardableResult
    func setWord(at start: UInt64, to word: UInt64) -> Bool {
        guard let leaf = leaf(for: start) else { return false }
        let index = leaf.index(of: start, shape: .leaf)
        guard leaf.key(index) == start else { return false }
        // One word cannot be seen torn. But the sequence must change: a reader that sees the word must also see all
        // that its writer did before.
        beginChange()
        leaf.setWord(word, at: index)
        endChange()
        return true
    }

    /// Replaces the record that starts at the same offset and owns the same pages; false: there is none. No reader sees the
    /// place empty.
    @discardableResult
    func replace(with record: MappingRecord) -> Bool {
        guard let leaf = leaf(for: record.start) else { return false }
        let index = leaf.index(of: record.start, shape: .leaf)
        guard leaf.key(index) == record.start,
            leaf.record(index).lastOwnedByte(pageMask: pageMask) == record.lastOwnedByte(pageMask: pageMask)
        else { return false }
        beginChange()
        leaf.setValues(TableNode.Entry(record), at: index)
        endChange()
        return true
    }

    /// The leaf where a search for `key` ends; nil: no records.
    @_optimize(speed)
    @inline(__always)
    func leaf(for key: UInt64) -> TableNode? {
        guard var node = root else { return nil }
        var level = node.level
        while level > 0 {
            node = node.child(node.index(of: key, shape: .inner))
            level &-= 1
        }
        node.prefetchSlots()
        return node
    }

    /// The record after the one at `index`.
    @_optimize(speed)
    @inline(__always)
    func successor(of index: Int, in leaf: TableNode) -> MappingRecord? {
        index &+ 1 < leaf.count ? leaf.record(index &+ 1) : leaf.next?.record(0)
    }

    /// Its start.
    @_optimize(speed)
    @inline(__always)
    func successorStart(of index: Int, in leaf: TableNode) -> UInt64? {
        index &+ 1 < leaf.count ? leaf.key(index &+ 1) : leaf.next?.key(0)
    }
}
