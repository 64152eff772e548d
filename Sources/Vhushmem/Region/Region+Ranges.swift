// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Which pages a range or a record stands for, and what a request's range must be.
extension Region {
    func ownedPages(_ record: MappingRecord) -> ByteRange? {
        ByteRange(start: record.start, length: record.length)?.roundedUp(to: Page.size)
    }

    @_optimize(speed)
    func wholeMapping(at range: ByteRange, _ subject: ShmemError.Subject, _ held: Held) throws(ShmemError) -> MappingRecord {
        if let record = table[held].find(at: range.start), record.length == range.length || options.unmapsByOffset {
            // One that is on its way out is nobody's to undo any more.
            if !record.facts.isLeaving { return record }
            throw ShmemError(ENOENT, subject, .beingUndone)
        }
        if let record = table[held].first(endingAfter: range.start), record.start < range.end {
            throw ShmemError(EINVAL, subject, .notWhole(record))
        }
        throw ShmemError(ENOENT, subject, .nothingMapped)
    }

    /// What both requests demand of their range.
    @inline(__always)
    func checkedRange(
        _ offset: UInt64, _ length: UInt64, _ subject: ShmemError.Subject
    ) throws(ShmemError) -> ByteRange {
        guard length > 0, offset.isMultiple(ofPage: Page.size), let range = ByteRange(start: offset, length: length),
            range.end <= size
        else { throw fault(of: offset, length, subject) }
        return range
    }

    /// The page at an offset, for an unmap that looks at the offset alone.
    @inline(never)
    func checkedOffset(_ offset: UInt64, _ subject: ShmemError.Subject) throws(ShmemError) -> ByteRange {
        try checkedRange(offset, Page.size, subject)
    }

    /// Why a request's range can't be one.
    @inline(never)
    private func fault(of offset: UInt64, _ length: UInt64, _ subject: ShmemError.Subject) -> ShmemError {
        if length == 0 { return ShmemError(EINVAL, subject, .zeroLength) }
        guard offset.isMultiple(ofPage: Page.size) else {
            return ShmemError(EINVAL, subject, .unalignedOffset(pageSize: Page.size))
        }
        guard ByteRange(start: offset, length: length) != nil else { return ShmemError(EINVAL, subject, .wrapsAround) }
        return ShmemError(EINVAL, subject, .beyondEnd(size: size))
    }
}
