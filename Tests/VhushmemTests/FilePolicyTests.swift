// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct FilePolicyTests {
    private func plan(
        _ policy: FilePolicy = [], fd: Int32, fileOffset: UInt64 = 0, length: UInt64, writable: Bool = false
    ) throws(ShmemError) -> FilePlan {
        guard let range = ByteRange(start: 0, length: length) else { throw ShmemError(EINVAL, "no range") }
        let flags = writable ? SharedMemoryMap.readWrite : 0
        let request = SharedMemoryMap(shmid: 0, fileOffset: fileOffset, offset: 0, length: length, flags: flags)
        return try policy.plan(request, range, fd: fd, populate: false)
    }

    @Test func planOwnsWholePages() throws {
        let file = try makeMemfd(pages: 3)
        let plan = try plan(fd: file.fd, fileOffset: pageSize, length: pageSize + 1)
        #expect(plan.pages.length == 2 * pageSize)
        #expect(plan.fileOffset == Int(pageSize))
        #expect(plan.protection == PROT_READ)
        #expect(plan.flags & MAP_SHARED != 0)
    }

    @Test func onlyAWritablePlanIsWritableAndNoneIsExecutable() throws {
        let file = try makeMemfd(pages: 1)
        #expect(try plan(fd: file.fd, length: pageSize, writable: true).protection == PROT_READ | PROT_WRITE)
        #expect(try plan(fd: file.fd, length: pageSize, writable: false).protection == PROT_READ)
    }

    @Test func wholePagesBeyondTheEndAreRefusedAndTheLastPageIsNot() throws {
        let file = try makeMemfd(pages: 2)
        try #require(ftruncate(file.fd, off_t(pageSize + 1)) == 0)
        #expect(refusal { () throws(ShmemError) in try plan(fd: file.fd, length: 2 * pageSize) } == nil)
        #expect(refusal { () throws(ShmemError) in try plan(fd: file.fd, length: 2 * pageSize + 1) }?.code == EOVERFLOW)
        #expect(
            refusal { () throws(ShmemError) in try plan(fd: file.fd, fileOffset: 2 * pageSize, length: 1) }?.code == EOVERFLOW)
        #expect(refusal { () throws(ShmemError) in try plan(.allowBeyondEnd, fd: file.fd, length: 9 * pageSize) } == nil)
    }

    @Test(arguments: [1, 0xfff, UInt64.max])
    func unalignedFileOffsetIsRefused(offset: UInt64) throws {
        let file = try makeMemfd(pages: 2)
        #expect(refusal { () throws(ShmemError) in try plan(fd: file.fd, fileOffset: offset, length: 1) }?.code == EINVAL)
    }

    @Test func fileRangeThatWrapsAroundIsRefused() throws {
        let file = try makeMemfd(pages: 1)
        for offset in [UInt64.max & ~(pageSize - 1), 1 << 63, (1 << 63) - pageSize] {
            let refused = refusal { () throws(ShmemError) in
                try plan(.allowBeyondEnd, fd: file.fd, fileOffset: offset, length: pageSize)
            }
            #expect(refused?.code == EOVERFLOW, "\(hex(offset))")
        }
    }

    @Test func sealedMemfdThatIsAskedIsPrivateAndReadOnly() throws {
        let file = try makeMemfd(pages: 1, sealing: true)
        try #require(addSeals(file.fd, vhu_seal_write | vhu_seal_shrink) == 0)
        let asking = FilePolicy.requireSealShrink
        #expect(try plan(asking, fd: file.fd, length: pageSize).flags & (MAP_SHARED | MAP_PRIVATE) == MAP_PRIVATE)
        let refused = refusal { () throws(ShmemError) in try plan(asking, fd: file.fd, length: pageSize, writable: true) }
        #expect(refused?.code == EPERM)
    }

    @Test(.enabled(if: RegionWindow.memfdDevice != nil, "this kernel looks at seals too late"))
    func sealsOfAMemfdAreTheKernelsToLookAt() throws {
        let file = try makeMemfd(pages: 1, sealing: true)
        try #require(addSeals(file.fd, vhu_seal_write) == 0)
        #expect(try plan(fd: file.fd, length: pageSize).flags & (MAP_SHARED | MAP_PRIVATE) == MAP_SHARED)
        #expect(try plan(fd: file.fd, length: pageSize, writable: true).canMapInPlace)
    }

    @Test func sealAgainstShrinkingCanBeDemanded() throws {
        let file = try makeMemfd(pages: 1, sealing: true)
        let demanding = FilePolicy.requireSealShrink
        #expect(refusal { () throws(ShmemError) in try plan(demanding, fd: file.fd, length: pageSize) }?.code == EPERM)
        try #require(addSeals(file.fd, vhu_seal_shrink) == 0)
        #expect(refusal { () throws(ShmemError) in try plan(demanding, fd: file.fd, length: pageSize) } == nil)
        let zero = TestFile(openFile("/dev/zero", O_RDWR))
        #expect(refusal { () throws(ShmemError) in try plan(demanding, fd: zero.fd, length: pageSize) }?.code == EPERM)
    }

    @Test func devicesAreAcceptedUnlessTheyAreKeptOut() throws {
        let zero = TestFile(openFile("/dev/zero", O_RDWR))
        #expect(refusal { () throws(ShmemError) in try plan(fd: zero.fd, length: 5 * pageSize) } == nil)
        #expect(refusal { () throws(ShmemError) in try plan(.filesOnly, fd: zero.fd, length: pageSize) }?.code == EACCES)
    }

    @Test func whatCanNotBeMappedIsRefused() throws {
        let folder = TestFile(openFile("/", O_RDONLY))
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let pipes = [TestFile(ends[0]), TestFile(ends[1])]
        let (peer, socket) = try Peer.pair()
        close(socket)
        for fd in [folder.fd, pipes[0].fd, peer.fd] {
            #expect(refusal { () throws(ShmemError) in try plan(fd: fd, length: pageSize) }?.code == ENODEV)
        }
        #expect(refusal { () throws(ShmemError) in try plan(fd: -1, length: pageSize) }?.code == EBADF)
    }
}
