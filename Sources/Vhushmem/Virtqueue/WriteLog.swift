// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The file in which a front-end that migrates its guest finds the pages that the device has written.
struct WriteLog {
    /// Holds the memory.
    private let file: SharedFile
    /// Valid as long as this is held.
    let bits: LogBits

    private init(_ file: SharedFile, length: UInt64) {
        self.file = file
        bits = LogBits(file, length: length)
    }

    /// Throws EINVAL (no bytes, no file, or a range that wraps around), EOVERFLOW (it is not inside the file), and the errors
    /// of mmap.
    static func map(_ told: LogDescription, fd: Int32, quota: SharedQuota, alarm: Alarm) throws(Errno) -> WriteLog {
        guard told.length > 0, let range = ByteRange(start: told.fileOffset, length: told.length) else { throw Errno(EINVAL) }
        return WriteLog(try SharedFile.map(range, of: fd, quota: quota, alarm: alarm), length: told.length)
    }
}
