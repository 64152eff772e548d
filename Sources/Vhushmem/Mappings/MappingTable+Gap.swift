// SPDX-License-Identifier: BSD-3-Clause

/// Finds free ranges by a walk along the leaves, about a nanosecond a record. A caller that allocates one range after another
/// gives the end of the last one as the hint, and so rarely walks far. (If each inner node kept its largest gap, this would be
/// a search. But each insert and remove would cost more: those are on the path of every request, and this is not.)
extension MappingTable {
    /// The start of a free range of `length` bytes inside 0..<size, a multiple of `alignment`: the first one at or after
    /// `hint`, else the first of all. `length` and `alignment` are multiples of the page size; an alignment of 0 counts as one
    /// page.
    func firstGap(of length: UInt64, alignment: UInt64, in size: UInt64, from hint: UInt64) -> UInt64? {
        guard length > 0, length <= size else { return nil }
        let request = GapRequest(
            length: length, alignment: alignment == 0 ? pageMask &+ 1 : alignment, lastStart: size &- length)
        if let start = firstGap(for: request, from: hint) { return start }
        // The ranges that start at or after the hint are taken.
        guard hint > 0 else { return nil }
        return firstGap(for: request.startingNoLater(than: hint &- 1), from: 0)
    }

    private struct GapRequest {
        let length: UInt64
        let alignment: UInt64
        /// The greatest acceptable start.
        let lastStart: UInt64

        func startingNoLater(than limit: UInt64) -> GapRequest {
            GapRequest(length: length, alignment: alignment, lastStart: min(lastStart, limit))
        }

        /// The first acceptable start at or after `offset`.
        @inline(__always)
        func firstStart(from offset: UInt64) -> UInt64? {
            let excess = alignment & (alignment &- 1) == 0 ? offset & (alignment &- 1) : offset % alignment
            if excess == 0 { return offset <= lastStart ? offset : nil }
            let (start, wraps) = offset.addingReportingOverflow(alignment &- excess)
            return wraps || start > lastStart ? nil : start
        }
    }

    private func firstGap(for request: GapRequest, from offset: UInt64) -> UInt64? {
        guard var start = request.firstStart(from: offset) else { return nil }
        guard let leaf = leaf(for: start) else { return start }
        // From the record at or before `start`, if there is one, to the first that begins after the range has room.
        var index = leaf.index(of: start, shape: .leaf)
        var current: TableNode? = leaf
        while let node = current {
            while index < node.count {
                let record = node.record(index)
                let last = record.lastOwnedByte(pageMask: pageMask)
                if last >= start {
                    let first = record.firstOwnedByte(pageMask: pageMask)
                    // start + length <= size, so this cannot wrap. Written as a difference, it needs no proof.
                    if first > start, first &- start >= request.length { return start }
                    let (end, reachesTheTop) = last.addingReportingOverflow(1)
                    guard !reachesTheTop, let next = request.firstStart(from: end) else { return nil }
                    start = next
                }
                index &+= 1
            }
            current = node.next
            index = 0
        }
        return start
    }
}
