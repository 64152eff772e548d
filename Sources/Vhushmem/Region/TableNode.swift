// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// One node of a `MappingTable`: a block of words, either a leaf with records or an inner node with children.
///
///     word 0       how many entries
///     word 1       level: 0 for a leaf, else its distance from the leaves
///     word 2       the next node of the same level; in the free list, the next free node
///     words 3-7    unused: the keys begin a cache line
///     leaf         32 keys (starts), then 32 x (length, file offset, the owner's word)
///     inner node   64 keys, then 64 children; a key is the least start below its child
///
/// The keys stand together, so a search reads a few cache lines and no values; unused keys are the greatest number, so that it
/// need not ask how many are used. Leaves and inner nodes have one size, so that one pool serves both. That size is 17 cache
/// lines: an odd number, so the nodes' lines fall into all sets of a cache.
///
/// One thread writes while others read (`MappingTable+Concurrent.swift`). So each word that a reader may look at is stored by an
/// atomic of 8 bytes, relaxed: what orders these stores is the table's sequence. The one writer's own loads are plain: they race
/// with nobody's stores.
struct TableNode {
    static var leafCapacity: Int { 32 }
    static var innerCapacity: Int { 64 }
    static var headerWords: Int { 8 }
    static var wordCount: Int { headerWords + leafCapacity * 4 }
    /// A leaf holds 16 records at least and an inner node 32 children (fewer: a root, and the last node of a level), so 12 levels are 2^55
    /// records or more: they can't fit in 57 bits of address space, the most a Linux process has.
    static var maximumLevels: Int { 12 }
    /// Keys in a cache line, of 64 bytes.
    private static var lineKeys: Int { 8 }
    /// What stands where no key is.
    private static var noKey: UInt64 { .max }

    /// What differs between leaves and inner nodes.
    struct Shape {
        let capacity: Int
        /// Words of an entry beside its key.
        let valueWords: Int

        @inline(__always) static var leaf: Shape { Shape(level: 0) }
        @inline(__always) static var inner: Shape { Shape(level: 1) }

        @inline(__always)
        init(level: Int) {
            capacity = level == 0 ? TableNode.leafCapacity : TableNode.innerCapacity
            valueWords = level == 0 ? 3 : 1
        }

        /// Two nodes, one of them an entry below this, fit in one.
        @inline(__always) var minimum: Int { capacity / 2 }
        /// Where the values begin.
        @inline(__always) var values: Int { TableNode.headerWords &+ capacity }
    }

    /// An entry on its way into a node. Inner nodes use `first` only: the child's address.
    struct Entry {
        let key: UInt64
        let first: UInt64
        var second: UInt64 = 0
        var third: UInt64 = 0
    }

    let words: UnsafeMutablePointer<UInt64>

    @inline(__always)
    init(words: UnsafeMutablePointer<UInt64>) {
        self.words = words
    }

    /// The node at an address that was read from a link or a child word; 0 is none.
    @inline(__always)
    init?(address: UInt64) {
        // SAFETY: only addresses of nodes are ever stored in links, and nodes live as long as their table. A reader that may
        // have seen half a change checks the sequence before it uses the node.
        guard let words = UnsafeMutablePointer<UInt64>(bitPattern: UInt(truncatingIfNeeded: address)) else { return nil }
        self.words = words
    }

    @inline(__always) var address: UInt64 { UInt64(UInt(bitPattern: words)) }

    // MARK: - What the writer reads

    // SAFETY: of all below: an index is less than `count`, which is at most the capacity that the node's size was made for.

    @inline(__always) var count: Int { Int(truncatingIfNeeded: words[0]) }
    @inline(__always) var level: Int { Int(truncatingIfNeeded: words[1]) }
    @inline(__always) var next: TableNode? { TableNode(address: words[2]) }

    @inline(__always)
    func key(_ index: Int) -> UInt64 {
        words[TableNode.headerWords &+ index]
    }

    @inline(__always)
    func child(_ index: Int) -> TableNode {
        let address = words[Shape.inner.values &+ index]
        // SAFETY: an inner node's child word is never 0 between two changes, and the one writer sees no half change.
        return TableNode(words: UnsafeMutablePointer(bitPattern: UInt(truncatingIfNeeded: address)).unsafelyUnwrapped)
    }

    @inline(__always)
    func record(_ index: Int) -> MappingRecord {
        let value = words + (Shape.leaf.values &+ index &* 3)
        return MappingRecord(start: key(index), length: value[0], fileOffset: value[1], word: value[2])
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
        let keys = words + TableNode.headerWords
        var line = 0
        var probe = TableNode.lineKeys
        while probe < shape.capacity {
            // SAFETY: probe < capacity.
            line &+= vhu_load_relaxed(keys + probe) <= key ? 1 : 0
            probe &+= TableNode.lineKeys
        }
        let first = line &* TableNode.lineKeys
        var index = first
        var offset = 1
        while offset < TableNode.lineKeys {
            // SAFETY: `line` has counted fewer lines than the node has, so first + lineKeys <= capacity.
            index &+= vhu_load_relaxed(keys + (first &+ offset)) <= key ? 1 : 0
            offset &+= 1
        }
        return index
    }

