// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct WindowTests {
    @Test func alignmentIsTheLargestPowerOfTwoThatTheSizeHasRoomFor() {
        #expect(Window.alignment(for: pageSize) == pageSize)
        #expect(Window.alignment(for: 3 * pageSize) == 2 * pageSize)
        #expect(Window.alignment(for: 1 << 21) == 1 << 21)
        #expect(Window.alignment(for: (1 << 22) - pageSize) == 1 << 21)
        #expect(Window.alignment(for: 1 << 30) == 1 << 30)
        #expect(Window.alignment(for: 1 << 40) == 1 << 30)
    }

    @Test(arguments: [1, 3, 512, 513, 4096, 1 << 18, 1 << 22] as [UInt64])
    func windowIsAlignedAndReserved(pages: UInt64) throws {
        let window = try Window.reserve(size: pages * pageSize, holeProtection: PROT_NONE)
        #expect(UInt64(UInt(bitPattern: window.baseAddress)) % Window.alignment(for: window.size) == 0)
        #expect(window.size == pages * pageSize)
        #expect(isReserved(window))
    }

    @Test(arguments: [UInt64.max & ~0xfff, 1 << 63, 1 << 62])
    func windowThatNoAddressSpaceHoldsIsRefused(size: UInt64) {
        #expect(errno { () throws(Errno) in try Window.reserve(size: size, holeProtection: PROT_NONE) } == ENOMEM)
    }

    @Test func partsAreFilledAndClearedWithoutAGap() throws {
        let window = try Window.reserve(size: 16 * pageSize, holeProtection: PROT_NONE)
        let part = try #require(ByteRange(start: 4 * pageSize, length: 2 * pageSize))
        try window.fill(part, protection: PROT_READ | PROT_WRITE)
        (window.baseAddress + Int(part.start)).storeBytes(of: 7, as: UInt8.self)
        #expect(isReserved(window))
        try window.clear(part)
        #expect(isReserved(window))
        try window.fill(part, protection: PROT_READ)
        #expect((window.baseAddress + Int(part.start)).load(as: UInt8.self) == 0)
    }

    @Test func fileThatRefusesLeavesTheReservation() throws {
        let device = Device()
        let region = try device.addRegion(id: 0, size: 16 * pageSize)
        let file = TestFile(openFile("/proc/self/exe", O_RDONLY))
        // Not open for writing: mmap itself refuses.
        let refused = refusal { () throws(ShmemError) in try region.map(fd: file.fd, at: 0, length: pageSize, writable: true) }
        #expect(refused?.code == EACCES)
        #expect(isReserved(region.window))
    }
}
