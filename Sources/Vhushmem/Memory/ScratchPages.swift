// SPDX-License-Identifier: BSD-3-Clause

/// Pages of a window that were given private memory because a guest wrote where it may not. Bounded, so that a guest can't make
/// the host allocate without end: those in holes make room for newer ones, those in mappings last as long as their mapping.
struct ScratchPages {
    static let maximum = 64
    /// How many more separate mappings one page in the middle of something else makes.
    static let cost = 2

    private struct Page {
        let offset: UInt64
        let isInMapping: Bool
    }

    /// Oldest first.
    private var pages: [Page] = []

    var isEmpty: Bool { pages.isEmpty }
    var isFull: Bool { pages.count >= ScratchPages.maximum }

    func contains(_ offset: UInt64) -> Bool {
        pages.contains { $0.offset == offset }
    }

    mutating func add(_ offset: UInt64, isInMapping: Bool) {
        pages.append(Page(offset: offset, isInMapping: isInMapping))
    }

    /// Takes out the oldest page that is in a hole; the caller makes it a hole again.
    mutating func takeOldestInHole() -> UInt64? {
        guard let index = pages.firstIndex(where: { !$0.isInMapping }) else { return nil }
        ProcessBudget.give(ScratchPages.cost)
        return pages.remove(at: index).offset
    }

    /// Pages that something else has replaced.
    mutating func forget(in range: ByteRange) {
        guard !pages.isEmpty else { return }
        let before = pages.count
        pages.removeAll { $0.offset >= range.start && $0.offset < range.end }
        ProcessBudget.give((before &- pages.count) &* ScratchPages.cost)
    }

    mutating func forgetAll() {
        ProcessBudget.give(pages.count &* ScratchPages.cost)
        pages.removeAll()
    }
}
