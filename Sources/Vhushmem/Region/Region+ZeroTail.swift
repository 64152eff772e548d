// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Zeros for the rest of a mapping's life, from the first page on that its file lacks. This is for pages of a file that cannot
/// be mapped a second time, or for which the kernel has no room.
extension Region {
    /// Replaces all pages of a mapping by zeros, from the lost one on, for the rest of the mapping's life.
    func replaceRest(of record: MappingRecord, from page: UInt64, _ held: Held) throws(PageTrouble) {
        guard let pages = ownedPages(record) else { return }
        let word = MappingWord(bits: record.word)
        var page = page
        if !word.hasZeroTail, !ProcessBudget.takes(1) {
            // The whole mapping takes no more separate mappings of the kernel than it has. A back-end could use the budget up,
            // and then shorten a file: the process must live on.
            ProcessBudget.note(1)
            page = pages.start
        }
        // This notes the zeros before they exist: a thread that reads bytes for the program learns that they are not the
        // file's.
        noteZeros(from: record.facts.hasHugePages ? pages.start : page, in: record, held)
        coverState.count(1, held)
        defer { coverState.count(-1, held) }
        markBroken(record, held) { $0.withZeroTail }
        // A guest may have written to older zeros.
        let earlier = word.hasZeroTail ? pages.start &+ (record.facts.pagesInFile ?? 0) &* Page.size : pages.end
        let end = record.facts.hasHugePages ? pages.end : max(earlier, page &+ Page.size)
        let protection = word.isWritable ? PROT_READ | PROT_WRITE : PROT_READ
        var first = page
        do throws(Errno) {
            var from = page
            while from < end {
                let left = firstToLeave(in: from..<end, held) ?? end
                if let piece = ByteRange(start: from, length: left &- from), piece.length > 0 {
                    try window.fill(piece, protection: protection, held)
                }
                from = left &+ Page.size
            }
        } catch {
            guard Region.splitsAHugePage(error), let start = fillHugePages(pages, from: page, protection: protection, held)
            else {
                throw .failed(error.code)
            }
            first = start
        }
        // Lent pages are part of this now; those that were written to stay as they are.
        while let index = covers[held].firstIndex(where: { $0.kind == .lease && $0.offset >= first && $0.offset < end }) {
            dropShadow(covers[held].remove(at: index), held)
        }
        if record.facts.hasHugePages, let now = current(record, held) {
            let before = word.hasZeroTail ? record.facts.pagesInFile ?? .max : .max
            table[held].replace(with: now.withPagesInFile(min(before, (first &- pages.start) / Page.size)))
        }
    }

    /// The first page of a range with memory of its own that must not be lost: a guest wrote to it.
    private func firstToLeave(in range: Range<UInt64>, _ held: Held) -> UInt64? {
        let kept = covers[held].firstToKeep(in: range)
        var first = kept
        for index in 0..<covers[held].count
        where range.contains(covers[held][index].offset) && mustKeep(covers[held][index], held) {
            if covers[held][index].offset < first ?? .max { first = covers[held][index].offset }
        }
        return first
    }

    private func noteZeros(from page: UInt64, in record: MappingRecord, _ held: Held) {
        guard let now = current(record, held) else { return }
        let known = MappingWord(bits: now.word).hasZeroTail ? now.facts.pagesInFile ?? .max : .max
        table[held].replace(with: now.withPagesInFile(min(known, (page &- now.start) / Page.size)))
    }

    /// Whether the kernel may have refused because a huge page would be split: with EINVAL, or before Linux 6.3 with ENOMEM.
    static func splitsAHugePage(_ error: Errno) -> Bool { error.code == EINVAL || error.code == ENOMEM }

    /// Each huge page goes as a whole, so the guest has no pages of its own among them. The part before the lost page is still
    /// the file's. The kernel's answers show the page's size. Returns the first zero page; nil: there is none.
    private func fillHugePages(_ pages: ByteRange, from page: UInt64, protection: Int32, _ held: Held) -> UInt64? {
        var size = Page.size &* 2
        while size <= RegionWindow.largestAlignment {
            let start = max(page & ~(size &- 1), pages.start)
            guard let rest = ByteRange(start: start, length: pages.end &- start) else { return nil }
            do throws(Errno) {
                try window.fill(rest, protection: protection, held)
                return start
            } catch {
                guard Region.splitsAHugePage(error), start > pages.start else { return nil }
            }
            size = size &* 2
        }
        return nil
    }
}

extension MappingRecord {
    func withPagesInFile(_ pages: UInt64) -> MappingRecord {
        MappingRecord(
            start: start, length: length, fileOffset: fileOffset, word: word, identity: facts.withPagesInFile(pages).bits)
    }
}
