// SPDX-License-Identifier: BSD-3-Clause

/// Insert and remove. Both walk down once and note the path. The change at a leaf then climbs that path as far as necessary.
extension MappingTable {
    enum Insertion: Equatable {
        case done
        /// Nothing changed: this record owns a page of the new one.
        case overlap(MappingRecord)
        /// Nothing changed.
        case outOfMemory
    }

    /// What is at a range and next to it.
    enum Place {
        /// This record owns a page of it.
        case taken(MappingRecord)
        /// Nothing is. `isBeside`: how many records own the pages next to it. `index`: for `insert(_:at:)`.
        case free(index: Int, isBeside: Int)
    }

    /// Finds the place of a record that would start at `start` and whose last page ends with the byte `last`.
    @_optimize(speed)
    @inline(__always)
    func place(for start: UInt64, last: UInt64) -> Place {
        guard let leaf = notePath(to: start) else { return .free(index: 0, isBeside: 0) }
        // No two records share a page, so only the two neighbours can be in the way.
        let first = start & ~pageMask
        let index = leaf.index(of: start, shape: .leaf)
        let neighbour = leaf.record(index)
        let precedes = neighbour.start <= start
        var isBeside = 0
        if precedes {
            let end = neighbour.lastOwnedByte(pageMask: pageMask)
            if end >= first { return .taken(neighbour) }
            if end &+ 1 == first { isBeside = 1 }
        }
        if let next = precedes ? successorStart(of: index, in: leaf) : neighbour.start {
            let begin = next & ~pageMask
            if begin <= last, let after = precedes ? successor(of: index, in: leaf) : neighbour { return .taken(after) }
            if last &+ 1 == begin { isBeside &+= 1 }
        }
        return .free(index: precedes ? index &+ 1 : 0, isBeside: isBeside)
    }

    /// Adds a record, or changes nothing.
    @_optimize(speed)
    func insert(_ record: MappingRecord) -> Insertion {
        switch place(for: record.start, last: record.lastOwnedByte(pageMask: pageMask)) {
        case .taken(let other): .overlap(other)
        case .free(let index, _): insert(record, at: index) ? .done : .outOfMemory
        }
    }

    /// The same if `place` said that it is possible, and nothing has changed since. False: no memory, and nothing changed.
    @_optimize(speed)
    func insert(_ record: MappingRecord, at index: Int) -> Bool {
        let entry = TableNode.Entry(record)
        guard let root else { return insertFirst(entry) }
        // Each full node on the way up splits. If the root does, a new root is needed too.
        let top = root.level
        var splits = 0
        while splits <= top, pathNode(splits).count == TableNode.Shape(level: splits).capacity { splits &+= 1 }
        let needed = splits > top ? splits &+ 1 : splits
        guard splits < TableNode.maximumLevels, reserveNodes(UInt64(truncatingIfNeeded: needed)) else { return false }

        beginChange()
        add(entry, at: index, top: top)
        unsafe state[StateWord.count] &+= 1
        endChange()
        return true
    }

    /// The same if nothing is in the way. (With a second caller, the compiler would not inline `place` into the path of a map.)
    func insertFree(_ record: MappingRecord) -> Bool {
        guard let leaf = notePath(to: record.start) else { return insert(record, at: 0) }
        let index = leaf.index(of: record.start, shape: .leaf)
        return insert(record, at: leaf.key(index) <= record.start ? index &+ 1 : 0)
    }

    /// Removes the record that starts exactly there and returns it; nil: there is none.
    func remove(at start: UInt64) -> MappingRecord? {
        removeCounting(at: start)?.record
    }

    /// The same. `isBeside`: how many other records own the pages next to it.
    @_optimize(speed)
    func removeCounting(at start: UInt64) -> (record: MappingRecord, isBeside: Int)? {
        guard let root, let leaf = notePath(to: start) else { return nil }
        let index = leaf.index(of: start, shape: .leaf)
        guard leaf.key(index) == start else { return nil }
        let record = leaf.record(index)
        var isBeside = 0
        // If it is the first of its leaf, the record before it takes another search.
        let before = index > 0 ? leaf.record(index &- 1) : last(startingBefore: start)
        if let before, before.lastOwnedByte(pageMask: pageMask) &+ 1 == start & ~pageMask { isBeside = 1 }
        if let next = successorStart(of: index, in: leaf), record.lastOwnedByte(pageMask: pageMask) &+ 1 == next & ~pageMask {
            isBeside &+= 1
        }

        beginChange()
        leaf.removeRecord(at: index)
        if index == 0 { setLeastKey(leaf.key(0), top: root.level) }
        refill(top: root.level)
        unsafe state[StateWord.count] &-= 1
        endChange()
        return (record, isBeside)
    }

