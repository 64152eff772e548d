// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The bits of a log of writes, one for each 4096 bytes of guest addresses, whatever a page is here. Every access of the log is in this file.
///
/// Good as long as somebody holds the file. It does not do so itself: that would count references in each `push`.
@safe struct LogBits {
    private static let pageShift: UInt64 = 12

    private let start: UnsafeMutableRawPointer
    /// Bytes.
    private let length: UInt64

    /// `file` has so many bytes.
    init(_ file: SharedFile, length: UInt64) {
        unsafe start = unsafe file.start
        self.length = length
    }

    /// Bytes of guest memory were written. What the log has no bits for is not noted: it is the front-end's to say how long it is.
    @inline(__always)
    func note(_ guestAddress: UInt64, _ count: UInt64) {
        let (last, wraps) = guestAddress.addingReportingOverflow(count &- 1)
        guard count > 0, !wraps else { return }
        let page = guestAddress >> LogBits.pageShift
        guard last >> LogBits.pageShift == page else { return noteRun(page, last >> LogBits.pageShift) }
        if page >> 3 < length { set(page >> 3, 1 &<< UInt8(truncatingIfNeeded: page & 7)) }
    }

    @inline(__always)
    private func set(_ byte: UInt64, _ bits: UInt8) {
        // SAFETY: the byte is inside of the file; a byte is always aligned. The front-end takes bits away while others are set.
        unsafe vhu_or8(start + Int(truncatingIfNeeded: byte), bits)
    }

    /// Pages in a row: those whose bits are in one byte at once.
    @inline(never)
    private func noteRun(_ first: UInt64, _ last: UInt64) {
        var page = first
        while page <= last, page >> 3 < length {
            let end = min(last, page | 7)
            let bits = (UInt8.max &<< UInt8(truncatingIfNeeded: page & 7)) & (UInt8.max &>> UInt8(truncatingIfNeeded: ~end & 7))
            set(page >> 3, bits)
            page = end &+ 1
        }
    }
}
