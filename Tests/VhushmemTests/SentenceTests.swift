// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

@Suite struct SentenceTests {
    @Test func piecesAndNumbersOfAllKindsAreJoined() {
        let fixed: StaticString = "MAP"
        let sentence: Sentence =
            "\(fixed) of \(UInt8.max), \(UInt16.max), \(Int32.min), \(UInt32.max)" + ", \(Int.min), \(UInt64.max) and \("text")"
        #expect(
            sentence.text
                == "MAP of 255, 65535, -2147483648, 4294967295, -9223372036854775808, 18446744073709551615 and text")
    }

    @Test func sentenceWithoutNumbersIsItself() {
        let sentence: Sentence = "nothing is mapped there"
        #expect(sentence.text == "nothing is mapped there")
    }
}
