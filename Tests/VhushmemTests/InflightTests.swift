// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

/// The area of two queues with up to five entries, 128 bytes for each.
@Suite struct InflightMemoryTests {
    private let area = InflightDescription(length: 256, queues: 2, queueSize: 5)
    private let file: SharedFile

    init() throws {
        let memfd = try makeMemfd(pages: 1, first: 0)
        let range = try #require(ByteRange(start: 0, length: 256))
        file = try SharedFile.map(range, of: memfd.fd, quota: SharedFile.makeQuota(), alarm: Alarm.make())
    }

    @Test func headsAreReducedToTheQueue() throws {
        let part = try #require(InflightMemory(queue: 1, size: 4, of: area, in: file))
        for head in [0, 3, 4, 0x8001, 0xffff] as [UInt16] {
            let place = file.start + 128 + 16 + 16 * Int(head % 4)
            part.setTaken(head, true)
            part.setCounter(head, 0x1122_3344_5566_7788)
            (place + 6).storeBytes(of: 9, as: UInt16.self)
            #expect(place.load(as: UInt8.self) == 1 && (place + 8).load(as: UInt64.self) == 0x1122_3344_5566_7788)
            #expect(part.isTaken(head) && part.counter(head) == 0x1122_3344_5566_7788 && part.next(head) == 9)
            part.setTaken(head, false)
            #expect(!part.isTaken(head))
        }
        for offset in 0..<144 { #expect((file.start + offset).load(as: UInt8.self) == 0) }
    }

    @Test func wordsOfTheHeadAreWhereTheSpecificationHasThem() throws {
        let part = try #require(InflightMemory(queue: 0, size: 4, of: area, in: file))
        part.publishVersion(1)
        part.setEntries(5)
        part.setLastBatchHead(3)
        part.setUsedIndex(0xfffe)
        #expect((4..<8).map { (file.start + 2 * $0).load(as: UInt16.self) } == [1, 5, 3, 0xfffe])
        #expect(part.version == 1 && part.lastBatchHead == 3 && part.usedIndex == 0xfffe)
    }

    @Test func areaHasNoPartForAnotherQueue() {
        for (queue, size) in [(2, 4), (-1, 4), (0, 8), (0, 0), (0, 5), (.max, 1)] as [(Int, UInt16)] {
            #expect(InflightMemory(queue: queue, size: size, of: area, in: file) == nil)
        }
    }
}

/// A back-end may end between any two steps of the ledger. The next one takes exactly the chains again that the driver did not
/// get back.
@Suite struct InflightLedgerTests {
    private let file: InflightFile

    init() throws {
        file = try InflightFile.make(queues: 1, queueSize: 8, quota: SharedFile.makeQuota(), alarm: Alarm.make()).file
    }

    private func ledger() throws -> InflightLedger {
        try #require(file.ledger(queue: 0, size: 8))
    }

    @Test func newAreaKnowsOfNothing() throws {
        #expect(try ledger().begin(usedIndex: 7) == nil)
        #expect(try ledger().begin(usedIndex: 7) == [])
        file.clear()
        #expect(try ledger().begin(usedIndex: 7) == nil)
    }

    @Test func chainsAreTakenAgainInTheirOrder() throws {
        let first = try ledger()
        _ = first.begin(usedIndex: 0)
        for head in [6, 1, 3, 0] as [UInt16] { first.wasTaken(head) }
        first.wasPutBack(3)
        let second = try ledger()
        #expect(second.begin(usedIndex: 0) == [0, 1, 6])
        second.wasTaken(2)
        #expect(try ledger().begin(usedIndex: 0) == [2, 0, 1, 6])
    }

    @Test(arguments: 0...3)
    func chainIsGivenBackWhenTheUsedIndexSaysSo(steps: Int) throws {
        let first = try ledger()
        _ = first.begin(usedIndex: 0xffff)
        for head in [5, 2] as [UInt16] { first.wasTaken(head) }
        var usedIndex: UInt16 = 0xffff
        if steps >= 1 { first.willBeGivenBack(5) }
        if steps >= 2 { usedIndex = 0 }
        if steps >= 3 { first.wasGivenBack(5, usedIndex: usedIndex) }
        #expect(try ledger().begin(usedIndex: usedIndex) == (steps >= 2 ? [2] : [2, 5]))
        // A chain that was done then is done once.
        #expect(try ledger().begin(usedIndex: usedIndex) == (steps >= 2 ? [2] : [2, 5]))
    }
}
