// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// Pages that a mapping's file lacks: it was truncated, it never was that long, or its storage fails. Whoever touches them gets zeros
/// instead: a guest, and a thread of this process in the handler of its SIGBUS. So nothing here allocates.
///
/// A page is covered for the moment only, `CoveredPages.lease` at least. Meanwhile the page of the file is mapped a second time, away from
/// the window; then it is moved back, and is the file's again. Whoever touches it then finds what the file has, or faults once more.
///
/// Huge pages, private mappings and the memory of devices cannot be mapped a second time. There zeros take the place of all that follows
/// the page in its mapping, for as long as the mapping lives.
extension Region {
    /// Covers a page that can't be read. If something else is mapped there by now, the instruction is best run again as things are.
    func replaceLostPage(of record: MappingRecord, at page: UInt64) throws(PageTrouble) {
        try device.lock.withLock { () throws(PageTrouble) in
            guard let now = current(record), covers.cover(of: page) == nil else { return }
            let address = window.baseAddress + Int(clamping: page)
            guard let shadow = try? MemoryCalls.duplicate(address, Int(clamping: Page.size)) else {
                return try replaceRest(of: now, from: page)
            }
            do throws(PageTrouble) {
                try lend(zerosAt: page, of: now, shadow)
            } catch {
                try? MemoryCalls.unmap(shadow, Int(clamping: Page.size))
                try replaceRest(of: now, from: page)
            }
        }
    }

    /// Makes a page of a live mapping one that can be touched, as far as the mapping allows it, after an access to it raised SIGBUS.
    /// False: that can't be done. For signal handlers.
    func coverLostPage(at page: UInt64) -> Bool {
        let found = device.lock.withLock { () -> MappingRecord? in
            endLeases(at: Clock.now())
            guard let record = table.first(endingAfter: page), record.start <= page else { return nil }
            return record
        }
        guard let found else {
            // The mapping has gone since. Where there is a hole that can be read now, the instruction works.
            let canBeRead = device.lock.withLock { window.holeProtection & PROT_READ != 0 || covers.cover(of: page) != nil }
            return canBeRead && mayRunAgain(page, of: 0)
        }
        let address = window.baseAddress + Int(clamping: page)
        do throws(PageTrouble) {
            // Touching it may wait for whoever keeps the file: no lock is held meanwhile.
            switch MemoryCalls.touch(address, writing: false) {
            case .fails: try replaceLostPage(of: found, at: page)
            case .unknown:
                if !mayRunAgain(page, of: found.facts.generation) { try replaceForGood(of: found, at: page) }
            case .works:
                // Repaired by another thread, unless it can be read and not written: a full file system.
                guard MappingWord(bits: found.word).isWritable else { return true }
                try keepWritesApartIfNeeded(of: found, at: page)
            }
            return true
        } catch {
            return false
        }
    }

    /// Gives a page of a writable mapping, which can be read, memory of its own if it takes no writes.
    func keepWritesApartIfNeeded(of record: MappingRecord, at page: UInt64) throws(PageTrouble) {
        switch MemoryCalls.touch(window.baseAddress + Int(clamping: page), writing: true) {
        case .works: return
        case .fails: try keepWritesApart(of: record, at: page)
        case .unknown:
            // What covers the page is memory that takes writes.
            if device.lock.withLock({ covers.cover(of: page) != nil }) { return }
            if !mayRunAgain(page, of: record.facts.generation, atMost: Region.answersToAWrite) {
                try keepWritesApart(of: record, at: page)
            }
        }
    }

    /// How often a write may be tried again where the kernel does not tell whether it can be done.
    private static var answersToAWrite: UInt32 { 4 }

