// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct LogMemoryTests {
    @Test func bitsBehindTheEndAreNotSet() throws {
        let memfd = try makeMemfd(pages: 1, first: 0)
        let range = try #require(ByteRange(start: 0, length: 8))
        let file = try SharedFile.map(range, of: memfd.fd, quota: SharedFile.makeQuota(), alarm: Alarm.make())
        let bits = LogBits(file, length: 2)
        let page: UInt64 = 4096
        // Bits 0, 9 and 15. Those after the end are skipped.
        bits.note(0, 1)
        bits.note(9 * page, 1)
        bits.note(15 * page + 5, .max &- 16 * page)
        bits.note(16 * page, 1)
        bits.note(.max, 1)
        bits.note(.max, 2)
        #expect(file.start.load(as: UInt64.self).littleEndian == 0x8201)
        // A run of pages, across the border of bytes.
        bits.note(2 * page - 1, 8 * page)
        #expect(file.start.load(as: UInt64.self).littleEndian == 0x83ff)
        bits.note(3 * page, 0)
        #expect(file.start.load(as: UInt64.self).littleEndian == 0x83ff)
    }
}
