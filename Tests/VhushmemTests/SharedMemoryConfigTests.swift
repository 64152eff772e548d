// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct SharedMemoryConfigTests {
    @Test func everyRegionHasItsOwnPlace() {
        var config = SharedMemoryConfig()
        for shmid in UInt8.min...UInt8.max { config[shmid] = UInt64(shmid) + 1 }
        let bytes = encoded(SharedMemoryConfig.size, config.encode)
        #expect(bytes.count == 2056)
        #expect(Array(bytes.prefix(8)) == littleEndian(256 as UInt32) + [0, 0, 0, 0])
        for shmid in 0..<256 {
            #expect(Array(bytes[(8 + shmid * 8)..<(16 + shmid * 8)]) == littleEndian(UInt64(shmid) + 1))
        }
        let read = withBytes(bytes) { SharedMemoryConfig($0) }
        #expect(read?.regionCount == 256)
        #expect(read?[255] == 256)
    }

    @Test(arguments: [0, 1, 7, 8, 2048, 2055, 2057, 4096])
    func payloadOfAnotherLengthIsNone(length: Int) {
        #expect(withBytes([UInt8](repeating: 0, count: length)) { SharedMemoryConfig($0) } == nil)
    }

    @Test func greatestSizeTravels() {
        var config = SharedMemoryConfig()
        config[255] = .max
        let read = withBytes(encoded(SharedMemoryConfig.size, config.encode)) { SharedMemoryConfig($0) }
        #expect(read?[255] == .max)
        #expect(read?.statedRegions == 1)
    }

    @Test(arguments: [0, 1, 256] as [UInt32])
    func statedCountThatDisagreesWithTheSizesIsNoFault(stated: UInt32) throws {
        var config = SharedMemoryConfig()
        config[3] = pageSize
        config.statedRegions = stated
        try config.check()
        #expect(config.regionCount == 1)
    }

    @Test(arguments: [257, UInt32.max])
    func moreThan256RegionsAreAFault(stated: UInt32) {
        var config = SharedMemoryConfig()
        config.statedRegions = stated
        #expect(refusal { () throws(ShmemError) in try config.check() }?.code == EPROTO)
    }

    @Test(arguments: [1, pageSize - 1, pageSize + 1, UInt64.max])
    func sizeThatIsNoMultipleOfThePageIsAFault(size: UInt64) {
        var config = SharedMemoryConfig()
        config[255] = size
        config.statedRegions = 1
        let fault = refusal { () throws(ShmemError) in try config.check() }
        #expect(fault?.code == EPROTO)
        #expect(fault?.message.contains("region 255") == true)
    }
}
