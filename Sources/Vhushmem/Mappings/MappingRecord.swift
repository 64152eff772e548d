// SPDX-License-Identifier: BSD-3-Clause

/// One live mapping. It owns every page that [start, start + length) touches.
struct MappingRecord: Equatable, Sendable {
    /// First byte, an offset in the region.
    var start: UInt64
    /// Bytes as asked, more than 0. The rest of the last page belongs to the mapping as well.
    var length: UInt64
    /// First byte of the mapping in its file.
    var fileOffset: UInt64
    /// For the owner: flags, a handle.
    var word: UInt64
    /// For the owner: a number that tells this mapping from every other one at the same place, now or earlier.
    var identity: UInt64

    init(start: UInt64, length: UInt64, fileOffset: UInt64, word: UInt64, identity: UInt64 = 0) {
        self.start = start
        self.length = length
        self.fileOffset = fileOffset
        self.word = word
        self.identity = identity
    }

    // A mapping's end is its last byte and not one past it: a mapping that reaches to 2^64 has a last byte that a UInt64 can
    // hold.

    /// The first byte of the first page that the mapping touches. `pageMask` is the page size less one.
    @inline(__always)
    func firstOwnedByte(pageMask: UInt64) -> UInt64 {
        start & ~pageMask
    }

    /// The last byte of the last page that the mapping touches. Requests are checked earlier: one that wraps around or is empty
    /// is refused. If such a record still comes here, it ends at 2^64, or counts as one byte.
    @inline(__always)
    func lastOwnedByte(pageMask: UInt64) -> UInt64 {
        let (last, wraps) = start.addingReportingOverflow(length == 0 ? 0 : length &- 1)
        return wraps ? .max : last | pageMask
    }
}
