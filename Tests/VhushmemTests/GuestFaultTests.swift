// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct GuestFaultTests {
    private let device = ShmemDevice()
    private let region: Region
    private let file: TestFile

    init() throws {
        region = try device.addRegion(shmid: 0, size: 256 * pageSize)
        file = try makeMemfd(pages: 4)
    }

    private func read(at offset: UInt64, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xaa, count: count)
        try bytes.withUnsafeMutableBytes { try region.emulateGuestAccess(at: offset, data: $0, isWrite: false) }
        return bytes
    }

    private func write(_ bytes: [UInt8], at offset: UInt64) throws {
        var bytes = bytes
        try bytes.withUnsafeMutableBytes { try region.emulateGuestAccess(at: offset, data: $0, isWrite: true) }
    }

    /// A byte of the window as a guest sees it that may touch it.
    private func seen(at offset: UInt64) -> UInt8 {
        (region.window.baseAddress + Int(offset)).load(as: UInt8.self)
    }

    @Test func emulatedReadOfAHoleIsZeros() throws {
        #expect(try read(at: 0, 8) == [0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test func emulatedReadCrossesFromAMappingIntoAHole() throws {
        try region.map(fd: file.fd, at: 0, length: pageSize)
        #expect(try read(at: pageSize - 2, 4) == [1, 1, 0, 0])
        try region.map(fd: file.fd, fileOffset: pageSize, at: pageSize, length: pageSize)
        #expect(try read(at: pageSize - 2, 4) == [1, 1, 2, 2])
    }

    @Test func emulatedWriteReachesWhatMayBeWrittenOnly() throws {
        try region.map(fd: file.fd, at: 0, length: pageSize)
        try region.map(fd: file.fd, fileOffset: pageSize, at: pageSize, length: pageSize, writable: true)
        try write([9, 9, 9, 9], at: pageSize - 2)
        #expect(try read(at: pageSize - 2, 4) == [1, 1, 9, 9])
        try write([9], at: 5 * pageSize)
        #expect(try read(at: 5 * pageSize, 1) == [0])
    }

    @Test func emulatedAccessToALostPageReadsZerosAndDropsWrites() throws {
        try region.map(fd: file.fd, at: 0, length: 2 * pageSize, writable: true)
        try #require(ftruncate(file.fd, off_t(pageSize)) == 0)
        #expect(try read(at: pageSize - 1, 2) == [1, 0])
        try write([9, 9], at: pageSize - 1)
        #expect(try read(at: pageSize - 1, 2) == [9, 0])
    }

    @Test func accessOutsideTheRegionIsRefused() throws {
        for (offset, count) in [(region.size, 1), (region.size - 1, 2), (.max, 1), (.max, 8)] as [(UInt64, Int)] {
            #expect(throws: ShmemError.self) { try read(at: offset, count) }
            let refused = refusal { () throws(ShmemError) in
                try region.resolveGuestFault(at: offset, length: UInt64(count), access: .write)
            }
            #expect(refused?.code == ENXIO)
        }
    }

    @Test func readOfAHoleMakesAllHolesZeros() throws {
        try region.map(fd: file.fd, at: 8 * pageSize, length: pageSize)
        try region.resolveGuestFault(at: 0, length: 8, access: .read)
        #expect(seen(at: 0) == 0 && seen(at: 7 * pageSize) == 0 && seen(at: region.size - 1) == 0)
        #expect(seen(at: 8 * pageSize) == 1)
        try region.unmap(at: 8 * pageSize, length: pageSize)
        #expect(seen(at: 8 * pageSize) == 0, "what is unmapped later is zeros as well")
        #expect(region.translate(0, length: 1) == nil, "a hole is a hole")
    }

    @Test func writeToAHoleMakesAPageOfItsOwn() throws {
        try region.resolveGuestFault(at: 3 * pageSize + 5, length: 1, access: .write)
        (region.window.baseAddress + Int(3 * pageSize)).storeBytes(of: 7, as: UInt8.self)
        #expect(seen(at: 3 * pageSize) == 7)
        try region.map(fd: file.fd, at: 3 * pageSize, length: pageSize)
        #expect(seen(at: 3 * pageSize) == 1, "a mapping replaces it")
        #expect(isReserved(region.window))
    }

    @Test func writeToAReadOnlyMappingGoesToACopy() throws {
        try region.map(fd: file.fd, at: 0, length: 2 * pageSize)
        try region.resolveGuestFault(at: pageSize - 1, length: 1, access: .write)
        #expect(seen(at: pageSize - 1) == 1, "the copy has the file's bytes")
        region.window.baseAddress.storeBytes(of: 7, as: UInt8.self)
        var byte: UInt8 = 0
        try #require(pread(file.fd, &byte, 1, 0) == 1)
        #expect(byte == 1)
        try region.unmap(at: 0, length: 2 * pageSize)
        try region.map(fd: file.fd, at: 0, length: pageSize)
        #expect(seen(at: 0) == 1)
    }

    @Test func lostPageOfATruncatedFileBecomesZeros() throws {
        try region.map(fd: file.fd, at: 0, length: 2 * pageSize)
        try #require(ftruncate(file.fd, off_t(pageSize)) == 0)
        try region.resolveGuestFault(at: pageSize, length: 1, access: .read)
        #expect(seen(at: pageSize) == 0 && seen(at: 0) == 1)
    }

    @Test(arguments: [false, true]) func lostPagesTakeABoundedNumberOfMappings(goingUp: Bool) throws {
        let large = try makeMemfd(pages: 200)
        try region.map(fd: large.fd, at: 0, length: 200 * pageSize)
        let before = separateMappings(in: region.window)
        try #require(ftruncate(large.fd, off_t(pageSize)) == 0)
        for index in 1..<200 as Range<UInt64> {
            let page = goingUp ? index : 200 - index
            try region.resolveGuestFault(at: page * pageSize, length: 8, access: .read)
            #expect(seen(at: page * pageSize) == 0)
        }
        #expect(seen(at: 0) == 1)
        #expect(separateMappings(in: region.window) <= before + 2 * CoveredPages.maximum)
        #expect(region.mappings.first?.isBroken == true)
        try region.unmap(at: 0, length: 200 * pageSize)
        #expect(isReserved(region.window))
    }

    @Test func lostPagesOfAWritableMappingCanBeWritten() throws {
        let large = try makeMemfd(pages: 200)
        try region.map(fd: large.fd, at: 0, length: 200 * pageSize, writable: true)
        let held = try #require(region.mapping(at: 0, length: 200 * pageSize))
        #expect(!held.description.isBroken)
        try #require(ftruncate(large.fd, 0) == 0)
        for page in (0..<200 as Range<UInt64>).reversed() {
            try region.resolveGuestFault(at: page * pageSize, length: 8, access: .write)
            (region.window.baseAddress + Int(page * pageSize)).storeBytes(of: 7, as: UInt8.self)
        }
        #expect(held.description.isBroken)
    }

    @Test func lostPageIsTheFilesAgainWhenTheFileHasIt() throws {
        try region.map(fd: file.fd, at: 0, length: 4 * pageSize, writable: true)
        try #require(ftruncate(file.fd, off_t(pageSize)) == 0)
        try region.resolveGuestFault(at: 2 * pageSize, length: 8, access: .read)
        #expect(region.mappings.first?.isBroken == true)
        try #require(ftruncate(file.fd, off_t(4 * pageSize)) == 0)
        var byte: UInt8 = 9
        try #require(pwrite(file.fd, &byte, 1, off_t(2 * pageSize)) == 1)
        #expect(region.heal() == 0)
        #expect(seen(at: 2 * pageSize) == 9)
        #expect(region.mappings.first?.isBroken == false)
    }

    @Test func whatAGuestWroteIntoAReadOnlyMappingSurvivesItsTruncation() throws {
        try region.map(fd: file.fd, at: 0, length: 4 * pageSize)
        try region.resolveGuestFault(at: 2 * pageSize, length: 8, access: .write)
        (region.window.baseAddress + Int(2 * pageSize)).storeBytes(of: 7, as: UInt8.self)
        try #require(ftruncate(file.fd, 0) == 0)
        // A temporarily covered page is read before another call can end that.
        for page in [0, 1, 3] as [UInt64] {
            try region.resolveGuestFault(at: page * pageSize, length: 8, access: .read)
            #expect(seen(at: page * pageSize) == 0)
        }
        #expect(seen(at: 2 * pageSize) == 7)
    }

    @Test func faultAtAnUnknownPlaceChangesTheHolesOnce() throws {
        try region.resolveGuestFault(at: nil, length: 0, access: .unknown)
        #expect(seen(at: 0) == 0)
        let again = refusal { () throws(ShmemError) in try region.resolveGuestFault(at: nil, length: 0, access: .unknown) }
        #expect(again?.code == ENXIO)
    }

    @Test func pagesInHolesMakeRoomForNewerOnes() throws {
        for index in 0...UInt64(CoveredPages.maximum) {
            try region.resolveGuestFault(at: index * 2 * pageSize, length: 1, access: .write)
        }
        #expect(!region.isCovered(at: 0))
        let last = 2 * UInt64(CoveredPages.maximum) * pageSize
        #expect(region.isCovered(at: last))
        #expect(isReserved(region.window))
    }

    @Test func pagesInMappingsLastAndRunOut() throws {
        let large = try makeMemfd(pages: 100)
        try region.map(fd: large.fd, at: 0, length: 100 * pageSize)
        for index in 0..<UInt64(CoveredPages.maximum) {
            try region.resolveGuestFault(at: index * pageSize, length: 1, access: .write)
        }
        let full = refusal { () throws(ShmemError) in
            try region.resolveGuestFault(at: 99 * pageSize, length: 1, access: .write)
        }
        #expect(full?.code == ENOSPC)
        #expect(region.isCovered(at: 0))
        region.unmapAll()
        #expect(!region.isCovered(at: 0) && region.device.lock.withLock { held in !region.covers[held].isFull(.written) })
    }

    @Test func resetLeavesNothingOfWhatAGuestWroteIntoHoles() throws {
        try region.resolveGuestFault(at: 0, length: 1, access: .write)
        #expect(region.unmapAll() == 0)
        #expect(!region.isCovered(at: 0) && isReserved(region.window))
    }

    @Test func sameFaultTwiceTakesOnePage() throws {
        for _ in 0..<3 { try region.resolveGuestFault(at: 0, length: 1, access: .write) }
        (region.window.baseAddress).storeBytes(of: 7, as: UInt8.self)
        try region.resolveGuestFault(at: 0, length: 1, access: .write)
        #expect(seen(at: 0) == 7)
    }
}

