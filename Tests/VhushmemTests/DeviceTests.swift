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
}
