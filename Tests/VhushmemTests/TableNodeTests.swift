// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

/// A single node for a test, with a word on either side that must not change.
private final class LoneNode {
    static let edge: UInt64 = 0x5555_aaaa_5555_aaaa
    private let block: UnsafeMutablePointer<UInt64>
    let node: TableNode

    init(level: Int) {
        block = .allocate(capacity: TableNode.wordCount + 2)
        block.initialize(repeating: Self.edge, count: TableNode.wordCount + 2)
        node = TableNode(words: block + 1)
        node.reset(level: level)
    }

    deinit { block.deallocate() }

    var hasItsEdges: Bool { block[0] == Self.edge && block[TableNode.wordCount + 1] == Self.edge }
}

/// Each value of an entry follows from its key, so that a value next to the wrong key shows.
private func entry(_ key: UInt64, _ shape: TableNode.Shape) -> TableNode.Entry {
    guard shape.isLeaf else { return TableNode.Entry(key: key, first: key << 4 | 8) }
    let word = key &* 0x9E37_79B9_7F4A_7C15
    return TableNode.Entry(MappingRecord(start: key, length: key &* 3 | 1, fileOffset: ~key, word: word, identity: key ^ word))
}

/// Whether the node has exactly the entries with these keys, each with its values.
private func has(_ keys: [UInt64], _ lone: LoneNode, _ shape: TableNode.Shape) -> Bool {
    let node = lone.node
    guard lone.hasItsEdges, node.count == keys.count, !shape.isLeaf || node.eachSlotIsNamedOnce else { return false }
    for (index, key) in keys.enumerated() {
        let found = node.entry(index, shape: shape)
        let expected = entry(key, shape)
        guard found.key == key, found.first == expected.first else { return false }
        guard
            !shape.isLeaf
                || (found.second == expected.second && found.third == expected.third && found.fourth == expected.fourth)
        else { return false }
        guard node.index(of: key, shape: shape) == index else { return false }
        if shape.isLeaf, node.loadRecord(index) != node.record(index) { return false }
    }
    return (keys.count..<shape.capacity).allSatisfy { node.key($0) == .max }
}

@Suite struct TableNodeTests {
    @Test(arguments: [0, 1])
    func entriesKeepTheirValuesWhereverOthersComeAndGo(level: Int) {
        let shape = TableNode.Shape(level: level)
        let lone = LoneNode(level: level)
        var random = Random(state: 11)
        var keys: [UInt64] = []
        for step in 0..<20_000 {
            // Mostly growing, then mostly shrinking: sometimes it is full, and sometimes empty.
            let grows = random.next(below: 4) < (step / 200 % 2 == 0 ? 3 : 1)
            if keys.isEmpty || grows && keys.count < shape.capacity {
                let key = random.next(below: 1 << 40)
                let index = keys.firstIndex { $0 >= key } ?? keys.count
                if index < keys.count, keys[index] == key { continue }
                keys.insert(key, at: index)
                lone.node.insert(entry(key, shape), at: index, shape: shape)
            } else {
                let index = Int.random(in: 0..<keys.count, using: &random)
                keys.remove(at: index)
                lone.node.remove(at: index, shape: shape)
            }
            guard has(keys, lone, shape) else {
                Issue.record("differs after step \(step) at level \(level)")
                return
            }
        }
    }

    @Test(arguments: [0, 1])
    func nodeTakesAndLosesAnEntryAtEachPlace(level: Int) {
        let shape = TableNode.Shape(level: level)
        for count in 0..<shape.capacity {
            for index in 0...count {
                let lone = LoneNode(level: level)
                var keys = (0..<UInt64(count)).map { $0 * 2 + 1 }
                for (place, key) in keys.enumerated() { lone.node.insert(entry(key, shape), at: place, shape: shape) }
                let new = UInt64(index) * 2
                lone.node.insert(entry(new, shape), at: index, shape: shape)
                keys.insert(new, at: index)
                #expect(has(keys, lone, shape), "\(index) of \(count), inserted")
                lone.node.remove(at: index, shape: shape)
                keys.remove(at: index)
                #expect(has(keys, lone, shape), "\(index) of \(count), removed")
            }
        }
    }

    @Test(arguments: [0, 1])
    func entriesMoveToTheNeighbourWithTheirValues(level: Int) {
        let shape = TableNode.Shape(level: level)
        let half = shape.capacity / 2
        var random = Random(state: 12)
        for round in 0..<2_000 {
            let (left, right) = (LoneNode(level: level), LoneNode(level: level))
            // Inserted in any order, so that the slots have no order.
            func fill(_ lone: LoneNode, _ count: Int, from first: UInt64) -> [UInt64] {
                var keys: [UInt64] = []
                for key in (0..<UInt64(count)).map({ first + $0 }).shuffled(using: &random) {
                    let index = keys.firstIndex { $0 > key } ?? keys.count
                    keys.insert(key, at: index)
                    lone.node.insert(entry(key, shape), at: index, shape: shape)
                }
                return keys
            }
            let isSplit = round % 4 == 0
            var lefts = fill(left, isSplit ? shape.capacity : Int.random(in: 1...half, using: &random), from: 0)
            var rights = isSplit ? [] : fill(right, Int.random(in: 1...half, using: &random), from: 1_000)
            switch round % 4 {
            case 0, 1:
                let count = Int.random(in: 1...min(lefts.count, half), using: &random)
                left.node.giveTail(count, to: right.node, shape: shape)
                rights = lefts.suffix(count) + rights
                lefts.removeLast(count)
            case 2:
                right.node.giveFirst(to: left.node, shape: shape)
                lefts.append(rights.removeFirst())
            default:
                right.node.giveAll(to: left.node, shape: shape)
                lefts += rights
                rights = []
            }
            guard has(lefts, left, shape), has(rights, right, shape) else {
                Issue.record("differs in round \(round) at level \(level)")
                return
            }
        }
    }

    @Test func readerOfAnySlotStaysInTheNode() {
        let lone = LoneNode(level: 0)
        for byte in 0...255 as ClosedRange<UInt64> {
            for word in 0..<TableNode.wordCount { lone.node.store(UInt64(word), at: word) }
            for word in 3...6 { lone.node.store(byte &* 0x0101_0101_0101_0101, at: word) }
            for index in 0..<TableNode.leafCapacity {
                let record = lone.node.loadRecord(index)
                #expect(max(record.length, record.fileOffset, record.word) < UInt64(TableNode.wordCount))
                #expect(min(record.length, record.fileOffset, record.word) >= UInt64(TableNode.headerWords))
            }
            #expect(!lone.node.eachSlotIsNamedOnce)
        }
    }
}
