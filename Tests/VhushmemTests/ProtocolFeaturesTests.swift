// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

@Suite struct ProtocolFeaturesTests {
    @Test func shmemIsBitTwentyTwoAndTwoOldOnes() {
        for bit in 0...64 as ClosedRange<UInt32> {
            #expect(ProtocolFeatures.isShmemBit(bit) == (20...22).contains(bit))
        }
        #expect(!ProtocolFeatures.isShmemBit(.max))
        #expect(ProtocolFeatures.shmem(bit: 22).rawValue == 0x40_0000)
    }

    @Test func whatIsKnownLeavesOutEveryBitThatMayMeanShmem() {
        for bit in 20...22 as ClosedRange<UInt32> {
            #expect(ProtocolFeatures.known.isDisjoint(with: .shmem(bit: bit)))
        }
    }

    @Test func bitsZeroToTwentyThreeHaveNames() {
        for bit in 0...23 as ClosedRange<UInt32> { #expect(ProtocolFeatures.name(ofBit: bit) != nil) }
        for bit in [24, 63, 64, .max] as [UInt32] { #expect(ProtocolFeatures.name(ofBit: bit) == nil) }
        #expect(ProtocolFeatures.name(ofBit: 22)?.description == "SHMEM")
        #expect(ProtocolFeatures.name(ofBit: 10)?.description == "BACKEND_SEND_FD")
    }
}
