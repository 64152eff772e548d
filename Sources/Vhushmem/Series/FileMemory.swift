// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Memory of a file outside of any window, for memory_region_init_ram_from_fd.
@safe final class FileMemory {
    let baseAddress: UnsafeMutableRawPointer
    let isReadOnly: Bool
    let file: OwnedDescriptor
    private let length: Int

    private init(
        baseAddress: UnsafeMutableRawPointer, length: Int, isReadOnly: Bool, file: consuming OwnedDescriptor
    ) {
        unsafe self.baseAddress = unsafe baseAddress
        self.length = length
        self.isReadOnly = isReadOnly
        self.file = file
    }

    /// Checks that a part of a file can be mapped as memory of its own.
    static func check(fd: Int32, offset: UInt64, size: UInt64, isWritable: Bool) throws(ShmemError) {
        _ = try plan(fd: fd, offset: offset, size: size, isWritable: isWritable)
        // The kernel makes this check only when it maps.
        let isOpenForIt =
            OwnedDescriptor.isReadableAndWritable(fd) || !isWritable && OwnedDescriptor.isReadOnly(fd)
        guard isOpenForIt else { throw ShmemError(EACCES, .memory(size: size), .system("mmap", EACCES)) }
    }

    private static func plan(fd: Int32, offset: UInt64, size: UInt64, isWritable: Bool) throws(ShmemError) -> FilePlan {
        let subject = ShmemError.Subject.memory(size: size)
        guard size > 0 else { throw ShmemError(EINVAL, subject, .zeroLength) }
        guard let range = ByteRange(start: 0, length: size) else { throw ShmemError(EINVAL, subject, .wrapsAround) }
        // The kernel makes this check only when it maps.
        guard !isWritable || seals(of: fd) & (vhu_seal_write | vhu_seal_future_write) == 0 else {
            throw ShmemError(EPERM, subject, .sealed)
        }
        let flags = isWritable ? SharedMemoryMap.readWrite : 0
        let request = SharedMemoryMap(shmid: 0, fileOffset: offset, offset: 0, length: size, flags: flags)
        do throws(ShmemError) {
            return try FilePolicy().plan(request, range, fd: fd, populate: false)
        } catch {
            throw ShmemError(error.code, subject, error.reason)
        }
    }

    private static func seals(of fd: Int32) -> Int32 {
        if case .some(.some(let seals)) = try? FileStatus.seals(of: fd) { return seals }
        return 0
    }

    /// Owns the descriptor if it succeeds.
    static func map(
        fd: Int32, offset: UInt64, size: UInt64, isShared: Bool, isReadOnly: Bool
    ) throws(ShmemError) -> FileMemory {
        let subject = ShmemError.Subject.memory(size: size)
        MemoryCalls.lookAtPersonality()
        let plan = try plan(fd: fd, offset: offset, size: size, isWritable: isShared && !isReadOnly)
        guard let length = Int(exactly: plan.pages.length) else { throw ShmemError(ENOMEM, subject, .wrapsAround) }
        // As in a window (FilePolicy): nothing can write to it, and older kernels do not share it.
        let isSealed = isShared && seals(of: fd) & vhu_seal_write != 0
        do throws(Errno) {
            let address = try unsafe MemoryCalls.map(
                nil, length, protection: isReadOnly ? PROT_READ : PROT_READ | PROT_WRITE,
                flags: isShared && !isSealed ? plan.flags : MAP_PRIVATE, fd: fd, offset: plan.fileOffset)
            // The kernel leaves it out of core dumps if it can. If it cannot, the memory works without that.
            try? unsafe MemoryCalls.advise(address, length, MADV_DONTDUMP)
            return unsafe FileMemory(
                baseAddress: address, length: length, isReadOnly: isReadOnly, file: OwnedDescriptor(owning: fd))
        } catch {
            throw ShmemError(error.code, subject, .system("mmap", error.code))
        }
    }

    deinit {
        try? unsafe MemoryCalls.unmap(baseAddress, length)
    }
}
