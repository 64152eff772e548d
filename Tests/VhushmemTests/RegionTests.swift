// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct RegionTests {
    private let device = ShmemDevice()
    private let region: Region
    private let file: TestFile

    init() throws {
        region = try device.addRegion(shmid: 5, size: 64 * pageSize)
        file = try makeMemfd(pages: 16)
    }

    /// The state that a refusal must not change.
    private struct Picture: Equatable {
        let mappings: [String]
        let count: UInt64
        let bytes: UInt64
        let deviceCount: UInt64
        let deviceBytes: UInt64
    }

    private var picture: Picture {
        Picture(
            mappings: region.mappings.map { "\($0)" }, count: region.mappingCount, bytes: region.mappedBytes,
            deviceCount: device.mappingCount, deviceBytes: device.mappedBytes)
    }

    private func byte(at offset: UInt64) -> UInt8? {
        region.translate(offset, length: 1)?.load(as: UInt8.self)
    }

    /// The errno of a refusal that changes nothing; nil: it was not refused.
    private func refused(_ body: () throws(ShmemError) -> Void) -> Int32? {
        let before = picture
        let code = refusal(body)?.code
        if code != nil {
            #expect(picture == before)
            #expect(region.hasSoundTable)
            #expect(isReserved(region.window))
        }
        return code
    }

    @Test func mappedFileIsSeenThroughTheWindow() throws {
        try region.map(fd: file.fd, fileOffset: 2 * pageSize, at: 8 * pageSize, length: 2 * pageSize)
        #expect(byte(at: 8 * pageSize) == 3)
        #expect(byte(at: 10 * pageSize - 1) == 4)
        #expect(byte(at: 10 * pageSize) == nil)
        #expect(region.mappingCount == 1 && region.mappedBytes == 2 * pageSize)
    }

    @Test func unmappedPartIsAHoleAgain() throws {
        try region.map(fd: file.fd, at: 0, length: pageSize)
        try region.unmap(at: 0, length: pageSize)
        #expect(byte(at: 0) == nil)
        #expect(region.mappings.isEmpty && region.mappedBytes == 0 && isReserved(region.window))
    }

    @Test func lengthThatIsNoMultipleOwnsItsLastPage() throws {
        try region.map(fd: file.fd, at: 0, length: pageSize + 1)
        #expect(region.mappedBytes == 2 * pageSize)
        #expect(byte(at: 2 * pageSize - 1) == 2)
        #expect(refused { () throws(ShmemError) in try region.map(fd: file.fd, at: pageSize, length: pageSize) } == EEXIST)
        #expect(refused { () throws(ShmemError) in try region.unmap(at: 0, length: 2 * pageSize) } == EINVAL)
        try region.unmap(at: 0, length: pageSize + 1)
    }

    @Test func overlapIsRefusedOnEverySide() throws {
        try region.map(fd: file.fd, at: 8 * pageSize, length: 4 * pageSize)
        for (at, length) in [(7, 2), (8, 1), (8, 4), (9, 1), (11, 1), (11, 5), (4, 12)] as [(UInt64, UInt64)] {
            let code = refused { () throws(ShmemError) in
                try region.map(fd: file.fd, at: at * pageSize, length: length * pageSize)
            }
            #expect(code == EEXIST, "\(at) \(length)")
        }
        try region.map(fd: file.fd, at: 7 * pageSize, length: pageSize)
        try region.map(fd: file.fd, at: 12 * pageSize, length: pageSize)
        #expect(region.mappingCount == 3)
    }

    @Test func rangesThatCanNotBeAreRefused() throws {
        let size = region.size
        for (at, length) in [
            (0, 0), (1, pageSize), (pageSize - 1, 1), (size, pageSize), (size - pageSize, 2 * pageSize), (0, size + 1),
            (.max, 1), (.max & ~(pageSize - 1), pageSize), (pageSize, .max), (0, .max),
        ] as [(UInt64, UInt64)] {
            #expect(refused { () throws(ShmemError) in try region.map(fd: file.fd, at: at, length: length) } == EINVAL)
            #expect(refused { () throws(ShmemError) in try region.unmap(at: at, length: length) } == EINVAL)
        }
        try region.map(fd: file.fd, at: size - pageSize, length: pageSize)
    }

    @Test func unknownFlagsAreRefused() {
        for flags in [2, 3, 1 << 63, .max] as [UInt64] {
            let code = refused { () throws(ShmemError) in
                let request = SharedMemoryMap(shmid: region.shmid, fileOffset: 0, offset: 0, length: pageSize, flags: flags)
                try region.map(request, fd: file.fd)
            }
            #expect(code == EINVAL)
        }
    }

    @Test func unmapOfPartOfAMappingIsRefused() throws {
        try region.map(fd: file.fd, at: 8 * pageSize, length: 4 * pageSize)
        for (at, length) in [(8, 3), (8, 5), (9, 3), (7, 5), (10, 1), (0, 64)] as [(UInt64, UInt64)] {
            let code = refused { () throws(ShmemError) in try region.unmap(at: at * pageSize, length: length * pageSize) }
            #expect(code == EINVAL, "\(at) \(length)")
        }
        #expect(refused { () throws(ShmemError) in try region.unmap(at: 12 * pageSize, length: pageSize) } == ENOENT)
        #expect(refused { () throws(ShmemError) in try region.unmap(at: 7 * pageSize, length: pageSize) } == ENOENT)
    }

    @Test func readOnlyMappingIsNotTranslatedForWriting() throws {
        try region.map(fd: file.fd, at: 0, length: pageSize)
        try region.map(fd: file.fd, at: pageSize, length: pageSize, writable: true)
        #expect(region.translate(0, length: 1, forWriting: true) == nil)
        #expect(region.translate(pageSize, length: 1, forWriting: true) != nil)
        #expect(region.mappings.map(\.isWritable) == [false, true])
    }

    @Test func rangeOverTwoMappingsIsNotTranslated() throws {
        try region.map(fd: file.fd, at: 0, length: pageSize)
        try region.map(fd: file.fd, at: pageSize, length: pageSize)
        #expect(region.translate(0, length: pageSize) != nil)
        #expect(region.translate(0, length: pageSize + 1) == nil)
        #expect(region.translate(pageSize - 1, length: 2) == nil)
        for (offset, length) in [(0, 0), (.max, 1), (1, .max), (region.size, 1)] as [(UInt64, UInt64)] {
            #expect(region.translate(offset, length: length) == nil)
        }
    }

    @Test func bytesOfAMappingAreLentAndOfAHoleAreNot() throws {
        try region.map(fd: file.fd, at: 0, length: pageSize, writable: true)
        region.withUnsafeMutableBytes(at: 1, length: 2) { $0.copyBytes(from: [8, 9]) }
        #expect(region.withUnsafeBytes(at: 0, length: 4) { Array($0) } == [1, 8, 9, 1])
        #expect(region.withUnsafeBytes(at: pageSize, length: 1) { $0.count } == nil)
        #expect(region.withUnsafeBytes(at: 0, length: .max) { $0.count } == nil)
    }

    @Test func bytesAreCopiedInAndOutWithoutAPointer() throws {
        try region.map(fd: file.fd, at: 0, length: 2 * pageSize, writable: true)
        try region.map(fd: file.fd, at: 4 * pageSize, length: pageSize)
        try region.write([8, 9], at: pageSize - 1)
        #expect(try region.read(at: pageSize - 2, count: 4) == [1, 8, 9, 2])
        #expect(try region.read(at: 0, count: 0) == [])
        var bytes = [UInt8](repeating: 7, count: 4)
        do {
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            try region.read(at: 0, into: &raw)
        }
        #expect(bytes == [1, 1, 1, 1])
        try region.write(bytes.span.bytes, at: pageSize)
        #expect(try region.read(at: pageSize, count: 5) == [1, 1, 1, 1, 2])
        func code<Success>(_ body: () throws(ShmemError) -> Success) -> Int32? { refusal(body)?.code }
        for (offset, count) in [(0, -1), (0, .max), (.max, 1), (region.size, 1), (region.size - 1, 2)] as [(UInt64, Int)] {
            #expect(code { () throws(ShmemError) in try region.read(at: offset, count: count) } == EINVAL)
        }
        #expect(code { () throws(ShmemError) in try region.read(at: pageSize, count: Int(2 * pageSize)) } == ENOENT)
        #expect(code { () throws(ShmemError) in try region.write([1], at: 4 * pageSize) } == EACCES)
        #expect(code { () throws(ShmemError) in try region.write([1], at: .max) } == EINVAL)
        region.unmapAll()
        #expect(code { () throws(ShmemError) in try region.read(at: 0, count: 1) } == ENOENT)
    }

    @Test func allocationTakesTheFirstFreeAlignedRange() throws {
        try region.map(fd: file.fd, at: 0, length: pageSize)
        try region.map(fd: file.fd, at: 2 * pageSize, length: pageSize)
        #expect(try region.allocate(fd: file.fd, length: pageSize) == pageSize)
        #expect(try region.allocate(fd: file.fd, length: pageSize, alignment: 8 * pageSize) == 8 * pageSize)
        #expect(try region.allocate(fd: file.fd, length: 2 * pageSize) == 3 * pageSize)
    }

    @Test func allocationThatDoesNotFitIsRefused() throws {
        for (length, alignment, code) in [
            (0, 0, EINVAL), (1, 1, EINVAL), (1, pageSize + 1, EINVAL), (1, 3 * pageSize, EINVAL),
            (region.size + 1, 0, ENOSPC), (.max, 0, ENOSPC), (17 * pageSize, 0, EOVERFLOW),
        ] as [(UInt64, UInt64, Int32)] {
            let refused = refused { () throws(ShmemError) in
                _ = try region.allocate(fd: file.fd, length: length, alignment: alignment)
            }
            #expect(refused == code, "\(length) \(alignment)")
        }
        for _ in 0..<4 { _ = try region.allocate(fd: file.fd, length: 16 * pageSize) }
        #expect(refused { () throws(ShmemError) in _ = try region.allocate(fd: file.fd, length: 1) } == ENOSPC)
    }

    @Test func quotasAreKeptAndGivenBack() throws {
        var options = RegionOptions()
        options.maximumMappings = 2
        options.maximumBytes = 3 * pageSize
        let small = try device.addRegion(shmid: 6, size: 64 * pageSize, options: options)
        try small.map(fd: file.fd, at: 0, length: 2 * pageSize)
        #expect(
            refusal { () throws(ShmemError) in try small.map(fd: file.fd, at: 4 * pageSize, length: pageSize + 1) }?.code
                == ENOSPC)
        try small.map(fd: file.fd, at: 4 * pageSize, length: pageSize)
        #expect(refusal { () throws(ShmemError) in try small.map(fd: file.fd, at: 8 * pageSize, length: 1) }?.code == ENOSPC)
        #expect(small.unmapAll() == 2)
        try small.map(fd: file.fd, at: 8 * pageSize, length: 3 * pageSize)
    }

    @Test func mappingObjectLivesLongerThanItsMapping() throws {
        let mapping = try Mapping(shmid: 5, fd: file.fd, fileOffset: pageSize, offset: 0, length: pageSize, writable: false)
        #expect(mapping.baseAddress == nil)
        try region.add(mapping)
        #expect(mapping.baseAddress == region.window.baseAddress)
        #expect(region.mapping(at: 0, length: pageSize) === mapping)
        #expect(refused { () throws(ShmemError) in try region.add(mapping) } == EBUSY)
        try region.unmap(at: 0, length: pageSize)
        #expect(mapping.baseAddress == nil)
        #expect(refused { () throws(ShmemError) in try region.add(mapping) } == EBUSY)
    }

    @Test func refusedMappingObjectCanBeAddedLater() throws {
        try region.map(fd: file.fd, at: 0, length: pageSize)
        let mapping = try Mapping(shmid: 5, fd: file.fd, fileOffset: 0, offset: 0, length: pageSize, writable: false)
        #expect(refused { () throws(ShmemError) in try region.add(mapping) } == EEXIST)
        try region.unmap(at: 0, length: pageSize)
        try region.add(mapping)
        let other = try Mapping(shmid: 6, fd: file.fd, fileOffset: 0, offset: pageSize, length: pageSize, writable: false)
        #expect(refused { () throws(ShmemError) in try region.add(other) } == EINVAL)
    }

    @Test func mappingIsFoundByItsExactRangeOnly() throws {
        try region.map(fd: file.fd, at: pageSize, length: 2 * pageSize)
        let found = try #require(region.mapping(at: pageSize, length: 2 * pageSize))
        #expect(region.mapping(at: pageSize, length: 2 * pageSize) === found)
        #expect(region.mapping(at: pageSize, length: pageSize) == nil)
        #expect(region.mapping(at: 2 * pageSize, length: pageSize) == nil)
        #expect(region.mapping(at: .max, length: .max) == nil)
    }

    @Test func goingFromMappingToMappingMeetsEachOnce() throws {
        for (at, length) in [(0, pageSize), (2, 1), (3, pageSize + 1), (60, 4 * pageSize)] as [(UInt64, UInt64)] {
            try region.map(fd: file.fd, at: at * pageSize, length: length)
        }
        var met: [UInt64] = []
        var from: UInt64 = 0
        while let mapping = region.nextMapping(from: from) {
            met.append(mapping.offset / pageSize)
            from = mapping.offset + mapping.length
        }
        #expect(met == [0, 2, 3, 60])
        #expect(region.nextMapping(from: .max) == nil)
    }

    @Test func unmapAllLeavesAnEmptyRegionThatWorks() throws {
        for index in 0..<16 as Range<UInt64> { try region.map(fd: file.fd, at: index * 3 * pageSize, length: pageSize) }
        #expect(region.unmapAll() == 16)
        #expect(region.unmapAll() == 0)
        #expect(device.mappedBytes == 0 && region.mappings.isEmpty && isReserved(region.window))
        try region.map(fd: file.fd, at: 0, length: pageSize)
    }

    @Test func descriptorIsNeededDuringTheCallOnly() throws {
        do {
            let brief = try makeMemfd(pages: 1, first: 77)
            try region.map(fd: brief.fd, at: 0, length: pageSize)
        }
        #expect(byte(at: 0) == 77)
    }

    /// Records what it is told, and looks at the region meanwhile.
    private final class Watcher: RegionObserver {
        var told: [String] = []

        func regionDidMap(_ region: Region, _ record: MappingRecord) {
            told.append("map \(record.start / pageSize) \(region.translate(record.start, length: 1) != nil)")
        }
        func regionWillUnmap(_ region: Region, _ record: MappingRecord) {
            told.append("unmap \(record.start / pageSize) \(region.translate(record.start, length: 1) != nil)")
        }
        func regionDidCommit(_ region: Region) {
            told.append("commit \(region.mappingCount)")
        }
    }

    @Test func observersSeeMappingsFromTheirBeginningToTheirEnd() throws {
        let watcher = Watcher()
        region.observe(with: watcher)
        try region.map(fd: file.fd, at: pageSize, length: pageSize)
        try region.unmap(at: pageSize, length: pageSize)
        _ = refusal { () throws(ShmemError) in try region.unmap(at: pageSize, length: pageSize) }
        try region.map(fd: file.fd, at: 2 * pageSize, length: pageSize)
        region.unmapAll()
        region.stopObserving()
        try region.map(fd: file.fd, at: 0, length: pageSize)
        #expect(
            watcher.told == [
                "map 1 true", "commit 1", "unmap 1 true", "commit 0", "map 2 true", "commit 1", "unmap 2 true", "commit 0",
            ])
    }
}
