// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A range of a file that the front-end has given, mapped into this process for as long as the object lives. The front-end may truncate
/// the file at any moment; then the guard puts other memory there and raises the alarm.
final class SharedFile {
    /// Where this process has the first byte of the range.
    let start: UnsafeMutableRawPointer
    private let mapping: UnsafeMutableRawPointer
    private let mappedLength: Int
    private let guarded: GuardedRange
    /// A write would raise SIGSEGV.
    let isReadOnly: Bool

    private init(_ mapping: UnsafeMutableRawPointer, length: Int, lead: Int, isReadOnly: Bool, alarm: Alarm) {
        self.mapping = mapping
        mappedLength = length
        self.isReadOnly = isReadOnly
        start = mapping + lead
        guarded = GuardedRange.begin(mapping, length: length, alarm: alarm)
    }

    deinit {
        guarded.end()
        // SAFETY: nobody has an address in it any more; who may have one holds the object.
        try? MemoryCalls.unmap(mapping, mappedLength)
    }

    /// `isGuestMemory`: it need not be a regular file, memory is not set aside for all of it, and none of it is in a core dump. Its last page
    /// may be one that the file fills in part: shared memory has such. `mayBeReadOnly`: what can't be mapped to be written is mapped to be
    /// read. Throws EINVAL (no regular file), EOVERFLOW (it goes beyond the end of the file), and what mmap does.
    static func map(
        _ range: ByteRange, of fd: Int32, isGuestMemory: Bool = false, mayBeReadOnly: Bool = false, alarm: Alarm
    ) throws(Errno) -> SharedFile {
        let status = try FileStatus(of: fd)
        guard status.isRegular || isGuestMemory else { throw Errno(EINVAL) }
        // Only what is in memory is asked, as FilePolicy has it. Files of hugetlbfs are mapped and unmapped in their own pages.
        let mayBeHuge = status.isRegular && status.blockSize > Page.size
        let page = mayBeHuge ? try FileStatus.hugePageSize(of: fd) ?? Page.size : Page.size
        guard page.isPowerOfTwo else { throw Errno(EINVAL) }
        // What lies beyond the end would be a SIGBUS in the middle of a ring.
        let (padded, overflow) = status.size.addingReportingOverflow(page &- 1)
        let end = isGuestMemory && !overflow ? padded & ~(page &- 1) : status.size
        if status.isRegular, range.end > end { throw Errno(EOVERFLOW) }
        // A range may begin anywhere in a file; mmap begins at a page.
        let begin = range.start & ~(page &- 1)
        guard let whole = ByteRange(start: begin, length: range.end &- begin)?.roundedUp(to: page),
            let offset = Int(exactly: begin), let length = Int(exactly: whole.length), Int(exactly: whole.end) != nil
        else { throw Errno(EOVERFLOW) }
        let flags = MAP_SHARED | (isGuestMemory ? MAP_NORESERVE : 0)
        let mapping: UnsafeMutableRawPointer
        var isReadOnly = false
        do throws(Errno) {
            mapping = try MemoryCalls.map(
                nil, length, protection: PROT_READ | PROT_WRITE, flags: flags, fd: fd, offset: offset)
        } catch {
            // It is open for reading alone, or sealed.
            guard mayBeReadOnly, error.code == EACCES || error.code == EPERM else { throw error }
            mapping = try MemoryCalls.map(nil, length, protection: PROT_READ, flags: flags, fd: fd, offset: offset)
            isReadOnly = true
        }
        if isGuestMemory { try? MemoryCalls.advise(mapping, length, MADV_DONTDUMP) }
        return SharedFile(
            mapping, length: length, lead: Int(clamping: range.start &- begin), isReadOnly: isReadOnly, alarm: alarm)
    }
}