    /// All records of a table, taken out of it: no search finds them any more. They go back, or their nodes become free.
    struct Detached {
        fileprivate let root: TableNode
        let count: UInt64

        /// Calls `body` with each record, in order. The table may be used meanwhile.
        func forEachRecord(_ body: (MappingRecord) -> Void) {
            var node = root
            while node.level > 0 { node = node.child(0) }
            var leaf: TableNode? = node
            while let here = leaf {
                for index in 0..<here.count { body(here.record(index)) }
                leaf = here.next
            }
        }
    }

    /// Takes all records out at once; nil: there are none.
    func detachAll() -> Detached? {
        guard let root else { return nil }
        let detached = Detached(root: root, count: count)
        beginChange()
        setRoot(nil)
        unsafe state[StateWord.count] = 0
        endChange()
        return detached
    }

    /// Puts them back. The table is empty, and was empty since.
    func reattach(_ detached: Detached) {
        beginChange()
        setRoot(detached.root)
        unsafe state[StateWord.count] = detached.count
        endChange()
    }

    /// Removes all records. The nodes are kept for reuse.
    func removeAll() {
        if let all = detachAll() { recycle(all) }
    }

    /// Frees their nodes.
    func recycle(_ detached: Detached) {
        // Readers do not see these nodes, so this long walk, from the root's level to the leaves, makes no reader wait.
        var first = detached.root
        while true {
            let level = first.level
            let below = level > 0 ? first.child(0) : first
            var node: TableNode? = first
            while let current = node {
                node = current.next
                recycle(current)
            }
            if level == 0 { return }
            first = below
        }
    }

    // MARK: - Adding

    private func insertFirst(_ entry: TableNode.Entry) -> Bool {
        guard reserveNodes(1) else { return false }
        beginChange()
        let leaf = takeNode(level: 0)
        leaf.insert(entry, at: 0, shape: .leaf)
        setRoot(leaf)
        unsafe state[StateWord.count] = 1
        endChange()
        return true
    }

    /// Puts `entry` into the path's leaf, and splits full nodes up to the root.
    @inline(__always)
    private func add(_ entry: TableNode.Entry, at index: Int, top: Int) {
        let leaf = pathNode(0)
        // A new least start of all: it is then the first key all the way up.
        if index == 0 { setLeastKey(entry.key, top: top) }
        if leaf.count < TableNode.leafCapacity {
            leaf.insertRecord(entry, at: index)
        } else {
            split(leaf, adding: entry, at: index, top: top)
        }
    }

    @inline(never)
    private func split(_ leaf: TableNode, adding leafEntry: TableNode.Entry, at leafIndex: Int, top: Int) {
        defer { forgetPath() }
        var entry = leafEntry
        var index = leafIndex
        var level = 0
        while true {
            let node = pathNode(level)
            let shape = TableNode.Shape(level: level)
            if node.count < shape.capacity {
                node.insert(entry, at: index, shape: shape)
                return
            }
            // Records often come in order. So at the very end the nodes before the last one are nearly full, and the last one
            // may have fewer entries than the minimum. Elsewhere both halves, with the new entry, have at least the minimum.
            let isLast = node.next == nil && index == shape.capacity
            let left = isLast ? shape.capacity &- shape.capacity / 8 : (shape.capacity &+ 1) / 2
            let new = takeNode(level: level)
            new.setNext(node.next)
            node.setNext(new)
            if index < left {
                node.giveTail(shape.capacity &- left &+ 1, to: new, shape: shape)
                node.insert(entry, at: index, shape: shape)
            } else {
                node.giveTail(shape.capacity &- left, to: new, shape: shape)
                new.insert(entry, at: index &- left, shape: shape)
            }
            entry = TableNode.Entry(key: new.key(0), first: new.address)
            if level == top {
                let root = takeNode(level: level &+ 1)
                let shape = TableNode.Shape(level: level &+ 1)
                root.insert(TableNode.Entry(key: node.key(0), first: node.address), at: 0, shape: shape)
                root.insert(entry, at: 1, shape: shape)
                setRoot(root)
                return
            }
            level &+= 1
            index = pathIndex(level) &+ 1
        }
    }

