// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

@Suite struct VringTests {
    @Test func indexAndBitTravel() {
        for queue in UInt8.min...UInt8.max {
            for hasDescriptor in [true, false] {
                let vring = VringDescriptor(queue: queue, hasDescriptor: hasDescriptor)
                #expect(vring.encoded == UInt64(queue) + (hasDescriptor ? 0 : 0x100))
                #expect(VringDescriptor(vring.encoded) == vring)
            }
        }
    }

    @Test(arguments: 9..<64)
    func bitsWithoutMeaningAreRefused(bit: Int) {
        #expect(VringDescriptor(1 << UInt64(bit)) == nil)
    }
}
