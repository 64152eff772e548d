// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

@Suite struct QuotaTests {
    @Test func zeroIsNoLimit() {
        var quota = Quota()
        for _ in 0..<1000 { quota.add(1 << 40) }
        #expect(quota.shortage(for: .max) == nil)
    }

    @Test func lastMappingFitsAndTheNextDoesNot() {
        var quota = Quota(maximumMappings: 2)
        quota.add(1)
        #expect(quota.shortage(for: 1) == nil)
        quota.add(1)
        #expect(quota.shortage(for: 1) == .mappings(limit: 2))
        quota.remove(1)
        #expect(quota.shortage(for: 1) == nil)
    }

    @Test func lastByteFitsAndTheNextDoesNot() {
        var quota = Quota(maximumBytes: 0x3000)
        quota.add(0x1000)
        #expect(quota.shortage(for: 0x2000) == nil)
        #expect(quota.shortage(for: 0x2001) == .bytes(used: 0x1000, limit: 0x3000))
        #expect(quota.shortage(for: .max) == .bytes(used: 0x1000, limit: 0x3000))
    }

    @Test func whatWasAddedIsRemoved() {
        var quota = Quota()
        quota.add(0x1000)
        quota.add(0x3000)
        quota.remove(0x1000)
        #expect(quota.mappings == 1)
        #expect(quota.bytes == 0x3000)
    }
}
