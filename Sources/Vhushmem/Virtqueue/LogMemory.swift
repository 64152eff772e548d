// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The bits of a log of writes. Each stands for 4096 bytes of guest addresses, also if the host's pages are larger. Only this
/// file accesses the log.
///
/// The owner keeps the file mapped. This struct does not: then each `push` would count references.
@safe struct LogBits {
    private static let pageShift: UInt64 = 12

    private let start: UnsafeMutableRawPointer
    /// Bytes.
    private let length: UInt64

    /// `file` has at least `length` bytes.
    init(_ file: SharedFile, length: UInt64) {
        unsafe start = unsafe file.start
        self.length = length
    }

    /// Notes that `count` bytes of guest memory were written. Pages beyond the end of the log are not noted: the front-end
    /// chose its length.
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
        // SAFETY: the byte is inside the file, and a byte is always aligned. The store is atomic because the front-end clears
        // bits at the same time.
        unsafe vhu_or8(start + Int(truncatingIfNeeded: byte), bits)
    }

    /// Notes several pages in a row. One store sets all the bits that are in the same byte.
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