    /// The index of the last entry.
    private func lastIndex(shape: Shape) -> Int {
        // SAFETY: the node's first word.
        let count = vhu_load_relaxed(words)
        // A reader may meet a node that has just become another kind of node, with a count that this kind can't have.
        return Int(truncatingIfNeeded: min(max(count, 1), UInt64(truncatingIfNeeded: shape.capacity))) &- 1
    }

    /// Has all cache lines of the node brought near. In a large table a leaf is not in any cache: its lines come together with those that the
    /// search looks at, instead of after them. Whoever inserts or removes needs most of them anyway.
    @inline(__always)
    func prefetch() {
        var word = 0
        while word < TableNode.wordCount {
            // SAFETY: a word of the node.
            vhu_prefetch(words + word)
            word &+= TableNode.lineKeys
        }
    }

    // MARK: - What the writer changes

    /// Stores a word that readers may look at.
    @inline(__always)
    func store(_ value: UInt64, at word: Int) {
        // SAFETY: callers name a word of this node.
        vhu_store_relaxed(words + word, value)
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

    @inline(__always)
    func setWord(_ word: UInt64, at index: Int) {
        store(word, at: Shape.leaf.values &+ index &* 3 &+ 2)
    }

    /// Makes the node an empty one of that level.
    func reset(level: Int) {
        setCount(0)
        store(UInt64(truncatingIfNeeded: level), at: 1)
        setNext(nil)
        clearKeys(from: 0, count: Shape(level: level).capacity)
    }

    /// Puts an entry in; the node is not full.
    @inline(__always)
    func insert(_ entry: Entry, at index: Int, shape: Shape) {
        let count = self.count
        moveEntries(from: index, to: index &+ 1, count: count &- index, shape: shape)
        setKey(entry.key, at: index)
        let value = shape.values &+ index &* shape.valueWords
        store(entry.first, at: value)
        if shape.valueWords == 3 {
            store(entry.second, at: value &+ 1)
            store(entry.third, at: value &+ 2)
        }
        setCount(count &+ 1)
    }

    @inline(__always)
    func remove(at index: Int, shape: Shape) {
        let count = self.count
        moveEntries(from: index &+ 1, to: index, count: count &- index &- 1, shape: shape)
        setKey(TableNode.noKey, at: count &- 1)
        setCount(count &- 1)
    }

    /// Moves the last `count` entries to the front of `other`, the next node of the level.
    func giveTail(_ count: Int, to other: TableNode, shape: Shape) {
        let kept = self.count &- count
        other.moveEntries(from: 0, to: count, count: other.count, shape: shape)
        copyEntries(from: kept, count: count, to: other, at: 0, shape: shape)
        other.setCount(other.count &+ count)
        clearKeys(from: kept, count: count)
        setCount(kept)
    }

    /// Moves the first `count` entries to the end of `other`, the previous node of the level.
    func giveHead(_ count: Int, to other: TableNode, shape: Shape) {
        let kept = self.count &- count
        copyEntries(from: 0, count: count, to: other, at: other.count, shape: shape)
        moveEntries(from: count, to: 0, count: kept, shape: shape)
        other.setCount(other.count &+ count)
        clearKeys(from: kept, count: count)
        setCount(kept)
    }

    private func clearKeys(from index: Int, count: Int) {
        var i = index
        while i < index &+ count {
            setKey(TableNode.noKey, at: i)
            i &+= 1
        }
    }

    @inline(__always)
    private func moveEntries(from: Int, to: Int, count: Int, shape: Shape) {
        let width = shape.valueWords
        let keys = TableNode.headerWords
        moveWords(from: keys &+ from, to: keys &+ to, count: count)
        moveWords(from: shape.values &+ from &* width, to: shape.values &+ to &* width, count: count &* width)
    }

    @inline(__always)
    private func moveWords(from: Int, to: Int, count: Int) {
        // The order keeps a word from being overwritten before it has moved. (memmove is no choice: its stores are not atomic.)
        // SAFETY: callers pass ranges inside the node.
        if to > from {
            var i = count
            while i > 0 {
                i &-= 1
                store(words[from &+ i], at: to &+ i)
            }
        } else {
            var i = 0
            while i < count {
                store(words[from &+ i], at: to &+ i)
                i &+= 1
            }
        }
    }

    private func copyEntries(from: Int, count: Int, to other: TableNode, at index: Int, shape: Shape) {
        let width = shape.valueWords
        copyWords(from: TableNode.headerWords &+ from, count: count, to: other, at: TableNode.headerWords &+ index)
        copyWords(from: shape.values &+ from &* width, count: count &* width, to: other, at: shape.values &+ index &* width)
    }

    private func copyWords(from: Int, count: Int, to other: TableNode, at word: Int) {
        var i = 0
        while i < count {
            // SAFETY: callers pass ranges inside the two nodes.
            other.store(words[from &+ i], at: word &+ i)
            i &+= 1
        }
    }
}
