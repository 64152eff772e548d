// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

@Suite struct MessageHeaderTests {
    @Test(arguments: [0, 1, 0xffff_fffe, UInt32.max])
    func everyFieldTravelsWhole(value: UInt32) {
        for header in [
            MessageHeader(request: value, flags: 1, size: 0), MessageHeader(request: 9, flags: value, size: 8),
            MessageHeader(request: 9, flags: 5, size: value),
        ] {
            let bytes = encoded(MessageHeader.size, header.encode)
            #expect(bytes == littleEndian(header.request) + littleEndian(header.flags) + littleEndian(header.size))
            #expect(withBytes(bytes) { MessageHeader($0) } == header)
        }
    }

    @Test(arguments: 0..<12)
    func shorterThanTwelveBytesIsNoHeader(length: Int) {
        #expect(withBytes([UInt8](repeating: 1, count: length)) { MessageHeader($0) } == nil)
    }

    @Test(arguments: [0, 1, 2, 3] as [UInt32])
    func onlyVersionOneIsVersionOne(version: UInt32) {
        #expect(MessageHeader(request: 1, flags: version | 0xffff_fff0, size: 0).hasVersion1 == (version == 1))
    }

    @Test func everyFlagBitHasOneMeaning() {
        for bit in 0..<32 as Range<UInt32> {
            let header = MessageHeader(request: 1, flags: 1 << bit, size: 0)
            #expect(header.isReply == (bit == 2))
            #expect(header.needsReply == (bit == 3))
            #expect(header.reservedFlags == (bit < 4 ? 0 : 1 << bit))
        }
        #expect(MessageHeader.replyFlags == 5)
    }
}
