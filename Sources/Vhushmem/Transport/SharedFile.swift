// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A range of a file that the front-end has given, mapped into this process for as long as the object lives. The front-end may
/// truncate the file at any moment. Then the guard puts other memory there and raises the alarm.
@safe final class SharedFile {
    /// The address of the range's first byte in this process.
    let start: UnsafeMutableRawPointer
    private let mapping: UnsafeMutableRawPointer
    private let mappedLength: Int
    private let guarded: GuardedRange
    /// Gets the addresses back in the end.
    private let quota: SharedQuota
    /// A write would raise SIGSEGV.
    let isReadOnly: Bool
    /// The file is large, and the front-end may have let it go.
    private let mayBeFreedWithIt: Bool

    /// The limit for all that one front-end gives, with the account of what is closed and unmapped. No host has more RAM for
    /// guests.
    static func makeQuota() -> SharedQuota { SharedQuota(limit: 1 << 45, closes: CloseAccount()) }

    private init(
        _ mapping: UnsafeMutableRawPointer, length: Int, lead: Int, isReadOnly: Bool, isOfLargeFile: Bool, quota: SharedQuota,
        alarm: Alarm
    ) {
        mayBeFreedWithIt = isOfLargeFile
        self.quota = quota
        unsafe self.mapping = unsafe mapping
        mappedLength = length
        self.isReadOnly = isReadOnly
        unsafe start = unsafe mapping + lead
        guarded = unsafe GuardedRange.begin(mapping, length: length, alarm: alarm)
    }

    deinit {
        guarded.end()
        // SAFETY: no address in it is in use any more: code that uses one holds the object.
        if mayBeFreedWithIt {
            unsafe Closer.hand(over: UnsafeMutableRawBufferPointer(start: mapping, count: mappedLength), of: quota.closes)
        } else {
            try? unsafe MemoryCalls.unmap(mapping, mappedLength)
        }
        AddressSpace.give(UInt64(clamping: mappedLength), of: quota)
    }

    /// `isGuestMemory`: it need not be a regular file, the kernel reserves no memory for all of it, and a core dump contains
    /// none of it. The file may fill only a part of its last page, as shared memory does. `mayBeReadOnly`: if it cannot be
    /// mapped writable, it is mapped read-only. Throws EINVAL (no regular file), EOVERFLOW (it goes beyond the end of the
    /// file), ENOSPC (the quota is used up), ENOMEM (this process grants no more addresses), and the errors of mmap.
    static func map(
        _ range: ByteRange, of fd: Int32, isGuestMemory: Bool = false, mayBeReadOnly: Bool = false, quota: SharedQuota,
        alarm: Alarm
    ) throws(Errno) -> SharedFile {
        let status = try FileStatus(of: fd)
        guard status.isRegular || isGuestMemory else { throw Errno(EINVAL) }
        // Only files in memory are asked, as in FilePolicy. Files of hugetlbfs are mapped and unmapped in their own pages.
        let mayBeHuge = status.isRegular && status.blockSize > Page.size
        let page = mayBeHuge ? try FileStatus.hugePageSize(of: fd) ?? Page.size : Page.size
        guard page.isPowerOfTwo else { throw Errno(EINVAL) }
        // A range beyond the end would raise SIGBUS in the middle of a ring.
        let (padded, overflow) = status.size.addingReportingOverflow(page &- 1)
        let end = isGuestMemory && !overflow ? padded & ~(page &- 1) : status.size
        if status.isRegular, range.end > end { throw Errno(EOVERFLOW) }
        // A range may begin anywhere in a file; mmap begins at a page.
        let begin = range.start & ~(page &- 1)
        guard let whole = ByteRange(start: begin, length: range.end &- begin)?.roundedUp(to: page),
            let offset = Int(exactly: begin), let length = Int(exactly: whole.length), Int(exactly: whole.end) != nil
        else { throw Errno(EOVERFLOW) }
        // A sparse file costs the front-end nothing, but this process cannot go on without addresses.
        switch AddressSpace.take(whole.length, of: quota) {
        case nil: break
        case .device: throw Errno(ENOSPC)
        case .process: throw Errno(ENOMEM)
        }
        let flags = MAP_SHARED | (isGuestMemory ? MAP_NORESERVE : 0)
        do throws(Errno) {
            let (mapping, isReadOnly) = unsafe try map(length, flags, fd, offset, mayBeReadOnly: mayBeReadOnly)
            if isGuestMemory { try? unsafe MemoryCalls.advise(mapping, length, MADV_DONTDUMP) }
            return unsafe SharedFile(
                mapping, length: length, lead: Int(clamping: range.start &- begin), isReadOnly: isReadOnly,
                isOfLargeFile: status.isRegular && status.size > OwnedDescriptor.quicklyFreed, quota: quota, alarm: alarm)
        } catch {
            AddressSpace.give(whole.length, of: quota)
            throw error
        }
    }

    private static func map(
        _ length: Int, _ flags: Int32, _ fd: Int32, _ offset: Int, mayBeReadOnly: Bool
    ) throws(Errno) -> (UnsafeMutableRawPointer, isReadOnly: Bool) {
        do throws(Errno) {
            return unsafe (
                try MemoryCalls.map(nil, length, protection: PROT_READ | PROT_WRITE, flags: flags, fd: fd, offset: offset),
                false
            )
        } catch {
            // It is open for reading alone, or sealed.
            guard mayBeReadOnly, error.code == EACCES || error.code == EPERM else { throw error }
            return unsafe (try MemoryCalls.map(nil, length, protection: PROT_READ, flags: flags, fd: fd, offset: offset), true)
        }
    }

    /// The meaning of an error of `map`.
    static func reason(_ error: Errno, _ quota: SharedQuota) -> String {
        guard error.code == ENOSPC else { return Errno.text(error.code) }
        return "all that a front-end gives may take \(hex(quota.limit)) bytes of addresses"
    }
}
