// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct LogMemoryTests {
    @Test func bitsBehindTheEndAreNotSet() throws {
        let memfd = try makeMemfd(pages: 1, first: 0)
        let range = try #require(ByteRange(start: 0, length: 8))
        let file = try SharedFile.map(range, of: memfd.fd, quota: SharedFile.makeQuota(), alarm: Alarm.make())
        let bits = LogMemory(file, length: 2)
        #expect(bits.set(0) && bits.set(9) && bits.set(15))
        #expect(!bits.set(16) && !bits.set(.max))
        #expect(file.start.load(as: UInt64.self).littleEndian == 0x8201)
    }
}
