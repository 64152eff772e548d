// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct DeviceTests {
    @Test func everyIdCanHaveOneRegion() throws {
        let device = Device()
        for id in UInt8.min...UInt8.max { try device.addRegion(id: id, size: pageSize) }
        #expect(device.allRegions.map(\.id) == Array(UInt8.min...UInt8.max))
        #expect(refusal { () throws(ShmemError) in try device.addRegion(id: 255, size: pageSize) }?.code == EEXIST)
    }

    @Test(arguments: [0, 1, pageSize - 1, pageSize + 1, UInt64.max])
    func sizeThatIsNoMultipleOfThePageIsRefused(size: UInt64) {
        let device = Device()
        #expect(refusal { () throws(ShmemError) in try device.addRegion(id: 0, size: size) }?.code == EINVAL)
        #expect(device.region(id: 0) == nil)
    }

    @Test(arguments: [1 << 62, UInt64.max & ~(pageSize - 1)])
    func regionThatNoAddressSpaceHoldsIsRefused(size: UInt64) {
        let device = Device()
        #expect(refusal { () throws(ShmemError) in try device.addRegion(id: 0, size: size) }?.code == ENOMEM)
        #expect(device.allRegions.isEmpty)
    }

    @Test func quotaCountsAllRegions() throws {
        var options = DeviceOptions()
        options.maximumMappings = 2
        options.maximumBytes = 4 * pageSize
        let device = Device(options)
        let file = try makeMemfd(pages: 4)
        let one = try device.addRegion(id: 1, size: 8 * pageSize)
        let two = try device.addRegion(id: 2, size: 8 * pageSize)
        try one.map(fd: file.fd, at: 0, length: 2 * pageSize)
        #expect(refusal { () throws(ShmemError) in try two.map(fd: file.fd, at: 0, length: 3 * pageSize) }?.code == ENOSPC)
        try two.map(fd: file.fd, at: 0, length: pageSize)
        #expect(refusal { () throws(ShmemError) in try one.map(fd: file.fd, at: 4 * pageSize, length: 1) }?.code == ENOSPC)
        #expect(device.mappingCount == 2 && device.mappedBytes == 3 * pageSize)
        #expect(device.unmapAll() == 2)
        #expect(device.mappedBytes == 0)
    }

    @Test func mappingsEndWithTheDeviceEvenWhereTheRegionIsHeld() throws {
        let file = try makeMemfd(pages: 1)
        var device: Device? = Device()
        let region = try #require(try device?.addRegion(id: 0, size: 8 * pageSize))
        try region.map(fd: file.fd, at: 0, length: pageSize)
        let mapping = try #require(region.mapping(at: 0, length: pageSize))
        device = nil
        #expect(region.mappingCount == 0 && mapping.baseAddress == nil && isReserved(region.window))
        let late = refusal { () throws(ShmemError) in try region.map(fd: file.fd, at: 0, length: pageSize) }
        #expect(late?.code == ESHUTDOWN)
    }

    @Test func messagesAreCarriedOutOneByOne() throws {
        let file = try makeMemfd(pages: 2)
        let device = Device()
        let region = try device.addRegion(id: 3, size: 8 * pageSize)
        let payload = mapPayload(shmid: 3, offset: pageSize, length: pageSize)
        try withBytes(payload) { try device.handleMap(payload: $0, fd: file.fd) }
        device.commit()
        #expect(region.mappings.map(\.offset) == [pageSize])
        try withBytes(payload) { try device.handleUnmap(payload: $0) }
        #expect(region.mappingCount == 0)
    }

    @Test func messagesThatAreNotWhatTheyMustBeAreRefused() throws {
        let file = try makeMemfd(pages: 1)
        let device = Device()
        try device.addRegion(id: 3, size: 8 * pageSize)
        let good = mapPayload(shmid: 3, offset: 0, length: pageSize)
        for (payload, fd, code) in [
            (Array(good.dropLast()), file.fd, EINVAL), (good + [0], file.fd, EINVAL), ([], file.fd, EINVAL), (good, -1, EINVAL),
            (mapPayload(shmid: 4, offset: 0, length: pageSize), file.fd, ENOENT),
            (mapPayload(shmid: 4, offset: 0, length: pageSize), -1, EINVAL),
            (mapPayload(shmid: 3, offset: 1, length: pageSize), file.fd, EINVAL),
        ] as [([UInt8], Int32, Int32)] {
            let error = #expect(throws: ShmemError.self) {
                try withBytes(payload) { try device.handleMap(payload: $0, fd: fd) }
            }
            #expect(error?.code == code, "\(payload)")
        }
        #expect(device.mappingCount == 0)
    }
}

private func mapPayload(shmid: UInt8, offset: UInt64, length: UInt64) -> [UInt8] {
    encoded(
        SharedMemoryMap.size,
        SharedMemoryMap(shmid: shmid, fileOffset: 0, offset: offset, length: length, flags: 0).encode)
}
