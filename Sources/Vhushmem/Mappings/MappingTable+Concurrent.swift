// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// How threads read the table while another thread changes it: a sequence lock. The writer makes the sequence odd, changes the
/// tree, and makes the sequence even. A reader notes an even sequence, reads, and starts again if the sequence has changed. It
/// writes nothing, so readers do not slow each other. It never waits for a lock whose holder sleeps in a system call: a change
/// is some hundreds of plain instructions.
///
/// Four orderings make it right (the words themselves are loaded and stored by relaxed atomics):
///
/// * writer: sequence odd, *release fence*, changes. A reader that sees any of the changes and then passes its acquire fence
///   must see the odd sequence or a later one. So it cannot take half of a change for the whole.
/// * writer: changes, *release store* of the even sequence. reader: *acquire load* of it, then the tree. A reader that sees
///   this sequence sees all earlier changes, and all that the allocator did to their memory.
/// * reader: reads, *acquire fence*, sequence again. The reads are done before the second load of the sequence.
/// * The owner's lock orders one writer after another. So a writer loads the sequence plainly.
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

    /// Until `endChange`, readers start again and again. So nothing in between may wait: no system call, no allocation.
    @inline(__always)
    func beginChange() {
        // SAFETY: state is this table's; the sequence is one of its words.
        unsafe vhu_store_relaxed(state + StateWord.sequence, state[StateWord.sequence] &+ 1)
        vhu_fence_release()
    }

    @inline(__always)
    func endChange() {
        // SAFETY: see beginChange.
        unsafe vhu_store_release(state + StateWord.sequence, state[StateWord.sequence] &+ 1)
    }

    @inline(__always)
    func setRoot(_ node: TableNode?) {
        // SAFETY: see beginChange. The store is atomic because readers load the root.
        unsafe vhu_store_relaxed(state + StateWord.root, node?.address ?? 0)
        forgetPath()
    }

    /// A number that differs from an earlier one if a record has changed since, or changes now. Any thread may ask.
    var changes: UInt64 {
        // SAFETY: see beginChange.
        unsafe vhu_load_acquire(state + StateWord.sequence)
    }

    /// The record that owns all of [offset, offset + length): a record owns from its start to the end of its last page. Any
    /// thread may ask at any time. The answer was true at one moment within the call.
    @_optimize(speed)
    func concurrentFind(containing offset: UInt64, length: UInt64) -> MappingRecord? {
        guard length > 0 else { return nil }
        let (last, wraps) = offset.addingReportingOverflow(length &- 1)
        if wraps { return nil }
        while true {
            // SAFETY: see beginChange.
            let sequence = unsafe vhu_load_acquire(state + StateWord.sequence)
            guard sequence & 1 == 0, case .read(let record) = read(at: offset, sequence: sequence) else { continue }
            guard let record, record.start <= offset, last <= record.lastOwnedByte(pageMask: pageMask) else { return nil }
            return record
        }
    }

    private enum Attempt {
        /// The record with the greatest start not after the offset, or the first of all.
        case read(MappingRecord?)
        /// The writer changed the table meanwhile.
        case changed
    }

    /// One walk down the tree as it was at `sequence`.
    @_optimize(speed)
    @inline(__always)
    private func read(at offset: UInt64, sequence: UInt64) -> Attempt {
        // SAFETY: for all loads here: they read words of this table's state, or of nodes, which stay readable as long as the
        // table lives. A word may have any value during a change, and a node may have become another kind of node since it was
        // found. So this function follows an address only after the sequence has shown that nothing had changed when it was
        // read. It uses an index before such a check, but an index is inside the node whatever the node's words are.
        let rootAddress = unsafe vhu_load_relaxed(state + StateWord.root)
        guard isUnchanged(since: sequence) else { return .changed }
        guard var node = TableNode(address: rootAddress) else { return .read(nil) }

        var level = unsafe vhu_load_relaxed(node.words + 1)
        var steps = TableNode.maximumLevels
        while level > 0 {
            let index = node.index(of: offset, shape: .inner)
            let address = unsafe vhu_load_relaxed(node.words + (TableNode.children &+ index))
            // The sequence is enough. The two other checks always hold: a child is never 0, and the walk is short.
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
        // The loads before the fence are done before the second load of the sequence.
        vhu_fence_acquire()
        // SAFETY: see beginChange.
        return unsafe vhu_load_relaxed(state + StateWord.sequence) == sequence
    }
}
