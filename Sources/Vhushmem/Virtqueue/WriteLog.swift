// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Where a front-end that migrates its guest wants to find which pages the device has written: a bit for each 4096 bytes of guest
/// addresses, in a file of its own.
struct WriteLog {
    /// A page of the log, whatever a page is here.
    private static let pageShift: UInt64 = 12

    private let bits: LogMemory

    private init(_ bits: LogMemory) {
        self.bits = bits
    }

    /// Throws EINVAL (no bytes, no file, or a range that wraps around), EOVERFLOW (it is not inside the file), and what mmap does.
    static func map(_ told: LogArea, fd: Int32, quota: SharedQuota, alarm: Alarm) throws(Errno) -> WriteLog {
        guard told.length > 0, let range = ByteRange(start: told.fileOffset, length: told.length) else { throw Errno(EINVAL) }
        return WriteLog(LogMemory(try SharedFile.map(range, of: fd, quota: quota, alarm: alarm), length: told.length))
    }

    /// Bytes of guest memory were written. What the log has no bits for is not noted: it is the front-end's to say how long it is.
    func note(_ guestAddress: UInt64, _ count: UInt64) {
        guard count > 0, let range = ByteRange(start: guestAddress, length: count) else { return }
        var page = range.start >> WriteLog.pageShift
        let last = (range.end &- 1) >> WriteLog.pageShift
        while page <= last, bits.set(page) { page = page &+ 1 }
    }
}
