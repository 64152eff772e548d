// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct WindowTests {
    @Test func alignmentIsTheLargestPowerOfTwoThatTheSizeHasRoomFor() {
        #expect(RegionWindow.alignment(for: pageSize) == pageSize)
        #expect(RegionWindow.alignment(for: 3 * pageSize) == 2 * pageSize)
        #expect(RegionWindow.alignment(for: 1 << 21) == 1 << 21)
        #expect(RegionWindow.alignment(for: (1 << 22) - pageSize) == 1 << 21)
        #expect(RegionWindow.alignment(for: 1 << 30) == 1 << 30)
        #expect(RegionWindow.alignment(for: 1 << 40) == 1 << 30)
    }

    @Test(arguments: [1, 3, 512, 513, 4096, 1 << 18, 1 << 22] as [UInt64])
    func windowIsAlignedAndReserved(pages: UInt64) throws {
        let window = try RegionWindow.reserve(size: pages * pageSize, holeProtection: PROT_NONE)
        #expect(UInt64(UInt(bitPattern: window.baseAddress)) % RegionWindow.alignment(for: window.size) == 0)
        #expect(window.size == pages * pageSize)
        #expect(isReserved(window))
    }

    @Test(arguments: [UInt64.max & ~0xfff, 1 << 63, 1 << 62])
    func windowThatNoAddressSpaceHoldsIsRefused(size: UInt64) {
        #expect(errno { () throws(Errno) in try RegionWindow.reserve(size: size, holeProtection: PROT_NONE) } == ENOMEM)
    }

    @Test func partsAreFilledAndClearedWithoutAGap() throws {
        let window = try RegionWindow.reserve(size: 16 * pageSize, holeProtection: PROT_NONE)
        let part = try #require(ByteRange(start: 4 * pageSize, length: 2 * pageSize))
        // The lock guards what is in a window.
        let lock = Lock<DeviceState>()
        try lock.withLock { held throws(Errno) in try window.fill(part, protection: PROT_READ | PROT_WRITE, held) }
        (window.baseAddress + Int(part.start)).storeBytes(of: 7, as: UInt8.self)
        #expect(isReserved(window))
        _ = try lock.withLock { held throws(Errno) in try window.clear(part, held) }
        #expect(isReserved(window))
        try lock.withLock { held throws(Errno) in try window.fill(part, protection: PROT_READ, held) }
        #expect((window.baseAddress + Int(part.start)).load(as: UInt8.self) == 0)
    }

    @Test func fileThatRefusesLeavesTheReservation() throws {
        let device = ShmemDevice()
        let region = try device.addRegion(shmid: 0, size: 16 * pageSize)
        let file = TestFile(openFile("/proc/self/exe", O_RDONLY))
        // Not open for writing: mmap itself refuses.
        let refused = refusal { () throws(ShmemError) in try region.map(fd: file.fd, at: 0, length: pageSize, writable: true) }
        #expect(refused?.code == EACCES)
        #expect(isReserved(region.window))
    }

    #if VHUSHMEM_FAULT_INJECTION
        /// A kernel that is out of memory may have unmapped the old mapping before it reports that.
        @Test func kernelThatUnmapsAndThenFailsLeavesNoGap() async {
            await #expect(processExitsWith: .success) {
                let device = ShmemDevice()
                let region = try device.addRegion(shmid: 0, size: 16 * pageSize)
                let window = region.window
                let file = try makeMemfd(pages: 2)
                let part = try #require(ByteRange(start: 4 * pageSize, length: 2 * pageSize))
                // Strikes once, at a call that would have replaced that part. `what` returns its errno.
                func losing(_ lost: SystemCall, _ what: () -> Int32?) -> Int32? {
                    var hasStruck = false
                    systemCallFault = { call in
                        guard call == lost, !hasStruck else { return 0 }
                        hasStruck = true
                        munmap(window.baseAddress + Int(part.start), Int(part.length))
                        return ENOMEM
                    }
                    let code = what()
                    systemCallFault = nil
                    #expect(hasStruck && isReserved(window))
                    return code
                }
                func map() -> Int32? {
                    refusal { () throws(ShmemError) in try region.map(fd: file.fd, at: part.start, length: part.length) }?.code
                }
                func unmap() -> Int32? {
                    refusal { () throws(ShmemError) in try region.unmap(at: part.start, length: part.length) }?.code
                }
                if RegionWindow.memfdDevice != nil {
                    // If the kernel refused for want of separate mappings, the library counts them and tries again.
                    #expect(losing(.mmap, map) == nil && unmap() == nil)
                }
                let plan = FilePlan(
                    protection: PROT_READ, flags: MAP_SHARED, fileOffset: 0, pages: part, pageSize: pageSize,
                    canMapInPlace: true, canMapAtOnce: true,
                    facts: MappingIdentity(isLocal: true, hasHugePages: false, pagesInFile: nil))
                var wasLost = false
                let moved = losing(.mremap) {
                    errno { () throws(Errno) in
                        try region.device.lock.withLock { held throws(Errno) in
                            let prepared = try PreparedMapping.make(fd: file.fd, plan)
                            try window.place(prepared, at: part.start, wasLost: &wasLost, held)
                        }
                    }
                }
                #expect(wasLost)
                #expect(moved == ENOMEM)
                let filled = losing(.mmap) {
                    errno { () throws(Errno) in
                        try region.device.lock.withLock { held throws(Errno) in
                            try window.fill(part, protection: PROT_READ | PROT_WRITE, held)
                        }
                    }
                }
                #expect(filled == ENOMEM)
                #expect(map() == nil)
                _ = losing(.mmap, unmap)
                #expect(region.mappingCount == 0 || unmap() == nil)
                #expect(map() == nil && isReserved(window))
            }
        }
    #endif
}
