// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

@Suite struct ByteRangeTests {
    @Test func rangeMayEndAtTheGreatestNumberAndNotBeyond() {
        #expect(ByteRange(start: .max, length: 0)?.end == .max)
        #expect(ByteRange(start: 0, length: .max)?.end == .max)
        #expect(ByteRange(start: 1, length: .max) == nil)
        #expect(ByteRange(start: .max, length: 1) == nil)
        #expect(ByteRange(start: .max, length: .max) == nil)
    }

    @Test func roundingReachesTheEndOfThePage() throws {
        let range = { (length: UInt64) in ByteRange(start: 0x1000, length: length)?.roundedUp(to: 0x1000)?.length }
        #expect(range(0) == 0)
        #expect(range(1) == 0x1000)
        #expect(range(0x1000) == 0x1000)
        #expect(range(0x1001) == 0x2000)
    }

    @Test func roundingThatWrapsAroundGivesNone() {
        #expect(ByteRange(start: 0, length: .max)?.roundedUp(to: 0x1000) == nil)
        #expect(ByteRange(start: 0, length: UInt64.max - 0xffe)?.roundedUp(to: 0x1000) == nil)
        #expect(ByteRange(start: 0, length: UInt64.max - 0xfff)?.roundedUp(to: 0x1000)?.end == UInt64.max - 0xfff)
        #expect(ByteRange(start: UInt64.max - 0xfff, length: 1)?.roundedUp(to: 0x1000) == nil)
    }

    @Test func neighboursDoNotOverlap() throws {
        let range = try #require(ByteRange(start: 0x2000, length: 0x1000))
        for (start, length, overlaps) in [
            (0x1000, 0x1000, false), (0x3000, 0x1000, false), (0x1000, 0x1001, true), (0x2fff, 1, true), (0, 0x8000, true),
            (0x2800, 0, true),
        ] as [(UInt64, UInt64, Bool)] {
            #expect(try range.overlaps(#require(ByteRange(start: start, length: length))) == overlaps)
        }
    }

    @Test func powersOfTwo() {
        #expect(!UInt64(0).isPowerOfTwo)
        for shift in 0..<64 as Range<UInt64> {
            #expect((1 << shift as UInt64).isPowerOfTwo)
            if shift > 1 { #expect(!((1 << shift as UInt64) + 1).isPowerOfTwo) }
        }
        #expect(!UInt64.max.isPowerOfTwo)
    }
}
