// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

private let page: UInt64 = 4096
private let chunkPages: UInt64 = 512
private let chunk = chunkPages * page

private struct Pages: Equatable {
    let first: UInt64
    let count: UInt64
    let isWritable: Bool

    var last: UInt64 { first + count - 1 }
    var range: ByteRange? { ByteRange(start: first * page, length: count * page) }
}

/// Only the owner of each page.
private struct Model {
    var owners: [Pages?]
    /// For each chunk: how many mappings have a part in it, and whether there have been more than three since it was empty.
    var counts: [Int]
    var hasBits: [Bool]

    init(pages: UInt64) {
        owners = Array(repeating: nil, count: Int(pages))
        let chunks = Int((pages + chunkPages - 1) / chunkPages)
        counts = Array(repeating: 0, count: chunks)
        hasBits = Array(repeating: false, count: chunks)
    }

    func isFree(_ pages: Pages) -> Bool {
        pages.last < owners.count && owners[Int(pages.first)...Int(pages.last)].allSatisfy { $0 == nil }
    }

    mutating func set(_ pages: Pages, live: Bool) {
        for index in pages.first...pages.last { owners[Int(index)] = live ? pages : nil }
        for index in Int(pages.first / chunkPages)...Int(pages.last / chunkPages) {
            counts[index] += live ? 1 : -1
            hasBits[index] = counts[index] > 3 || (hasBits[index] && counts[index] > 0)
        }
    }

    /// Whether one mapping covers the range and allows the access.
    func covers(_ offset: UInt64, _ length: UInt64, _ forWriting: Bool) -> Bool {
        let (last, wraps) = offset.addingReportingOverflow(length &- 1)
        guard length > 0, !wraps, last / page < owners.count, let owner = owners[Int(offset / page)] else { return false }
        return owner.last >= last / page && (owner.isWritable || !forWriting)
    }

    /// Whether the index itself answers this question.
    func isKnown(_ offset: UInt64, _ length: UInt64) -> Bool {
        let (last, wraps) = offset.addingReportingOverflow(length &- 1)
        guard !wraps, offset / chunk == last / chunk, offset / chunk < hasBits.count else { return false }
        return !hasBits[Int(offset / chunk)] || offset / page == last / page
    }
}

/// An index for #expect, which needs a copyable value.
private final class Index {
    private let index: PageIndex

    init(size: UInt64) {
        index = PageIndex(chunks: PageIndex.chunks(for: size))
    }

    func add(_ pages: ByteRange, writable: Bool) {
        index.add(pages, writable: writable)
    }

    func remove(_ pages: ByteRange) {
        index.remove(pages)
    }

    func covers(_ offset: UInt64, length: UInt64, forWriting: Bool) -> Bool {
        index.reader.covers(offset, length: length, forWriting: forWriting)
    }
}

@Suite struct PageIndexTests {
    @Test func emptyIndexSaysYesToNothing() {
        for size in [page, chunk - page, chunk, chunk + page, 40 * chunk] {
            let index = Index(size: size)
            for offset in [0, 1, page, size - 1, size, size + chunk, 1 << 63, .max] as [UInt64] {
                for length in [0, 1, page, chunk, size, .max] as [UInt64] {
                    #expect(!index.covers(offset, length: length, forWriting: false))
                    #expect(!index.covers(offset, length: length, forWriting: true))
                }
            }
        }
    }