    /// Gives a page that takes no writes memory of its own with the same bytes, which the file does not see. If something else is
    /// mapped there by now, the instruction is best run again as things are. Where the file should have taken them, the mapping is broken.
    func keepWritesApart(of record: MappingRecord, at page: UInt64) throws(PageTrouble) {
        let before = device.lock.withLock { covers.cover(of: page) }
        var copy: PrivatePage? = try privatePage(showing: window.baseAddress + Int(clamping: page))
        try device.lock.withLock { () throws(PageTrouble) in
            let cover = covers.cover(of: page)
            // If zeros were lent, or given back, while the page was copied, nobody knows what the copy is.
            guard let now = current(record), cover?.kind == before?.kind, cover?.since == before?.since, cover?.kind != .apart,
                let copy = copy.take()
            else { return }
            // In a writable mapping the file has other bytes. What a guest writes where it may only read is its own affair.
            let isWritable = MappingWord(bits: now.word).isWritable
            let hidesLoss = isWritable || cover?.kind == .lease || copy.isOfLostPage
            do throws(PageTrouble) {
                try put(copy, at: page, .apart, of: now, hidesLoss: hidesLoss)
            } catch {
                // A guest is told that it wrote to too much that is read-only. Who may write must not end here.
                guard isWritable else { throw error }
                return try replaceRest(of: now, from: page)
            }
            if isWritable { markBroken(now) { $0.broken } }
        }
    }

    /// Gives a page for which running the instruction again did not help zeros, for as long as the mapping lives.
    func replaceForGood(of record: MappingRecord, at page: UInt64) throws(PageTrouble) {
        var zeros: PrivatePage? = try privatePage(showing: nil)
        try device.lock.withLock { () throws(PageTrouble) in
            guard let now = current(record), covers.cover(of: page) == nil, let zeros = zeros.take() else { return }
            do throws(PageTrouble) {
                try put(zeros, at: page, .apart, of: now, hidesLoss: true)
                markBroken(now) { $0.broken }
            } catch {
                try replaceRest(of: now, from: page)
            }
        }
    }

    /// A page of private memory with the bytes at `source`, or zeros.
    func privatePage(showing source: UnsafeRawPointer?) throws(PageTrouble) -> PrivatePage {
        do throws(Errno) {
            return try PrivatePage.make(showing: source)
        } catch {
            throw .failed(error.code)
        }
    }

    /// Whether an instruction may run again though nothing has changed. That is answered a limited number of times for each page.
    func mayRunAgain(_ page: UInt64, of generation: UInt64, atMost limit: UInt32 = RecentAnswers.most) -> Bool {
        device.lock.withLock { answers.allows(page, of: generation, atMost: limit) }
    }

    // MARK: With the lock held

    /// The record as it is now; nil: that mapping has gone.
    func current(_ record: MappingRecord) -> MappingRecord? {
        guard let now = table.find(at: record.start), now.isSame(as: record) else { return nil }
        return now
    }

    /// Puts zeros in the place of a page for the moment. They take no memory until somebody writes to them, which is possible where the
    /// file could be written to.
    private func lend(
        zerosAt page: UInt64, of record: MappingRecord, _ shadow: UnsafeMutableRawPointer
    ) throws(PageTrouble) {
        let word = MappingWord(bits: record.word)
        let isLoss = record.facts.pagesInFile.map { (page &- record.start) / Page.size < $0 } ?? true
        let cover = CoveredPages.Page(
            offset: page, kind: .lease, generation: record.facts.generation, shadow: shadow, isLoss: isLoss, hidesLoss: true,
            since: Clock.now())
        try makeRoom(for: cover)
        guard let range = ByteRange(start: page, length: Page.size) else { return }
        // First: who copies bytes beside this must not take the zeros for the file's.
        noteCover(1)
        do throws(Errno) {
            try window.fill(range, protection: word.isWritable ? PROT_READ | PROT_WRITE : PROT_READ)
        } catch {
            noteCover(-1)
            ProcessBudget.give(cover.cost)
            throw .failed(error.code)
        }
        covers.append(cover)
        if isLoss { markBroken(record) { $0.broken } }
        device.careSoon(at: cover.since &+ CoveredPages.lease)
    }

    /// Puts private memory in the place of a page.
    func put(
        _ memory: consuming PrivatePage, at page: UInt64, _ kind: CoveredPages.Kind, of record: MappingRecord?,
        hidesLoss: Bool = false
    ) throws(PageTrouble) {
        let cover = CoveredPages.Page(
            offset: page, kind: kind, generation: record?.facts.generation ?? 0, shadow: nil, isLoss: false,
            hidesLoss: hidesLoss, since: Clock.now())
        try makeRoom(for: cover)
        if hidesLoss { noteCover(1) }
        do throws(Errno) {
            try window.place(memory, at: page)
        } catch {
            if hidesLoss { noteCover(-1) }
            ProcessBudget.give(cover.cost)
            // A huge page can't be replaced in part. (Before Linux 6.3 the kernel says ENOMEM.)
            let isHuge = record?.facts.hasHugePages == true && Region.splitsAHugePage(error)
            throw .failed(isHuge ? EOPNOTSUPP : error.code)
        }
        // A page that was lent ends here: the private one has taken its place.
        if let index = covers.firstIndex(where: { $0.offset == page && $0.kind == .lease }) {
            dropShadow(covers.remove(at: index))
        }
        covers.append(cover)
    }

