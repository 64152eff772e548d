// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// One node of a `MappingTable`: a block of words. It is a leaf with records or an inner node with children.
///
///     word 0       the number of entries
///     word 1       level: 0 for a leaf, else its distance from the leaves
///     word 2       the next node of the same level; in the free list, the next free node
///     leaf         words 3-6: a byte for each entry, the number of the slot with its values; word 7: unused
///                  32 keys (starts), then a pair of length and identity for each of 32 slots, then a pair of file offset and
///                  owner's word for each of 32 slots
///     inner node   words 3-7: unused, so that the keys begin a cache line
///                  64 keys, then 64 children; a key is the least start below its child
///
/// The keys are next to each other, so a search reads a few cache lines and no values. Unused keys are the greatest number, so
/// a search need not know how many are used. Leaves and inner nodes have the same size, so one pool serves both. The size is 21
/// cache lines: this number is odd, so the lines of all nodes use all sets of a cache.
///
/// One thread writes while others read (`MappingTable+Concurrent.swift`). So each word that a reader may load is stored by a
/// relaxed atomic of 8 bytes. The table's sequence orders these stores. The loads of the writer are plain: only the writer
/// stores.
///
/// This file: both kinds of node. `+Leaf`: records and their slots.
@safe struct TableNode {
    static var leafCapacity: Int { 32 }
    static var innerCapacity: Int { 64 }
    static var headerWords: Int { 8 }
    static var wordCount: Int { headerWords + leafCapacity * 5 }
    /// Where an inner node's children begin.
    static var children: Int { headerWords + innerCapacity }
    /// A leaf has at least 16 records and an inner node at least 32 children. (A root, and the last node of a level, may have
    /// fewer.) So 12 levels have 2^55 records or more. These do not fit in 57 bits of address space, the most that a Linux
    /// process has.
    static var maximumLevels: Int { 12 }
    /// Keys in a cache line of 64 bytes.
    static var lineKeys: Int { 8 }
    /// The value of an unused key.
    static var noKey: UInt64 { .max }

    /// The differences between a leaf and an inner node.
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

        /// The entries of a node that has this number, and of one that has one less, fit into one node.
        @inline(__always) var minimum: Int { capacity / 2 }
    }

    /// The values of an entry that is put into a node. An inner node has only `key` and `first`, the address of the child.
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

    /// The node at an address that was read from a link or a child word; nil: the address is 0.
    @inline(__always)
    init?(address: UInt64) {
        // SAFETY: links hold only addresses of nodes, and nodes live as long as their table. A reader may have seen half of a
        // change, so it checks the sequence before it uses the node.
        guard let words = unsafe UnsafeMutablePointer<UInt64>(bitPattern: UInt(truncatingIfNeeded: address)) else { return nil }
        unsafe self.words = unsafe words
    }

    /// The node at an address that is never 0: of a child, of the path, or of a reserved node.
    ///
    /// SAFETY: these words are not 0 between two changes, and the writer never sees half of a change. If a bug makes one 0, the
    /// process ends here, before it uses the address.
    @inline(__always)
    init(certain address: UInt64) {
        guard let node = TableNode(address: address) else { preconditionFailure() }
        self = node
    }

    @inline(__always) var address: UInt64 { unsafe UInt64(UInt(bitPattern: words)) }

    // MARK: - Loads of the writer

    // SAFETY: for all of them: an index is less than `count`, which is at most the capacity, and a node has words for the
    // capacity.

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

    /// The index of the last key that is not after `key`; 0 if all are after it. The result is always less than the capacity,
    /// also for a reader that sees a node while it changes.
    @inline(__always)
    func index(of key: UInt64, shape: Shape) -> Int {
        // This key looks like an unused one.
        if key == TableNode.noKey { return lastIndex(shape: shape) }
        // It counts the cache lines that begin at or before the key, and then the keys in the last of these lines. No branch
        // depends on a key. The processor cannot predict the result of a comparison here, and one wrong prediction costs more
        // than all these comparisons, which do not wait for each other.
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
            // SAFETY: `line` is less than the number of lines of the node, so first + lineKeys <= capacity.
            unsafe index &+= vhu_load_relaxed(keys + (first &+ offset)) <= key ? 1 : 0
            offset &+= 1
        }
        return index
    }

    /// The index of the last entry.
    private func lastIndex(shape: Shape) -> Int {
        // SAFETY: the node's first word.
        let count = unsafe vhu_load_relaxed(words)
        // A reader may see a node that has just become another kind of node. Then the count may be more than this kind's
        // capacity.
        return Int(truncatingIfNeeded: min(max(count, 1), UInt64(truncatingIfNeeded: shape.capacity))) &- 1
    }

    /// Asks the processor to bring all cache lines of the node into a near cache. In a large table a leaf is in no cache. So
    /// its lines come at the same time, and not one after the other.
    @inline(__always)
    func prefetch() {
        var word = 0
        while word < TableNode.wordCount {
            // SAFETY: a word of the node.
            unsafe vhu_prefetch(words + word)
            word &+= TableNode.lineKeys
        }
    }

    // MARK: - Changes by the writer

    /// Stores a word that a reader may load.
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

    /// Makes the node an empty node of `level`.
    func reset(level: Int) {
        store(UInt64(truncatingIfNeeded: level), at: 1)
        setNext(nil)
        truncate(to: 0, from: Shape(level: level).capacity)
        if level == 0 { resetSlots() }
    }

    /// Puts an entry into a node that is not full.
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

    /// Removes the entries from `kept` to `total`. In a leaf, the bytes of their slots already are where those of free slots
    /// must be.
    private func truncate(to kept: Int, from total: Int) {
        var i = kept
        while i < total {
            setKey(TableNode.noKey, at: i)
            i &+= 1
        }
        setCount(kept)
    }

    // The order of the stores matters: each word moves before its place gets another value. (memmove does not store
    // atomically.) SAFETY: for both functions: callers pass ranges inside the node, and the node has one more word after the
    // range.

    /// Moves `count` words, from the word `first` on, up by one.
    private func moveUp(from first: Int, count: Int) {
        var word = first &+ count
        while word > first {
            unsafe store(words[word &- 1], at: word)
            word &-= 1
        }
    }

    /// Moves the `count` words after the word `first` down by one.
    private func moveDown(to first: Int, count: Int) {
        var word = first
        while word < first &+ count {
            unsafe store(words[word &+ 1], at: word)
            word &+= 1
        }
    }
}
