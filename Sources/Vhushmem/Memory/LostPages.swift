// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Pages that a mapping's file has lost: it was truncated, or its storage fails. Whoever touches them gets zeros instead: a guest, and a
/// thread of this process in the handler of its SIGBUS. So nothing here allocates.
extension Region {
    /// Puts zeros in the place of a page that can't be read, and of all that follow it in its mapping: what has lost one page to a
    /// truncation has lost the rest, and one replacement costs one separate mapping, however many pages it is. Where the mapping's
    /// end is still there, the page alone is replaced, so long as there is room for such pages.
    ///
    /// Zeros take no memory until somebody writes to them, which is possible where the file could be written to.
    func replaceLostPages(of record: MappingRecord, from page: UInt64) throws(PageTrouble) {
        guard let pages = ownedPages(record) else { return }
        let last = pages.end &- Memory.pageSize
        let isEndLost =
            page == last || MappingWord(bits: record.word).hasZeroTail
            || !Memory.canTouch(window.baseAddress + Int(clamping: last), writing: false)
        try device.lock.withLock { () throws(PageTrouble) in
            // Something else by now: the next try shows how things are.
            guard isLive(record), !scratch.contains(page) else { return }
            if !isEndLost, (try? putScratch(privatePage(showing: nil), at: page, isInMapping: true)) != nil {
                return markBroken(at: record.start) { $0.broken }
            }
            try replaceRest(of: record.start, pages, from: page)
        }
    }

    /// Makes a page of a live mapping one that can be touched, as far as the mapping allows it, after an access to it raised SIGBUS.
    /// False: it is in no mapping, or that can't be done. For signal handlers.
    func coverLostPage(at page: UInt64) -> Bool {
        let found = device.lock.withLock { () -> MappingRecord? in
            guard let record = table.first(endingAfter: page), record.start <= page else { return nil }
            return record
        }
        guard let found else { return false }
        let address = window.baseAddress + Int(clamping: page)
        do throws(PageTrouble) {
            // Touching it may wait for whoever keeps the file: no lock is held meanwhile.
            guard Memory.canTouch(address, writing: false) else {
                try replaceLostPages(of: found, from: page)
                return true
            }
            // Repaired by another thread, unless it can be read and not written: a full file system.
            guard MappingWord(bits: found.word).isWritable, !Memory.canTouch(address, writing: true) else { return true }
            try keepWritesApart(of: found, at: page)
            return true
        } catch {
            return false
        }
    }

    /// Gives a page that takes no writes memory of its own with the same bytes, which the file does not see. If something else is
    /// mapped there by now, the instruction is best run again as things are. Where the file should have taken them, the mapping is broken.
    func keepWritesApart(of record: MappingRecord, at page: UInt64) throws(PageTrouble) {
        var copy: PrivatePage? = try privatePage(showing: window.baseAddress + Int(clamping: page))
        try device.lock.withLock { () throws(PageTrouble) in
            guard isLive(record), let copy = copy.take() else { return }
            try putScratch(copy, at: page, isInMapping: true)
            if MappingWord(bits: record.word).isWritable { markBroken(at: record.start) { $0.broken } }
        }
    }

    // MARK: With the lock held

    private func replaceRest(of start: UInt64, _ pages: ByteRange, from page: UInt64) throws(PageTrouble) {
        guard let word = table.find(at: start).map({ MappingWord(bits: $0.word) }) else { return }
        guard word.hasZeroTail || ProcessBudget.take(1) else { throw .budget }
        markBroken(at: start) { $0.withZeroTail }
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
            guard error.code == EINVAL, fillHugePages(pages, from: page, protection: protection) else {
                throw .failed(error.code)
            }
        }
    }

    /// Huge pages go each as a whole, and so there are no pages of the guest's own among them. What comes before the one that was lost is
    /// the file's still; how large it is shows by what the kernel takes.
    private func fillHugePages(_ pages: ByteRange, from page: UInt64, protection: Int32) -> Bool {
        var size = Memory.pageSize &* 2
        while size <= Window.largestAlignment {
            let start = max(page & ~(size &- 1), pages.start)
            guard let rest = ByteRange(start: start, length: pages.end &- start) else { return false }
            do throws(Errno) {
                try window.fill(rest, protection: protection)
                return true
            } catch {
                guard error.code == EINVAL, start > pages.start else { return false }
            }
            size = size &* 2
        }
        return false
    }

    private func markBroken(at start: UInt64, by change: (MappingWord) -> MappingWord) {
        guard let record = table.find(at: start) else { return }
        let before = MappingWord(bits: record.word)
        _ = table.setWord(at: start, to: change(before).bits)
        guard !before.isBroken else { return }
        before.mapping?.becomeBroken()
        hasBrokenNews = true
        device.alarm?.raise()
    }
}

// MARK: Telling of it

extension Region {
    /// The next mapping from `offset` on that is broken and was not given out here before; nil: there is none.
    func takeBroken(from offset: inout UInt64) -> MappingDescription? {
        device.lock.withLock { () -> MappingRecord? in
            guard hasBrokenNews else { return nil }
            while let record = table.first(endingAfter: offset), let pages = ownedPages(record) {
                offset = pages.end
                let word = MappingWord(bits: record.word)
                guard word.isBroken, !word.isToldBroken else { continue }
                _ = table.setWord(at: record.start, to: word.toldBroken.bits)
                return record
            }
            hasBrokenNews = false
            return nil
        }.map(describe)
    }
}