    /// Sees to it that one more page can be covered: the oldest that may go makes room. Takes its cost.
    private func makeRoom(for page: CoveredPages.Page) throws(PageTrouble) {
        while covers.isFull(page.group) {
            guard endOldest(in: page.group) else { throw .tooManyPages }
        }
        while !ProcessBudget.takes(page.cost) {
            guard endOldest() else { throw .budget }
        }
    }

    /// Ends the cover that may go first: one that covers nothing, or else the oldest of those that last for the moment. `group`: of this
    /// group alone.
    private func endOldest(in group: CoveredPages.Group? = nil) -> Bool {
        let mayEnd = { (page: CoveredPages.Page) in group == nil || page.group == group }
        if let index = covers.firstIndex(where: { $0.kind == .watched && mayEnd($0) }) {
            _ = covers.remove(at: index)
            return true
        }
        guard let index = covers.firstIndex(where: { ($0.kind == .inHole || $0.kind == .lease) && mayEnd($0) && !mustKeep($0) })
        else {
            return false
        }
        if covers[index].kind == .lease {
            guard endLease(at: index) else { return false }
            if let index = covers.firstIndex(where: { $0.kind == .watched }) { _ = covers.remove(at: index) }
            return true
        }
        let page = covers.remove(at: index)
        if let hole = ByteRange(start: page.offset, length: Page.size) { _ = try? window.clear(hole) }
        ProcessBudget.give(page.cost)
        return true
    }

    /// Pages of files that are away from the window for the moment get the same advice as all that is there.
    func adviseShadows(_ advice: Int32) {
        for index in 0..<covers.count {
            if let shadow = covers[index].shadow { try? MemoryCalls.advise(shadow, Int(clamping: Page.size), advice) }
        }
    }

    /// Pages that something else has replaced.
    func forgetCovers(in range: Range<UInt64>) {
        var index = 0
        while index < covers.count {
            guard range.contains(covers[index].offset) else {
                index &+= 1
                continue
            }
            dropShadow(covers.remove(at: index))
        }
    }

    private func dropShadow(_ page: CoveredPages.Page) {
        if let shadow = page.shadow { try? MemoryCalls.unmap(shadow, Int(clamping: Page.size)) }
        if page.hidesLoss, page.isThere { noteCover(-1) }
        ProcessBudget.give(page.cost)
    }

    /// The number of pages that hide a loss changes. To be called before such a page is put into the window, and after it has gone: who
    /// copied bytes of it meanwhile sees that the number has changed, or that it is not 0, and waits for the lock.
    func noteCover(_ change: Int64) {
        let now = coverState.load(ordering: .relaxed)
        let count = UInt64(bitPattern: Int64(bitPattern: now & 0xffff) &+ change) & 0xffff
        coverState.store((now &>> 16 &+ 1) &<< 16 | count, ordering: .releasing)
    }

