// SPDX-License-Identifier: BSD-3-Clause

/// A range of bytes that does not wrap around: `start + length` fits into 64 bits.
struct ByteRange: Equatable {
    let start: UInt64
    let length: UInt64

    /// nil: the range wraps around.
    init?(start: UInt64, length: UInt64) {
        guard !start.addingReportingOverflow(length).overflow else { return nil }
        self.start = start
        self.length = length
    }

    var end: UInt64 { start &+ length }

    /// The range with its end rounded up to the end of a page; nil: that is beyond 64 bits. `pageSize` is a power of 2.
    func roundedUp(to pageSize: UInt64) -> ByteRange? {
        let (padded, overflow) = length.addingReportingOverflow(pageSize &- 1)
        guard !overflow else { return nil }
        return ByteRange(start: start, length: padded & ~(pageSize &- 1))
    }

    func overlaps(_ other: ByteRange) -> Bool {
        start < other.end && other.start < end
    }
}

extension UInt64 {
    @inline(__always)
    func isMultiple(ofPage pageSize: UInt64) -> Bool {
        self & (pageSize &- 1) == 0
    }

    var isPowerOfTwo: Bool {
        self != 0 && self & (self &- 1) == 0
    }
}