    // MARK: - Removing

    /// Repairs a node that a removal left too empty: takes an entry from a sibling that has one to spare, or merges with one.
    @inline(__always)
    private func refill(top: Int) {
        var level = 0
        while level < top {
            let node = pathNode(level)
            let shape = TableNode.Shape(level: level)
            if node.count >= shape.minimum { return }
            if borrowOrMerge(node, shape: shape, parent: pathNode(level &+ 1), index: pathIndex(level &+ 1)) { return }
            level &+= 1
        }
        // The root has no minimum. Without entries there is no tree; with one child, that is the tree.
        let root = pathNode(top)
        if root.count == 0 {
            setRoot(nil)
            recycle(root)
        } else if top > 0, root.count == 1 {
            setRoot(root.child(0))
            recycle(root)
        }
    }

    /// True: borrowed, so the parent has as many entries as before. A parent has two children at least, so there is a sibling.
    @inline(never)
    private func borrowOrMerge(_ node: TableNode, shape: TableNode.Shape, parent: TableNode, index: Int) -> Bool {
        forgetPath()
        let left = index > 0 ? parent.child(index &- 1) : nil
        let right = index &+ 1 < parent.count ? parent.child(index &+ 1) : nil
        if let left, left.count > shape.minimum {
            left.giveTail(1, to: node, shape: shape)
            parent.setKey(node.key(0), at: index)
            return true
        }
        if let right, right.count > shape.minimum {
            right.giveFirst(to: node, shape: shape)
            parent.setKey(right.key(0), at: index &+ 1)
            return true
        }
        let parentShape = TableNode.Shape.inner
        if let left {
            merge(node, into: left, shape: shape)
            parent.remove(at: index, shape: parentShape)
        } else if let right {
            merge(right, into: node, shape: shape)
            parent.remove(at: index &+ 1, shape: parentShape)
        }
        return false
    }

    private func merge(_ node: TableNode, into left: TableNode, shape: TableNode.Shape) {
        node.giveAll(to: left, shape: shape)
        left.setNext(node.next)
        recycle(node)
    }

    // MARK: - The path

    // SAFETY: of this part: a tree has at most TableNode.maximumLevels levels (insert refuses more), and `state` has room for
    // so many pairs of node and index; a pair is read only after notePath has written it.

    /// Like `leaf(for:)`, and notes for each level the node and, above the leaf, the index of the child taken.
    @_optimize(speed)
    @inline(__always)
    func notePath(to key: UInt64) -> TableNode? {
        let path = unsafe state + StateWord.path
        // Two changes are often near each other. Then the path is the one before. One comparison, which wraps around, tells
        // whether the leaf has a key on either side. The processor could not predict which of two comparisons fails.
        if let leaf = unsafe TableNode(address: path[0]) {
            let last = leaf.next == nil ? .max : leaf.key(leaf.count &- 1)
            if key &- leaf.key(0) <= last &- leaf.key(0) { return leaf }
        }
        guard var node = root else { return nil }
        var level = node.level
        let isLarge = level > 2
        while level > 0 {
            // In a table of so many levels, the level above the leaves is too large for a near cache. So all its lines come.
            if level == 1, isLarge { node.prefetch() }
            let index = node.index(of: key, shape: .inner)
            unsafe path[level &* 2] = node.address
            unsafe path[level &* 2 &+ 1] = UInt64(truncatingIfNeeded: index)
            node = node.child(index)
            level &-= 1
        }
        node.prefetch()
        unsafe path[0] = node.address
        return node
    }

    /// Each function that puts another node or index into a path, or may do so, calls this.
    func forgetPath() {
        unsafe state[StateWord.path] = 0
    }

    @inline(__always)
    private func pathNode(_ level: Int) -> TableNode {
        unsafe TableNode(certain: state[StateWord.path &+ level &* 2])
    }

    @inline(__always)
    private func pathIndex(_ level: Int) -> Int {
        unsafe Int(truncatingIfNeeded: state[StateWord.path &+ level &* 2 &+ 1])
    }

    /// The path's leaf has another least key now. So have all the nodes above of which it is the first.
    private func setLeastKey(_ key: UInt64, top: Int) {
        var level = 1
        while level <= top {
            let index = pathIndex(level)
            pathNode(level).setKey(key, at: index)
            if index != 0 { return }
            level &+= 1
        }
    }
}