    /// Puts zeros in the place of all pages of a mapping from the one that was lost, for as long as the mapping lives.
    private func replaceRest(of record: MappingRecord, from page: UInt64) throws(PageTrouble) {
        guard let pages = ownedPages(record) else { return }
        let word = MappingWord(bits: record.word)
        var page = page
        if !word.hasZeroTail, !ProcessBudget.takes(1) {
            // The whole mapping takes no more of the kernel's separate mappings than it has. A back-end could use the budget up, and then
            // shorten a file: the process must live on.
            ProcessBudget.note(1)
            page = pages.start
        }
        // Where the zeros begin, before there are any: who reads bytes for the program is told that they are none of the file's.
        noteZeros(from: record.facts.hasHugePages ? pages.start : page, in: record)
        noteCover(1)
        defer { noteCover(-1) }
        markBroken(record) { $0.withZeroTail }
        // What there is from an earlier time on, a guest may have written to.
        let earlier = word.hasZeroTail ? pages.start &+ (record.facts.pagesInFile ?? 0) &* Page.size : pages.end
        let end = record.facts.hasHugePages ? pages.end : max(earlier, page &+ Page.size)
        let protection = word.isWritable ? PROT_READ | PROT_WRITE : PROT_READ
        var first = page
        do throws(Errno) {
            var from = page
            while from < end {
                let left = firstToLeave(in: from..<end) ?? end
                if let piece = ByteRange(start: from, length: left &- from), piece.length > 0 {
                    try window.fill(piece, protection: protection)
                }
                from = left &+ Page.size
            }
        } catch {
            guard Region.splitsAHugePage(error), let start = fillHugePages(pages, from: page, protection: protection) else {
                throw .failed(error.code)
            }
            first = start
        }
        // Lent pages are part of this now, those that were written to as they are.
        while let index = covers.firstIndex(where: { $0.kind == .lease && $0.offset >= first && $0.offset < end }) {
            dropShadow(covers.remove(at: index))
        }
        if record.facts.hasHugePages, let now = current(record) {
            let before = word.hasZeroTail ? record.facts.pagesInFile ?? .max : .max
            table.replace(with: now.withPagesInFile(min(before, (first &- pages.start) / Page.size)))
        }
    }

    /// The first page of a range that has memory of its own which must not be lost: a guest wrote to it.
    private func firstToLeave(in range: Range<UInt64>) -> UInt64? {
        let kept = covers.firstToKeep(in: range)
        var first = kept
        for index in 0..<covers.count where range.contains(covers[index].offset) && mustKeep(covers[index]) {
            if covers[index].offset < first ?? .max { first = covers[index].offset }
        }
        return first
    }

    private func noteZeros(from page: UInt64, in record: MappingRecord) {
        guard let now = current(record) else { return }
        let known = MappingWord(bits: now.word).hasZeroTail ? now.facts.pagesInFile ?? .max : .max
        table.replace(with: now.withPagesInFile(min(known, (page &- now.start) / Page.size)))
    }

    /// Whether the kernel may have refused because a huge page would have been split: with EINVAL, or before Linux 6.3 with ENOMEM.
    private static func splitsAHugePage(_ error: Errno) -> Bool { error.code == EINVAL || error.code == ENOMEM }

    /// Huge pages go each as a whole, and so there are no pages of the guest's own among them. What comes before the one that was lost is
    /// the file's still; how large it is shows by what the kernel takes. Returns where the zeros begin; nil: nowhere.
    private func fillHugePages(_ pages: ByteRange, from page: UInt64, protection: Int32) -> UInt64? {
        var size = Page.size &* 2
        while size <= Window.largestAlignment {
            let start = max(page & ~(size &- 1), pages.start)
            guard let rest = ByteRange(start: start, length: pages.end &- start) else { return nil }
            do throws(Errno) {
                try window.fill(rest, protection: protection)
                return start
            } catch {
                guard Region.splitsAHugePage(error), start > pages.start else { return nil }
            }
            size = size &* 2
        }
        return nil
    }

    func markBroken(_ record: MappingRecord, by change: (MappingWord) -> MappingWord) {
        guard let now = current(record) else { return }
        let before = MappingWord(bits: now.word)
        table.setWord(at: now.start, to: change(before).bits)
        guard !before.isBroken else { return }
        brokenCount &+= 1
        before.mapping?.setBroken(true)
        hasNews = true
        device.alarm?.raise()
        device.careSoon(at: Clock.now() &+ Region.pauseBetweenLooks)
    }

    /// The mapping goes, or another takes its place.
    func forgetBrokenness(of record: MappingRecord) {
        let word = MappingWord(bits: record.word)
        if word.isBroken { brokenCount &-= 1 }
        if word.hasZeroTail { ProcessBudget.give(1) }
    }
}

extension MappingRecord {
    func withPagesInFile(_ pages: UInt64) -> MappingRecord {
        MappingRecord(
            start: start, length: length, fileOffset: fileOffset, word: word, identity: facts.withPagesInFile(pages).bits)
    }
}
