// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

@Suite struct SharedMemoryMapTests {
    @Test(arguments: [0, 1, 0xfff, 0x1000, UInt64.max - 1, UInt64.max])
    func everyFieldTravelsWhole(value: UInt64) {
        let small = UInt8(truncatingIfNeeded: value)
        for map in [
            SharedMemoryMap(shmid: small, fileOffset: 0, offset: 0, length: 0, flags: 0),
            SharedMemoryMap(shmid: 0, fileOffset: value, offset: 0, length: 0, flags: 0),
            SharedMemoryMap(shmid: 0, fileOffset: 0, offset: value, length: 0, flags: 0),
            SharedMemoryMap(shmid: 0, fileOffset: 0, offset: 0, length: value, flags: 0),
            SharedMemoryMap(shmid: 0, fileOffset: 0, offset: 0, length: 0, flags: value),
        ] {
            let bytes = encoded(SharedMemoryMap.size, map.encode)
            let expected =
                [map.shmid, 0, 0, 0, 0, 0, 0, 0] + littleEndian(map.fileOffset) + littleEndian(map.offset)
                + littleEndian(map.length) + littleEndian(map.flags)
            #expect(bytes == expected)
            #expect(withBytes(bytes) { SharedMemoryMap($0) } == map)
        }
    }

    @Test(arguments: Array(0..<40) + [41, 48, 2056])
    func payloadOfAnotherLengthIsNone(length: Int) {
        #expect(withBytes([UInt8](repeating: 0, count: length)) { SharedMemoryMap($0) } == nil)
    }

    @Test func paddingIsIgnored() {
        var bytes = [UInt8](repeating: 0, count: 40)
        bytes[0] = 7
        for index in 1..<8 { bytes[index] = 0xff }
        let map = SharedMemoryMap(shmid: 7, fileOffset: 0, offset: 0, length: 0, flags: 0)
        #expect(withBytes(bytes) { SharedMemoryMap($0) } == map)
    }
}
