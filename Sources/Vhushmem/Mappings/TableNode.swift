// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// One node of a `MappingTable`: a block of words, either a leaf with records or an inner node with children.
///
///     word 0       how many entries
///     word 1       level: 0 for a leaf, else its distance from the leaves
///     word 2       the next node of the same level; in the free list, the next free node
///     leaf         words 3-6: a byte for each entry, the slot of its values; word 7: unused
///                  32 keys (starts), then 32 slots' pairs of length and identity, then 32 slots' pairs of file offset and the
///                  owner's word
///     inner node   words 3-7: unused: the keys begin a cache line
///                  64 keys, then 64 children; a key is the least start below its child
///
/// The keys stand together, so a search reads a few cache lines and no values; unused keys are the greatest number, so that it
/// need not ask how many are used. Leaves and inner nodes have one size, so that one pool serves both. That size is 21 cache
/// lines: an odd number, so the nodes' lines fall into all sets of a cache.
///
/// One thread writes while others read (`MappingTable+Concurrent.swift`). So each word that a reader may look at is stored by an
/// atomic of 8 bytes, relaxed: what orders these stores is the table's sequence. The one writer's own loads are plain: they race
/// with nobody's stores.
///
/// This file: both kinds of node. `+Leaf`: records and their slots.
@safe struct TableNode {
    static var leafCapacity: Int { 32 }
    static var innerCapacity: Int { 64 }
    static var headerWords: Int { 8 }
    static var wordCount: Int { headerWords + leafCapacity * 5 }
    /// Where an inner node's children begin.
    static var children: Int { headerWords + innerCapacity }
    /// A leaf holds 16 records at least and an inner node 32 children (fewer: a root, and the last node of a level), so 12 levels are 2^55
    /// records or more: they can't fit in 57 bits of address space, the most a Linux process has.
    static var maximumLevels: Int { 12 }
    /// Keys in a cache line, of 64 bytes.
    static var lineKeys: Int { 8 }
    /// What stands where no key is.
    static var noKey: UInt64 { .max }

    /// What differs between leaves and inner nodes.
    struct Shape {
        let isLeaf: Bool
        let capacity: Int

        @inline(__always) static var leaf: Shape { Shape(level: 0) }
        @inline(__always) static var inner: Shape { Shape(level: 1) }

        @inline(__always)
        init(level: Int) {
            isLeaf = level == 0
            capacity = isLeaf ? TableNode.leafCapacity : TableNode.innerCapacity
        }

        /// Two nodes, one of them an entry below this, fit in one.
        @inline(__always) var minimum: Int { capacity / 2 }
    }

    /// An entry on its way into a node. Inner nodes use `first` only: the child's address.
    struct Entry {
        let key: UInt64
        let first: UInt64
        var second: UInt64 = 0
        var third: UInt64 = 0
        var fourth: UInt64 = 0

        @inline(__always)
        init(key: UInt64, first: UInt64) {
            self.key = key
            self.first = first
        }

        @inline(__always)
        init(_ record: MappingRecord) {
            key = record.start
            first = record.length
            second = record.fileOffset
            third = record.word
            fourth = record.identity
        }
    }

    let words: UnsafeMutablePointer<UInt64>

    @inline(__always)
    init(words: UnsafeMutablePointer<UInt64>) {
        unsafe self.words = unsafe words
    }

    /// The node at an address that was read from a link or a child word; 0 is none.
    @inline(__always)
    init?(address: UInt64) {
        // SAFETY: only addresses of nodes are ever stored in links, and nodes live as long as their table. A reader that may
        // have seen half a change checks the sequence before it uses the node.
        guard let words = unsafe UnsafeMutablePointer<UInt64>(bitPattern: UInt(truncatingIfNeeded: address)) else { return nil }
        unsafe self.words = unsafe words
    }

    /// The node at an address that is there for certain: a child's, one of the path, one that was reserved.
    ///
    /// SAFETY: these words are never 0 between two changes, and the one writer sees no half change. If one is all the same, the process ends
    /// here and not where that has led.
    @inline(__always)
    init(certain address: UInt64) {
        guard let node = TableNode(address: address) else { preconditionFailure() }
        self = node
    }

    @inline(__always) var address: UInt64 { unsafe UInt64(UInt(bitPattern: words)) }

    // MARK: - What the writer reads

    // SAFETY: of all below: an index is less than `count`, which is at most the capacity that the node's size was made for.

    @inline(__always) var count: Int { unsafe Int(truncatingIfNeeded: words[0]) }
    @inline(__always) var level: Int { unsafe Int(truncatingIfNeeded: words[1]) }
    @inline(__always) var next: TableNode? { unsafe TableNode(address: words[2]) }

    @inline(__always)
    func key(_ index: Int) -> UInt64 {
        unsafe words[TableNode.headerWords &+ index]
    }

    @inline(__always)
    func child(_ index: Int) -> TableNode {
        unsafe TableNode(certain: words[TableNode.children &+ index])
    }

    func entry(_ index: Int, shape: Shape) -> Entry {
        guard shape.isLeaf else { return Entry(key: key(index), first: child(index).address) }
        return Entry(record(index))
    }

