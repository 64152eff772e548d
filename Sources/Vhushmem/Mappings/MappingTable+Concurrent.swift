// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The table as vCPU threads see it: a sequence lock. The writer makes the sequence odd, changes the tree, and makes it even.
/// A reader notes an even sequence, reads, and starts again if the sequence has moved. It writes nothing, so that readers
/// don't slow each other, and it never waits for a lock whose holder sleeps in a system call: a change is some hundreds of
/// plain instructions.
///
/// Four orderings make it right (the words themselves are read and written by relaxed atomics):
///
/// * writer: sequence odd, *release fence*, changes. A reader that sees any of the changes and then passes its acquire fence is
///   bound to see the odd sequence, or a later one: it can't mistake the half-done for the whole.
/// * writer: changes, *release store* of the even sequence. reader: *acquire load* of it, then the tree. Whoever sees the number
///   sees all changes before it, and all that the allocator did to the memory they are in.
/// * reader: reads, *acquire fence*, sequence again. The reads are done before the second look at the sequence.
/// * one writer follows another under the owner's lock, which orders them; so a writer reads the sequence plainly.
extension MappingTable {
    /// The queries that any thread may make at any time while the table exists.
    @safe struct Reader {
        private let table: MappingTable

        init(_ table: MappingTable) {
            self.table = table
        }

        @inline(__always)
        func find(containing offset: UInt64, length: UInt64) -> MappingRecord? {
            table.concurrentFind(containing: offset, length: length)
        }
    }

    /// From here to `endChange` readers start again, so nothing in between may wait: no system call, no allocation.
    @inline(__always)
    func beginChange() {
        // SAFETY: state is this table's; the sequence is one of its words.
        unsafe vhu_store_relaxed(state + StateWord.sequence, state[StateWord.sequence] &+ 1)
        vhu_fence_release()
    }

    @inline(__always)
    func endChange() {
        // SAFETY: as in beginChange.
        unsafe vhu_store_release(state + StateWord.sequence, state[StateWord.sequence] &+ 1)
    }

    @inline(__always)
    func setRoot(_ node: TableNode?) {
        // SAFETY: as in beginChange; an atomic store, since readers load the root.
        unsafe vhu_store_relaxed(state + StateWord.root, node?.address ?? 0)
        forgetPath()
    }

    /// A number that differs from an earlier one if something has changed, or is being changed. Any thread may ask.
    var changes: UInt64 {
        // SAFETY: as in beginChange.
        unsafe vhu_load_acquire(state + StateWord.sequence)
    }

    /// The record that owns all of [offset, offset + length), from its start to the end of its last page. Any thread may ask at
    /// any time; the answer was true at one moment within the call.
    @_optimize(speed)
    func concurrentFind(containing offset: UInt64, length: UInt64) -> MappingRecord? {
        guard length > 0 else { return nil }
        let (last, wraps) = offset.addingReportingOverflow(length &- 1)
        if wraps { return nil }
        while true {
            // SAFETY: as in beginChange.
            let sequence = unsafe vhu_load_acquire(state + StateWord.sequence)
            guard sequence & 1 == 0, case .read(let record) = read(at: offset, sequence: sequence) else { continue }
            guard let record, record.start <= offset, last <= record.lastOwnedByte(pageMask: pageMask) else { return nil }
            return record
        }
    }

    private enum Attempt {
        /// The record with the greatest start not after the offset, or the first of all.
        case read(MappingRecord?)
        /// A change came in between.
        case changed
    }

    /// One walk down the tree as it was at `sequence`.
    @_optimize(speed)
    @inline(__always)
    private func read(at offset: UInt64, sequence: UInt64) -> Attempt {
        // SAFETY: of all loads here: they read words of this table's state, or of nodes, which stay readable as long as the table
        // lives. A word may hold anything while it is being changed, and a node may have become another kind of node since it
        // was found. So an address is followed only after a look at the sequence has shown that nothing had changed when it
        // was read; and an index, which is used before such a look, lies inside the node whatever its words are.
        let rootAddress = unsafe vhu_load_relaxed(state + StateWord.root)
        guard isUnchanged(since: sequence) else { return .changed }
        guard var node = TableNode(address: rootAddress) else { return .read(nil) }

        var level = unsafe vhu_load_relaxed(node.words + 1)
        var steps = TableNode.maximumLevels
        while level > 0 {
            let index = node.index(of: offset, shape: .inner)
            let address = unsafe vhu_load_relaxed(node.words + (TableNode.children &+ index))
            // Besides the sequence, two things that always hold: a child is never 0, and the walk is short.
            steps &-= 1
            guard isUnchanged(since: sequence), steps > 0, let child = TableNode(address: address) else { return .changed }
            node = child
            level &-= 1
        }

        node.prefetchSlots()
        let record = node.loadRecord(node.index(of: offset, shape: .leaf))
        return isUnchanged(since: sequence) ? .read(record) : .changed
    }

    @inline(__always)
    private func isUnchanged(since sequence: UInt64) -> Bool {
        // Keeps the loads before it from sinking below the second look at the sequence.
        vhu_fence_acquire()
        // SAFETY: as in beginChange.
        return unsafe vhu_load_relaxed(state + StateWord.sequence) == sequence
    }
}
