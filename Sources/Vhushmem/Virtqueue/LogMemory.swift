// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The bits of a log of writes. Every access of the log is in this file.
struct LogMemory {
    /// Holds the memory.
    private let file: SharedFile
    /// Bytes.
    private let length: UInt64

    /// `file` has so many bytes.
    init(_ file: SharedFile, length: UInt64) {
        self.file = file
        self.length = length
    }

    /// False: there is no such bit.
    func set(_ bit: UInt64) -> Bool {
        guard bit >> 3 < length else { return false }
        // SAFETY: the byte is inside of the file; a byte is always aligned. The front-end takes bits away while others are set.
        unsafe vhu_or8(file.start + Int(clamping: bit >> 3), 1 << UInt8(bit & 7))
        return true
    }
}