    /// The index of the last key that is not after `key`; 0 when all are after it. In any case, even for a reader that sees a node
    /// while it changes, less than the capacity.
    @inline(__always)
    func index(of key: UInt64, shape: Shape) -> Int {
        // The only key that can't be told from an unused one.
        if key == TableNode.noKey { return lastIndex(shape: shape) }
        // Counts, first which cache line begins at or before the key, then which keys in it. No branch depends on a key: the
        // outcome of a comparison can't be predicted here, and one wrong guess costs more than all these comparisons, which
        // don't wait for each other.
        let keys = unsafe words + TableNode.headerWords
        var line = 0
        var probe = TableNode.lineKeys
        while probe < shape.capacity {
            // SAFETY: probe < capacity.
            unsafe line &+= vhu_load_relaxed(keys + probe) <= key ? 1 : 0
            probe &+= TableNode.lineKeys
        }
        let first = line &* TableNode.lineKeys
        var index = first
        var offset = 1
        while offset < TableNode.lineKeys {
            // SAFETY: `line` has counted fewer lines than the node has, so first + lineKeys <= capacity.
            unsafe index &+= vhu_load_relaxed(keys + (first &+ offset)) <= key ? 1 : 0
            offset &+= 1
        }
        return index
    }

    /// The index of the last entry.
    private func lastIndex(shape: Shape) -> Int {
        // SAFETY: the node's first word.
        let count = unsafe vhu_load_relaxed(words)
        // A reader may meet a node that has just become another kind of node, with a count that this kind can't have.
        return Int(truncatingIfNeeded: min(max(count, 1), UInt64(truncatingIfNeeded: shape.capacity))) &- 1
    }

    /// Has all cache lines of the node brought near. In a large table a leaf is in no cache: its lines come together, those that the search
    /// looks at first, instead of one after the other.
    @inline(__always)
    func prefetch() {
        var word = 0
        while word < TableNode.wordCount {
            // SAFETY: a word of the node.
            unsafe vhu_prefetch(words + word)
            word &+= TableNode.lineKeys
        }
    }

    // MARK: - What the writer changes

    /// Stores a word that readers may look at.
    @inline(__always)
    func store(_ value: UInt64, at word: Int) {
        // SAFETY: callers name a word of this node.
        unsafe vhu_store_relaxed(words + word, value)
    }

    @inline(__always)
    func setCount(_ count: Int) {
        store(UInt64(truncatingIfNeeded: count), at: 0)
    }

    @inline(__always)
    func setNext(_ next: TableNode?) {
        store(next?.address ?? 0, at: 2)
    }

    @inline(__always)
    func setKey(_ key: UInt64, at index: Int) {
        store(key, at: TableNode.headerWords &+ index)
    }

    /// Makes the node an empty one of that level.
    func reset(level: Int) {
        store(UInt64(truncatingIfNeeded: level), at: 1)
        setNext(nil)
        truncate(to: 0, from: Shape(level: level).capacity)
        if level == 0 { resetSlots() }
    }

    /// Puts an entry in; the node is not full.
    func insert(_ entry: Entry, at index: Int, shape: Shape) {
        if shape.isLeaf { return insertRecord(entry, at: index) }
        let count = self.count
        moveUp(from: TableNode.headerWords &+ index, count: count &- index)
        moveUp(from: TableNode.children &+ index, count: count &- index)
        setKey(entry.key, at: index)
        store(entry.first, at: TableNode.children &+ index)
        setCount(count &+ 1)
    }

    func remove(at index: Int, shape: Shape) {
        if shape.isLeaf { return removeRecord(at: index) }
        let last = count &- 1
        moveDown(to: TableNode.headerWords &+ index, count: last &- index)
        moveDown(to: TableNode.children &+ index, count: last &- index)
        setKey(TableNode.noKey, at: last)
        setCount(last)
    }

    /// Moves the last `count` entries to the front of `other`, the next node of the level.
    func giveTail(_ count: Int, to other: TableNode, shape: Shape) {
        let total = self.count
        let kept = total &- count
        var i = 0
        while i < count {
            other.insert(entry(kept &+ i, shape: shape), at: i, shape: shape)
            i &+= 1
        }
        truncate(to: kept, from: total)
    }

    /// Moves the first entry to the end of `other`, the previous node of the level.
    func giveFirst(to other: TableNode, shape: Shape) {
        other.insert(entry(0, shape: shape), at: other.count, shape: shape)
        remove(at: 0, shape: shape)
    }

    /// Moves all entries to the end of `other`, the previous node of the level.
    func giveAll(to other: TableNode, shape: Shape) {
        let total = count
        var i = 0
        while i < total {
            other.insert(entry(i, shape: shape), at: other.count, shape: shape)
            i &+= 1
        }
        truncate(to: 0, from: total)
    }

    /// Forgets the entries from `kept` to `total`. In a leaf, their slots are where those of no entries are.
    private func truncate(to kept: Int, from total: Int) {
        var i = kept
        while i < total {
            setKey(TableNode.noKey, at: i)
            i &+= 1
        }
        setCount(kept)
    }

    // The order keeps a word from being overwritten before it has moved. (memmove is no choice: its stores are not atomic.)
    // SAFETY: of both: callers pass ranges inside the node, which has one more word behind them.

    /// Moves words by one.
    private func moveUp(from first: Int, count: Int) {
        var word = first &+ count
        while word > first {
            unsafe store(words[word &- 1], at: word)
            word &-= 1
        }
    }

    /// Moves words by one: those behind the word `first`, to it.
    private func moveDown(to first: Int, count: Int) {
        var word = first
        while word < first &+ count {
            unsafe store(words[word &+ 1], at: word)
            word &+= 1
        }
    }
}
