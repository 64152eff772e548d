// SPDX-License-Identifier: BSD-3-Clause

import CLinux

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

    /// Oldest first. There is room for all from the start: pages are added in signal handlers, too.
    private var pages: [Page] = []

    init() {
        pages.reserveCapacity(ScratchPages.maximum)
    }

    var isEmpty: Bool { pages.isEmpty }
    var isFull: Bool { pages.count >= ScratchPages.maximum }

    func contains(_ offset: UInt64) -> Bool {
        pages.contains { $0.offset == offset }
    }

    /// The first one in a range of the region.
    func first(in range: Range<UInt64>) -> UInt64? {
        pages.reduce(into: nil as UInt64?) { first, page in
            if range.contains(page.offset), page.offset < first ?? .max { first = page.offset }
        }
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
    @_optimize(speed)
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

/// Why the memory of a page can't be replaced. Made without allocating anything: signal handlers come here.
enum PageTrouble: Error {
    case budget, tooManyPages
    case failed(Int32)

    func error(at page: UInt64, of region: Region) -> ShmemError {
        switch self {
        case .budget: ShmemError(ENOSPC, "the process has used up its budget of \(ProcessBudget.limit) separate mappings")
        case .tooManyPages:
            ShmemError(ENOSPC, "the guest wrote to \(ScratchPages.maximum) pages of region \(region.id) that can't take it")
        case .failed(let code):
            ShmemError(code, "no memory for the page at \(hex(page)) of region \(region.id): \(Errno.text(code))")
        }
    }
}

extension Region {
    /// A page of private memory with the bytes at `source`, or zeros.
    func privatePage(showing source: UnsafeRawPointer?) throws(PageTrouble) -> PrivatePage {
        do throws(Errno) {
            return try PrivatePage.make(showing: source)
        } catch {
            throw .failed(error.code)
        }
    }

    /// Puts private memory in the place of a page, unless there is some already. With the lock held.
    func putScratch(_ memory: consuming PrivatePage, at page: UInt64, isInMapping: Bool) throws(PageTrouble) {
        if scratch.contains(page) { return }
        if scratch.isFull {
            guard let oldest = scratch.takeOldestInHole(), let hole = ByteRange(start: oldest, length: Memory.pageSize) else {
                throw .tooManyPages
            }
            try? window.clear(hole)
        }
        guard ProcessBudget.take(ScratchPages.cost) else { throw .budget }
        do throws(Errno) {
            try memory.move(to: window.baseAddress + Int(clamping: page))
            scratch.add(page, isInMapping: isInMapping)
        } catch {
            ProcessBudget.give(ScratchPages.cost)
            // A huge page can't be replaced in part.
            throw .failed(error.code == EINVAL ? EOPNOTSUPP : error.code)
        }
    }
}
