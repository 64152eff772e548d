// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

@Suite struct IndexBudgetTests {
    @Test func givesWhatThereIsAndNoMore() {
        let budget = IndexBudget(chunks: 10)
        #expect(budget.take(upTo: 0) == 0)
        #expect(budget.take(upTo: 4) == 4)
        #expect(budget.take(upTo: .max) == 6)
        #expect(budget.take(upTo: 1) == 0)
        budget.give(3)
        #expect(budget.take(upTo: 4) == 3)
    }

    /// The first regions of a device take all of its budget. Mappings of the other regions are translated too.
    @Test func regionsBeyondTheBudgetHaveNoIndex() throws {
        let size: UInt64 = 1 << 40
        let chunks = PageIndex.chunks(for: size)
        #expect(chunks << 21 == 1 << 36, "64 GiB of a region")
        let device = ShmemDevice()
        let regions = try (0..<4).map { try device.addRegion(shmid: $0, size: size) }
        let indexed = regions.map { $0.indexReader.chunkCount }
        #expect(indexed.allSatisfy { $0 <= chunks })
        #expect(indexed.reduce(0, +) <= IndexBudget.chunksOfDevice)
        #expect(indexed[2] == 0 && indexed[3] == 0)
        let file = try makeMemfd(pages: 1)
        for region in regions {
            for offset in [0, size / 2, size - pageSize] {
                try region.map(fd: file.fd, at: offset, length: pageSize)
                #expect(region.translate(offset, length: pageSize) == region.window.baseAddress + Int(offset))
                #expect(region.translate(offset, length: 1, forWriting: true) == nil)
                try region.unmap(at: offset, length: pageSize)
                #expect(region.translate(offset, length: 1) == nil)
            }
        }
    }

    /// A region that goes gives its part back, and another region of the process can have it.
    @Test func whatARegionTookIsGivenBack() throws {
        for _ in 0..<64 {
            let device = ShmemDevice()
            let region = try device.addRegion(shmid: 0, size: 1 << 37)
            #expect(region.indexReader.chunkCount > 0)
        }
    }
}
