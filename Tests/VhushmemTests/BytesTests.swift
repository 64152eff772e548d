// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

@Suite struct BytesTests {
    @Test func integersAreReadWhereverTheyFit() {
        withBytes([1, 2, 3, 4, 5, 6, 7, 8, 9]) { bytes in
            #expect(bytes.integer(at: 0, as: UInt64.self) == 0x0807_0605_0403_0201)
            #expect(bytes.integer(at: 1, as: UInt64.self) == 0x0908_0706_0504_0302)
            #expect(bytes.integer(at: 7, as: UInt16.self) == 0x0908)
            #expect(bytes.integer(at: 8, as: UInt8.self) == 9)
        }
    }

    @Test(arguments: [2, 9, 10, Int.max - 7, Int.max, -1, Int.min])
    func integerThatIsNotWhollyInsideIsNotRead(offset: Int) {
        #expect(withBytes([UInt8](repeating: 0, count: 9)) { $0.integer(at: offset, as: UInt64.self) } == nil)
    }

    @Test(arguments: [2, 9, Int.max - 7, Int.max, -1, Int.min])
    func integerThatIsNotWhollyInsideIsNotStored(offset: Int) {
        let bytes = encoded(9) { #expect(!$0.store(integer: 0 as UInt64, at: offset)) }
        #expect(bytes == [UInt8](repeating: 0xaa, count: 9))
    }

    @Test func storedIntegerTouchesItsOwnBytesOnly() {
        let bytes = encoded(7) { #expect($0.store(integer: 0x0403_0201 as UInt32, at: 3)) }
        #expect(bytes == [0xaa, 0xaa, 0xaa, 1, 2, 3, 4])
    }

    @Test func emptyBufferHasNoIntegers() {
        #expect(UnsafeRawBufferPointer(start: nil, count: 0).integer(at: 0, as: UInt8.self) == nil)
    }
}