    @Test func numbersThatWrapAroundOrAreZeroAreInNoMapping() throws {
        let size = 2 * chunk
        let index = Index(size: size)
        index.add(try #require(ByteRange(start: 0, length: size)), writable: true)
        for offset in [0, 1, page, chunk - 1, chunk, size - 1] {
            #expect(index.covers(offset, length: 1, forWriting: true))
            for length in [0, .max, 0 &- offset, 0 &- offset &+ 1, .max - offset, 1 << 63, 0 &- chunk, 0 &- size] as [UInt64]
            where length != 1 {
                #expect(!index.covers(offset, length: length, forWriting: false))
            }
        }
        for offset in [size, size + 1, 1 << 40, 1 << 63, 0 &- size, 0 &- chunk, 0 &- page, .max] as [UInt64] {
            for length in [0, 1, page, size, .max] as [UInt64] {
                #expect(!index.covers(offset, length: length, forWriting: false))
            }
        }
    }

    @Test func runReachesFromItsFirstByteToTheLastOfItsChunk() throws {
        let index = Index(size: 3 * chunk)
        index.add(try #require(ByteRange(start: page, length: 2 * chunk)), writable: false)
        #expect(!index.covers(page - 1, length: 1, forWriting: false))
        #expect(!index.covers(page - 1, length: 2, forWriting: false))
        #expect(index.covers(page, length: chunk - page, forWriting: false))
        #expect(!index.covers(page, length: chunk - page, forWriting: true))
        // Two chunks: the table must answer.
        #expect(!index.covers(page, length: chunk - page + 1, forWriting: false))
        #expect(index.covers(chunk, length: chunk, forWriting: false))
        #expect(index.covers(2 * chunk + page - 1, length: 1, forWriting: false))
        #expect(!index.covers(2 * chunk + page - 1, length: 2, forWriting: false))
    }

    @Test func neighboursAreNotOne() throws {
        let index = Index(size: chunk)
        for first in 0..<8 as Range<UInt64> {
            index.add(try #require(ByteRange(start: first * page, length: page)), writable: true)
            for at in 0...first {
                #expect(index.covers(at * page, length: page, forWriting: true))
                #expect(!index.covers(at * page, length: page + 1, forWriting: false))
            }
        }
    }

    @Test func chunkThatWasFullOfMappingsIsAnEmptyOneAgain() throws {
        let index = Index(size: chunk)
        let all = try (0..<chunkPages).map { try #require(ByteRange(start: $0 * page, length: page)) }
        for pages in all { index.add(pages, writable: true) }
        for pages in all { #expect(index.covers(pages.start, length: page, forWriting: true)) }
        for pages in all.reversed() { index.remove(pages) }
        // A run again, which knows more than one page. No old bit may appear when it becomes bits.
        index.add(try #require(ByteRange(start: page, length: 2 * page)), writable: false)
        #expect(index.covers(page, length: 2 * page, forWriting: false))
        for number in [10, 20, 30] { index.add(all[number], writable: false) }
        for number in 0..<Int(chunkPages) {
            #expect(index.covers(all[number].start, length: 1, forWriting: false) == [1, 2, 10, 20, 30].contains(number))
            #expect(!index.covers(all[number].start, length: 1, forWriting: true))
        }
    }

    @Test func runsGoInAnyOrder() throws {
        let three = [
            Pages(first: 0, count: 3, isWritable: true), Pages(first: 3, count: 1, isWritable: false),
            Pages(first: 510, count: 2, isWritable: true),
        ]
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let index = Index(size: chunk)
            var model = Model(pages: chunkPages)
            for pages in three {
                index.add(try #require(pages.range), writable: pages.isWritable)
                model.set(pages, live: true)
            }
            for number in order {
                index.remove(try #require(three[number].range))
                model.set(three[number], live: false)
                compareEachPage(index, model)
            }
        }
    }

    @Test func hugeMappingIsLeftToTheTable() throws {
        let most = PageIndex.maximumChunks * chunk
        let size = most + 3 * chunk
        let index = Index(size: size)
        // Parts of as many chunks as the index notes.
        let noted = try #require(ByteRange(start: page, length: most - 2 * page))
        index.add(noted, writable: true)
        #expect(index.covers(page, length: page, forWriting: true))
        #expect(index.covers(most - chunk, length: chunk - page, forWriting: true))
        index.remove(noted)
        #expect(!index.covers(most / 2, length: 1, forWriting: false))
        // One more, between neighbours in the chunks at its ends.
        let huge = try #require(ByteRange(start: chunk - page, length: most))
        let before = try #require(ByteRange(start: chunk - 2 * page, length: page))
        let after = try #require(ByteRange(start: huge.end, length: page))
        index.add(before, writable: true)
        index.add(huge, writable: true)
        index.add(after, writable: true)
        for _ in 0..<2 {
            for neighbour in [before, after] { #expect(index.covers(neighbour.start, length: page, forWriting: true)) }
            for offset in [huge.start, huge.start + page, huge.end - page] {
                #expect(!index.covers(offset, length: 1, forWriting: false))
            }
            index.remove(huge)
        }
        index.remove(before)
        index.remove(after)
        for neighbour in [before, after] { #expect(!index.covers(neighbour.start, length: 1, forWriting: false)) }
    }

    /// Mostly single pages; mostly runs; runs that cross chunks; whole chunks; regions that end within a chunk.
    @Test(
        arguments: [
            (1, 512, 1), (2, 512, 64), (3, 1500, 4), (4, 2600, 300), (5, 4096, 2000), (6, 5000, 1), (7, 100, 20), (8, 513, 513),
        ] as [(UInt64, UInt64, UInt64)])
    func randomAddsAndRemovesMatchANaiveModel(seed: UInt64, regionPages: UInt64, largest: UInt64) throws {
        var random = Random(state: seed)
        let index = Index(size: regionPages * page)
        var model = Model(pages: regionPages)
        var live: [Pages] = []
        for step in 0..<3000 {
            // It fills for a while, then empties for a while.
            if !live.isEmpty, random.next(below: 8) < (step / 300 % 2 == 0 ? 2 : 6) {
                let pages = live.remove(at: Int(random.next(below: UInt64(live.count))))
                index.remove(try #require(pages.range))
                model.set(pages, live: false)
            } else {
                var pages = Pages(
                    first: random.next(below: regionPages), count: 1 + random.next(below: largest),
                    isWritable: random.next(below: 2) == 0)
                if random.next(below: 16) == 0 {
                    pages = Pages(first: pages.first / chunkPages * chunkPages, count: chunkPages, isWritable: true)
                }
                guard model.isFree(pages) else { continue }
                live.append(pages)
                index.add(try #require(pages.range), writable: pages.isWritable)
                model.set(pages, live: true)
            }
            for _ in 0..<20 {
                let offset = random.next(below: regionPages * page + chunk)
                let length = [1, random.next(below: page), random.next(below: 8 * page), random.next(below: chunk)][
                    Int(random.next(below: 4))]
                compare(index, model, offset, length)
            }
            if step % 300 == 299 { compareEachPage(index, model) }
        }
        for pages in live {
            index.remove(try #require(pages.range))
            model.set(pages, live: false)
        }
        compareEachPage(index, model)
    }

    /// If the index says yes, the model says yes. It may say no only where it knows.
    private func compare(_ index: Index, _ model: Model, _ offset: UInt64, _ length: UInt64) {
        for forWriting in [false, true] {
            let isCovered = index.covers(offset, length: length, forWriting: forWriting)
            let isRight = isCovered == (model.isKnown(offset, length) && model.covers(offset, length, forWriting))
            #expect(isRight, "\(offset), \(length), \(forWriting): \(isCovered)")
        }
    }

    private func compareEachPage(_ index: Index, _ model: Model) {
        for number in 0..<UInt64(model.owners.count) {
            compare(index, model, number * page, page)
            compare(index, model, number * page + 1, page)
        }
    }
}
