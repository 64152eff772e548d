// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

/// The same map as a sorted array. Ends are inclusive and kept in a second array.
private struct Model {
    let pageSize: UInt64
    var records: [MappingRecord] = []

    func firstByte(_ record: MappingRecord) -> UInt64 {
        record.start / pageSize * pageSize
    }

    func lastByte(_ record: MappingRecord) -> UInt64 {
        let (last, wraps) = record.start.addingReportingOverflow(max(record.length, 1) - 1)
        return wraps ? .max : last / pageSize * pageSize + (pageSize - 1)
    }

    /// How many records satisfy `holds`, which is true for a prefix of them.
    private func prefix(where holds: (MappingRecord) -> Bool) -> Int {
        var low = 0
        var high = records.count
        while low < high {
            let middle = (low + high) / 2
            if holds(records[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func find(at start: UInt64) -> MappingRecord? {
        let index = prefix { $0.start < start }
        return index < records.count && records[index].start == start ? records[index] : nil
    }

    func first(endingAfter offset: UInt64) -> MappingRecord? {
        let index = prefix { lastByte($0) < offset }
        return index < records.count ? records[index] : nil
    }

    func last(startingBefore offset: UInt64) -> MappingRecord? {
        let index = prefix { $0.start < offset }
        return index > 0 ? records[index - 1] : nil
    }

    func containing(_ offset: UInt64, _ length: UInt64) -> MappingRecord? {
        let (last, wraps) = offset.addingReportingOverflow(max(length, 1) - 1)
        let index = prefix { $0.start <= offset }
        guard length > 0, !wraps, index > 0, lastByte(records[index - 1]) >= last else { return nil }
        return records[index - 1]
    }

    /// How many records have pages next to those from `start` to the byte `last`.
    func beside(_ start: UInt64, _ last: UInt64) -> Int {
        (self.last(startingBefore: start).map(lastByte) == start &- 1 ? 1 : 0)
            + (first(endingAfter: last).map(firstByte) == last &+ 1 ? 1 : 0)
    }

    mutating func insert(_ record: MappingRecord) -> MappingTable.Insertion {
        let index = prefix { lastByte($0) < firstByte(record) }
        if index < records.count, firstByte(records[index]) <= lastByte(record) { return .overlap(records[index]) }
        records.insert(record, at: index)
        return .done
    }

    mutating func remove(at start: UInt64) -> MappingRecord? {
        let index = prefix { $0.start < start }
        guard index < records.count, records[index].start == start else { return nil }
        return records.remove(at: index)
    }
}

/// Derives a record's other fields from its start, so that a torn record shows.
private func record(at start: UInt64, length: UInt64 = page) -> MappingRecord {
    MappingRecord(start: start, length: length, fileOffset: ~start, word: start &* 0x9E37_79B9_7F4A_7C15)
}

private let page: UInt64 = 4096

@Suite struct MappingTableTests {
    @Test func emptyTableHasNoNodesAndAnswersNothing() throws {
        let table = try #require(MappingTable(pageSize: page))
        #expect(table.allocatedNodes == 0)
        #expect(table.count == 0)
        for offset in [0, 1, page, UInt64.max] {
            #expect(table.find(at: offset) == nil)
            #expect(table.first(endingAfter: offset) == nil)
            #expect(table.last(startingBefore: offset) == nil)
            #expect(table.remove(at: offset) == nil)
            #expect(!table.setWord(at: offset, to: 1))
            #expect(table.concurrentFind(containing: offset, length: 1) == nil)
        }
        table.removeAll()
        #expect(table.checkInvariants())
    }

    @Test(arguments: [0, 3, 4097, UInt64.max] as [UInt64])
    func pageSizeThatIsNoPowerOfTwoIsRefused(pageSize: UInt64) {
        #expect(MappingTable(pageSize: pageSize) == nil)
    }

    @Test func randomStepsAgreeWithSortedArray() throws {
        let table = try #require(MappingTable(pageSize: page))
        var model = Model(pageSize: page)
        var random = Random(state: 1)
        let pages: UInt64 = 12_000
        var mismatches = 0
        var highest = 0
        for step in 0..<200_000 {
            // Phases of growth and of decline, so that the tree gains and loses levels; one phase ends empty.
            let grows = step / 20_000 % 2 == 0
            let start = random.next(below: pages) * page
            if random.next(below: 10) < (grows ? 8 : 2) {
                let new = MappingRecord(
                    start: start, length: 1 + random.next(below: 2 * page), fileOffset: random.next(), word: random.next())
                let last = new.lastOwnedByte(pageMask: page - 1)
                switch table.place(for: start, last: last) {
                case .taken(let other): if model.insert(new) != .overlap(other) { mismatches += 1 }
                case .free(let index, let isBeside):
                    if isBeside != model.beside(start, last) { mismatches += 1 }
                    let inserted: MappingTable.Insertion =
                        step % 2 == 0 ? table.insert(new) : table.insert(new, at: index) ? .done : .outOfMemory
                    if inserted != model.insert(new) { mismatches += 1 }
                }
            } else {
                // Mostly a record that is there.
                let victim = random.next(below: 8) == 0 ? start : model.first(endingAfter: start)?.start ?? start
                let counted = table.removeCounting(at: victim)
                if counted?.record != model.remove(at: victim) { mismatches += 1 }
                if let (gone, isBeside) = counted,
                    isBeside != model.beside(gone.start, gone.lastOwnedByte(pageMask: page - 1))
                {
                    mismatches += 1
                }
            }
            let offset = random.next(below: pages * page + page)
            let exact = model.first(endingAfter: offset)?.start ?? offset
            if table.find(at: exact) != model.find(at: exact) { mismatches += 1 }
            if table.find(at: offset) != model.find(at: offset) { mismatches += 1 }
            if table.first(endingAfter: offset) != model.first(endingAfter: offset) { mismatches += 1 }
            if table.first(endingAfter: exact) != model.first(endingAfter: exact) { mismatches += 1 }
            if table.last(startingBefore: offset) != model.last(startingBefore: offset) { mismatches += 1 }
            if table.last(startingBefore: exact) != model.last(startingBefore: exact) { mismatches += 1 }
            let length = random.next(below: 2 * page)
            if table.concurrentFind(containing: offset, length: length) != model.containing(offset, length) { mismatches += 1 }
            if table.count != UInt64(model.records.count) { mismatches += 1 }
            if step % 500 == 0, !table.checkInvariants() { mismatches += 1 }
            highest = max(highest, table.root?.level ?? 0)
            if step == 99_999 {
                while let first = table.first(endingAfter: 0) {
                    if table.remove(at: first.start) != model.remove(at: first.start) { mismatches += 1 }
                }
                if !model.records.isEmpty || !table.checkInvariants() { mismatches += 1 }
            }
            if mismatches > 0 {
                Issue.record("differs at step \(step)")
                return
            }
        }
        #expect(table.checkInvariants())
        #expect(highest == 2, "inner nodes were split and merged too")
    }

    @Test func changesNextToEachOtherAgreeWithSortedArray() throws {
        let table = try #require(MappingTable(pageSize: page))
        var model = Model(pageSize: page)
        var random = Random(state: 5)
        let pages: UInt64 = 9_000
        var place: UInt64 = 0
        var highest = 0
        for step in 0..<200_000 {
            // Some changes here, then some elsewhere: leaves are split, merged and filled from neighbours while the changes go
            // on in them.
            if random.next(below: 24) == 0 { place = random.next(below: pages) }
            let start = (place + random.next(below: 40)) * page
            let grows = step / 25_000 % 2 == 0
            var agrees = true
            if random.next(below: 10) < (grows ? 7 : 2) {
                let new = record(at: start)
                agrees = table.insert(new) == model.insert(new)
            } else {
                let victim = model.first(endingAfter: start)?.start ?? start
                agrees = table.remove(at: victim) == model.remove(at: victim)
            }
            if step % 40_000 == 39_999 {
                table.removeAll()
                model.records.removeAll()
            }
            if step % 20 == 0, !table.checkInvariants() { agrees = false }
            highest = max(highest, table.root?.level ?? 0)
            guard agrees else {
                Issue.record("differs at step \(step)")
                return
            }
        }
        #expect(table.count == UInt64(model.records.count))
        for expected in model.records { #expect(table.find(at: expected.start) == expected) }
        #expect(highest == 2)
    }

    @Test func extremesAgreeWithSortedArray() throws {
        var random = Random(state: 2)
        for pageSize in [1, 4096, 1 << 30, 1 << 63] as [UInt64] {
            let table = try #require(MappingTable(pageSize: pageSize))
            var model = Model(pageSize: pageSize)
            let edges = [0, 1, pageSize &- 1, pageSize, pageSize &+ 1, 1 << 63, (1 << 63) - 1, 0 &- pageSize, .max, .max - 1]
            func offset() -> UInt64 {
                edges[Int(random.next(below: UInt64(edges.count)))] &+ random.next(below: 3) &- 1
            }
            for step in 0..<5_000 {
                let a = offset()
                let b = offset()
                if random.next(below: 2) == 0 {
                    let new = MappingRecord(start: a, length: b, fileOffset: b, word: a)
                    #expect(table.insert(new) == model.insert(new))
                } else {
                    #expect(table.remove(at: a) == model.remove(at: a))
                }
                #expect(table.find(at: a) == model.find(at: a))
                #expect(table.first(endingAfter: a) == model.first(endingAfter: a))
                #expect(table.last(startingBefore: a) == model.last(startingBefore: a))
                #expect(table.concurrentFind(containing: a, length: b) == model.containing(a, b))
                _ = table.firstGap(of: a, alignment: b, in: offset(), from: offset())
                #expect(table.checkInvariants(), "page size \(pageSize), step \(step)")
            }
        }
    }

    @Test func overlapNamesTheNeighbourInTheWay() throws {
        let table = try #require(MappingTable(pageSize: page))
        let low = record(at: 4 * page, length: 2 * page - 1)
        let high = record(at: 8 * page, length: page)
        #expect(table.insert(low) == .done)
        #expect(table.insert(high) == .done)
        // The byte after `low` belongs to its last page.
        #expect(table.insert(record(at: 6 * page - 1, length: 1)) == .overlap(low))
        #expect(table.insert(record(at: 5 * page)) == .overlap(low))
        #expect(table.insert(record(at: 4 * page)) == .overlap(low))
        #expect(table.insert(record(at: 3 * page, length: page + 1)) == .overlap(low))
        #expect(table.insert(record(at: 6 * page, length: 2 * page + 1)) == .overlap(high))
        #expect(table.insert(record(at: 5 * page, length: 4 * page)) == .overlap(low), "both: the lower is named")
        #expect(table.insert(record(at: 0, length: .max)) == .overlap(low))
        #expect(table.count == 2)
        #expect(table.insert(record(at: 6 * page, length: 2 * page)) == .done, "touching both")
        #expect(table.insert(record(at: 3 * page)) == .done)
        #expect(table.checkInvariants())
    }

    @Test func overlapIsSeenAcrossLeaves() throws {
        let table = try #require(MappingTable(pageSize: page))
        for index in 0..<1_000 as Range<UInt64> {
            #expect(table.insert(record(at: index * 3 * page, length: 2 * page)) == .done)
        }
        for index in 0..<1_000 as Range<UInt64> {
            let free = (index * 3 + 2) * page
            #expect(table.insert(record(at: free - page)) == .overlap(record(at: index * 3 * page, length: 2 * page)))
            if index < 999 {
                let next = record(at: (index + 1) * 3 * page, length: 2 * page)
                #expect(table.insert(record(at: free, length: page + 1)) == .overlap(next))
            }
        }
        #expect(table.count == 1_000)
    }

    @Test func recordMayReachToTheEndOfTheAddressSpace() throws {
        let table = try #require(MappingTable(pageSize: page))
        let last = record(at: 0 &- page)
        #expect(table.insert(last) == .done)
        #expect(table.first(endingAfter: .max) == last)
        #expect(table.last(startingBefore: .max) == last)
        #expect(table.concurrentFind(containing: 0 &- page, length: page) == last)
        #expect(table.concurrentFind(containing: 0 &- page, length: page + 1) == nil, "wraps around")
        #expect(table.insert(record(at: .max, length: 1)) == .overlap(last))
        #expect(table.firstGap(of: page, alignment: page, in: .max, from: 0 &- page) == 0)
        #expect(table.remove(at: 0 &- page) == last)
        #expect(table.insert(record(at: 0, length: .max)) == .done)
        #expect(table.firstGap(of: page, alignment: page, in: .max, from: 0) == nil)
    }

    @Test func setWordChangesNothingElse() throws {
        let table = try #require(MappingTable(pageSize: page))
        for index in 0..<200 as Range<UInt64> { _ = table.insert(record(at: index * page)) }
        #expect(table.setWord(at: 77 * page, to: 5))
        #expect(!table.setWord(at: 77 * page + 1, to: 5))
        #expect(!table.setWord(at: 200 * page, to: 5))
        for index in 0..<200 as Range<UInt64> {
            var expected = record(at: index * page)
            if index == 77 { expected.word = 5 }
            #expect(table.find(at: index * page) == expected)
        }
    }

    @Test func gapAgreesWithPageByPageSearch() throws {
        var random = Random(state: 3)
        for round in 0..<300 {
            let pages = 1 + random.next(below: 400)
            let table = try #require(MappingTable(pageSize: page))
            var taken = [Bool](repeating: false, count: Int(pages) + 8)
            for _ in 0..<random.next(below: pages + 1) {
                let start = random.next(below: pages)
                let length = 1 + random.next(below: 3)
                guard case .done = table.insert(record(at: start * page, length: length * page - 5)) else { continue }
                for index in start..<start + length { taken[Int(index)] = true }
            }
            for _ in 0..<30 {
                let length = 1 + random.next(below: 4)
                let alignment = 1 + random.next(below: 8)
                let hint = random.next(below: pages + 2)
                let starts = stride(from: 0, to: pages, by: UInt64.Stride(alignment)).filter { start in
                    start + length <= pages && !taken[Int(start)..<Int(start + length)].contains(true)
                }
                let expected = (starts.first { $0 >= hint } ?? starts.first).map { $0 * page }
                let found = table.firstGap(of: length * page, alignment: alignment * page, in: pages * page, from: hint * page)
                #expect(found == expected, "round \(round)")
            }
        }
    }

    @Test func warmPairAllocatesNoNode() throws {
        let table = try #require(MappingTable(pageSize: page))
        var random = Random(state: 4)
        for index in 0..<5_000 as Range<UInt64> { _ = table.insert(record(at: index * 2 * page)) }
        func pair() {
            let start = (random.next(below: 5_000) * 2 + 1) * page
            #expect(table.insert(record(at: start)) == .done)
            #expect(table.remove(at: start) != nil)
        }
        for _ in 0..<5_000 { pair() }
        let warm = table.allocatedNodes
        for _ in 0..<20_000 { pair() }
        #expect(table.allocatedNodes == warm)
        // The same for a table that is empty in between.
        let small = try #require(MappingTable(pageSize: page))
        for _ in 0..<10 {
            #expect(small.insert(record(at: 0)) == .done)
            #expect(small.allocatedNodes == 1)
            #expect(small.remove(at: 0) != nil)
        }
    }

    @Test func removeAllKeepsNodesForReuse() throws {
        let table = try #require(MappingTable(pageSize: page))
        var before: UInt64 = 0
        for round in 0..<3 {
            for index in 0..<4_000 as Range<UInt64> { #expect(table.insert(record(at: index * page)) == .done) }
            if round == 0 { before = table.allocatedNodes }
            table.removeAll()
            #expect(table.count == 0)
            #expect(table.first(endingAfter: 0) == nil)
            #expect(table.freeNodes == table.allocatedNodes)
            #expect(table.checkInvariants())
        }
        #expect(table.allocatedNodes == before)
    }

    @Test func recordCostsAtMostEightyBytes() throws {
        let table = try #require(MappingTable(pageSize: page))
        let records: UInt64 = 100_000
        // Ascending starts leave every leaf but the last half full: the worst that insertion alone can do.
        for index in 0..<records { _ = table.insert(record(at: index * page)) }
        let bytes = table.allocatedNodes * UInt64(TableNode.wordCount * 8)
        #expect(bytes <= 80 * records, "\(Double(bytes) / Double(records)) bytes a record")
    }

    @Test func insertThatFindsNoMemoryChangesNothing() throws {
        for limit in [0, 1, 2, 3, 4, 7, 50, 120] as [UInt64] {
            let table = try #require(MappingTable(pageSize: page, nodeLimit: limit))
            var model = Model(pageSize: page)
            var random = Random(state: limit)
            var refusals = 0
            for _ in 0..<6_000 {
                let new = record(at: random.next(below: 100_000) * page)
                switch table.insert(new) {
                case .done: #expect(model.insert(new) == .done)
                case .overlap(let other): #expect(model.insert(new) == .overlap(other))
                case .outOfMemory: refusals += 1
                }
                if random.next(below: 64) == 0, let victim = model.first(endingAfter: new.start) {
                    #expect(table.remove(at: victim.start) == model.remove(at: victim.start))
                }
            }
            #expect(refusals > 0)
            #expect(table.allocatedNodes <= limit)
            #expect(table.count == UInt64(model.records.count))
            #expect(table.checkInvariants())
            for expected in model.records { #expect(table.find(at: expected.start) == expected) }
        }
    }

    @Test func concurrentFindOwnsWholePagesAndNothingBeyond() throws {
        let table = try #require(MappingTable(pageSize: page))
        let only = record(at: 2 * page, length: page + 1)
        #expect(table.insert(only) == .done)
        #expect(table.concurrentFind(containing: 2 * page, length: 2 * page) == only)
        #expect(table.concurrentFind(containing: 4 * page - 1, length: 1) == only)
        #expect(table.concurrentFind(containing: 2 * page, length: 2 * page + 1) == nil)
        #expect(table.concurrentFind(containing: 2 * page - 1, length: 1) == nil)
        #expect(table.concurrentFind(containing: 4 * page, length: 1) == nil)
        #expect(table.concurrentFind(containing: 2 * page, length: 0) == nil)
        #expect(table.concurrentFind(containing: 2 * page, length: .max) == nil)
    }
}

/// Threads that look records up in one table until they are told to stop.
private final class Readers {
    private final class Reader {
        let table: MappingTable
        let stop: UnsafeMutablePointer<UInt64>
        /// How often it found a record that comes and goes.
        let passing: UnsafeMutablePointer<UInt64>
        let records: UInt64
        /// Each record whose page number is a multiple of this is always there; 0: none is.
        let lasting: UInt64
        var random: Random
        var errors = 0

        init(table: MappingTable, words: UnsafeMutablePointer<UInt64>, records: UInt64, lasting: UInt64, seed: Int) {
            self.table = table
            stop = words
            passing = words + 1 + seed
            self.records = records
            self.lasting = lasting
            random = Random(state: UInt64(seed))
        }

        func run() {
            while vhu_load_acquire(stop) == 0 {
                let number = random.next(below: records)
                let lasts = lasting > 0 && number % lasting == 0
                if let found = table.concurrentFind(containing: number * page + random.next(below: page), length: 1) {
                    var expected = record(at: number * page)
                    // The writer sets the word of a lasting record to 0 and back.
                    if lasts, found.word == 0 { expected.word = 0 }
                    if found != expected { errors += 1 }
                    if !lasts { vhu_store_relaxed(passing, vhu_load_relaxed(passing) + 1) }
                } else if lasts {
                    errors += 1
                }
            }
        }
    }

    /// The first word tells all to stop. Then comes one for each reader, in which it counts.
    private let words: UnsafeMutablePointer<UInt64>
    private var readers: [Reader] = []
    private var threads: [pthread_t] = []

    init(_ count: Int, of table: MappingTable, records: UInt64, lasting: UInt64) {
        words = .allocate(capacity: 1 + count)
        words.initialize(repeating: 0, count: 1 + count)
        for seed in 0..<count {
            let reader = Reader(table: table, words: words, records: records, lasting: lasting, seed: seed)
            readers.append(reader)
            var thread = pthread_t()
            // SAFETY: `readers` keeps the reader until finish() has joined its thread.
            let created = pthread_create(
                &thread, nil,
                { argument in
                    guard let argument else { return nil }
                    Unmanaged<Reader>.fromOpaque(argument).takeUnretainedValue().run()
                    return nil
                }, Unmanaged.passUnretained(reader).toOpaque())
            if created == 0 { threads.append(thread) }
        }
    }

    deinit { words.deallocate() }

    /// Whether each has found enough to prove something. A busy machine may start them late; the writer goes on until then.
    var haveSeenEnough: Bool {
        readers.allSatisfy { vhu_load_relaxed($0.passing) >= 1_000 }
    }

    /// Stops and joins all.
    func finish() -> (threads: Int, errors: Int) {
        vhu_store_release(words, 1)
        for thread in threads { pthread_join(thread, nil) }
        return (threads.count, readers.reduce(0) { $0 + $1.errors })
    }
}

@Suite struct MappingTableConcurrencyTests {
    @Test func concurrentReadersSeeWholeRecordsAndMissNone() throws {
        let records: UInt64 = 6_000
        let table = try #require(MappingTable(pageSize: page))
        for index in stride(from: 0, to: records, by: 4) { #expect(table.insert(record(at: index * page)) == .done) }
        let readers = Readers(3, of: table, records: records, lasting: 4)
        // Waves of growth and decline: readers meet splits, merges, new roots and recycled nodes.
        var random = Random(state: 99)
        var removed = 0
        for wave in 0..<10_000 where wave < 12 || !readers.haveSeenEnough {
            for _ in 0..<20_000 {
                let index = random.next(below: records)
                if index % 4 == 0 {
                    _ = table.setWord(at: index * page, to: random.next(below: 2) == 0 ? 0 : record(at: index * page).word)
                } else if wave % 2 == 0 {
                    _ = table.insert(record(at: index * page))
                } else if table.remove(at: index * page) != nil {
                    removed += 1
                }
            }
        }
        #expect(readers.haveSeenEnough)
        let outcome = readers.finish()
        #expect(outcome.threads == 3)
        #expect(outcome.errors == 0)
        #expect(removed > 1_000)
        #expect(table.checkInvariants())
    }

    @Test func readersSurviveTableThatEmptiesAndRefills() throws {
        let records: UInt64 = 3_000
        let table = try #require(MappingTable(pageSize: page))
        let readers = Readers(2, of: table, records: records, lasting: 0)
        // A node is sometimes a leaf and sometimes an inner node: a reader that took values for children would crash.
        var failures = 0
        for round in 0..<100_000 as Range<UInt64> where round < 40 || !readers.haveSeenEnough {
            let count = records - round % 3 * 700
            for index in 0..<count where table.insert(record(at: index * page)) != .done { failures += 1 }
            table.removeAll()
        }
        #expect(readers.haveSeenEnough)
        let outcome = readers.finish()
        #expect(failures == 0)
        #expect(outcome.threads == 2)
        #expect(outcome.errors == 0)
        #expect(table.checkInvariants())
    }
}
