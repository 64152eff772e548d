// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Pages that a mapping's file has lost: it was truncated, or its storage fails. To a guest they become zeros.
extension Region {
    /// Puts zeros in the place of a page that can't be read, and of all that follow it in its mapping: what has lost one page to a
    /// truncation has lost the rest, and one replacement costs one separate mapping, however many pages it is. Where the mapping's
    /// end is still there, the page alone is replaced, so long as there is room for such pages.
    ///
    /// Zeros take no memory until a guest writes to them, which it can where it could write to the file.
    func replaceLostPages(of record: MappingRecord, from page: UInt64) throws(ShmemError) {
        guard let pages = ownedPages(record) else { return }
        let last = pages.end &- Memory.pageSize
        let isEndLost =
            page == last || MappingWord(bits: record.word).hasZeroTail
            || !Memory.canTouch(window.baseAddress + Int(clamping: last), writing: false)
        try device.lock.withLock { () throws(ShmemError) in
            // Something else by now: the guest's next try shows how things are.
            guard isLive(record), !scratch.contains(page) else { return }
            if !isEndLost, (try? putScratch(privatePage(for: page, showing: nil), at: page, isInMapping: true)) != nil {
                return setWord(of: record.start) { $0.broken }
            }
            try replaceRest(of: record.start, pages, from: page)
        }
    }

    // MARK: With the lock held

    private func replaceRest(of start: UInt64, _ pages: ByteRange, from page: UInt64) throws(ShmemError) {
        guard let word = table.find(at: start).map({ MappingWord(bits: $0.word) }) else { return }
        guard word.hasZeroTail || ProcessBudget.take(1) else {
            throw ShmemError(ENOSPC, "the process has used up its budget of \(ProcessBudget.limit) separate mappings")
        }
        setWord(of: start) { $0.withZeroTail }
        let protection = word.isWritable ? PROT_READ | PROT_WRITE : PROT_READ
        do throws(Errno) {
            var from = page
            while from < pages.end {
                let end = scratch.first(in: from..<pages.end) ?? pages.end
                if let piece = ByteRange(start: from, length: end &- from), piece.length > 0 {
                    try window.fill(piece, protection: protection)
                }
                from = end &+ Memory.pageSize
            }
        } catch {
            // Huge pages go as a whole: then there are no pages of the guest's own among them either.
            guard error.code == EINVAL, (try? window.fill(pages, protection: protection)) != nil else {
                throw ShmemError(
                    error.code, "no zeros for the lost pages from \(hex(page)) of region \(id): \(Errno.text(error.code))")
            }
        }
    }

    private func setWord(of start: UInt64, to change: (MappingWord) -> MappingWord) {
        guard let record = table.find(at: start) else { return }
        let word = change(MappingWord(bits: record.word))
        _ = table.setWord(at: start, to: word.bits)
        word.mapping?.becomeBroken()
    }
}