@Suite struct RecentAnswersTests {
    @Test func eachPageOfEachMappingIsAnsweredSoManyTimes() {
        var answers = RecentAnswers()
        for page in [0, 0x1000] as [UInt64] {
            for generation in [1, 2] as [UInt64] {
                let allowed = (0..<4).map { _ in answers.allows(page, of: generation, atMost: 3) }
                #expect(allowed == [true, true, true, false])
            }
        }
    }
}

@Suite struct MappingIdentityTests {
    @Test func pagesOfTheFileAreExactUpTo4095AndRoundedDownBeyond() throws {
        for pages in [0, 1, 511, 4095] as [UInt64] {
            #expect(MappingIdentity(isLocal: false, hasHugePages: false, pagesInFile: pages).pagesInFile == pages)
        }
        for pages in [4096, 4097, 1 << 20, (1 << 27) - 1, 1 << 40, .max] as [UInt64] {
            let kept = MappingIdentity(isLocal: true, hasHugePages: false, pagesInFile: pages).pagesInFile
            let rounded = try #require(kept)
            #expect(rounded <= pages)
            if pages < 1 << 27 { #expect(rounded >= pages - pages / 2048) }
        }
        #expect(MappingIdentity(isLocal: true, hasHugePages: false, pagesInFile: nil).pagesInFile == nil)
    }

    @Test func factsDoNotTouchTheGeneration() {
        let identity = MappingIdentity(isLocal: true, hasHugePages: false, pagesInFile: 77).numbered(0x2b_cdef_1234).announced
            .leaving
        #expect(identity.generation == 0x2b_cdef_1234 && identity.isAnnounced && identity.isLeaving && identity.isLocal)
        #expect(identity.withPagesInFile(3).pagesInFile == 3 && identity.withPagesInFile(3).generation == identity.generation)
        #expect(!identity.staying.isLeaving && !identity.unannounced.isAnnounced && identity.pagesInFile == 77)
    }
}
