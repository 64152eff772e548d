// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Handles pages that a mapping's file lacks: it was truncated, it never was that long, or its storage fails. A guest that
/// touches them gets zeros, and so does a thread of this process in the handler of its SIGBUS. So nothing here allocates.
///
/// A page is covered only for a while, `CoveredPages.lease` at least. Meanwhile the page of the file is mapped a second time,
/// outside of the window. Then it is moved back, and is the file's again: the next touch finds what the file has, or faults
/// once more.
///
/// Huge pages, private mappings and the memory of devices cannot be mapped a second time. There zeros replace all that follows
/// the page in its mapping, as long as the mapping lives.
extension Region {
    /// Covers a page that cannot be read. If something else is mapped there by now, the instruction should run again as things
    /// are.
    func replaceLostPage(of record: MappingRecord, at page: UInt64) throws(PageTrouble) {
        try device.lock.withLock { held throws(PageTrouble) in
            guard let now = current(record, held), covers[held].cover(of: page) == nil else { return }
            let address = unsafe window.baseAddress + Int(clamping: page)
            guard let shadow = try? unsafe MemoryCalls.duplicate(address, Int(clamping: Page.size)) else {
                return try replaceRest(of: now, from: page, held)
            }
            do throws(PageTrouble) {
                try unsafe lend(zerosAt: page, of: now, shadow, held)
            } catch {
                try? unsafe MemoryCalls.unmap(shadow, Int(clamping: Page.size))
                try replaceRest(of: now, from: page, held)
            }
        }
    }

    /// Makes a page of a live mapping usable, as far as the mapping allows, after an access to it raised SIGBUS. False: that is
    /// impossible. For signal handlers.
    func coverLostPage(at page: UInt64) -> Bool {
        let found = device.lock.withLock { held -> MappingRecord? in
            endLeases(at: Clock.now(), held)
            guard let record = table[held].first(endingAfter: page), record.start <= page else { return nil }
            return record
        }
        guard let found else {
            // The mapping has gone since. If its hole can be read now, the instruction works.
            let canBeRead = device.lock.withLock { held in
                window.holeProtection[held] & PROT_READ != 0 || covers[held].cover(of: page) != nil
            }
            return canBeRead && mayRunAgain(page, of: 0)
        }
        let address = unsafe window.baseAddress + Int(clamping: page)
        do throws(PageTrouble) {
            // A touch may wait for the file's storage or server, so no lock is held.
            switch unsafe MemoryCalls.touch(address, writing: false) {
            case .fails: try replaceLostPage(of: found, at: page)
            case .unknown:
                if !mayRunAgain(page, of: found.facts.generation) { try replaceForGood(of: found, at: page) }
            case .works:
                // Another thread has repaired it, unless it can be read and not written: a full file system.
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
        switch unsafe MemoryCalls.touch(window.baseAddress + Int(clamping: page), writing: true) {
        case .works: return
        case .fails: try keepWritesApart(of: record, at: page)
        case .unknown:
            // The page is covered by memory that takes writes.
            if device.lock.withLock({ held in covers[held].cover(of: page) != nil }) { return }
            if !mayRunAgain(page, of: record.facts.generation, atMost: Region.answersToAWrite) {
                try keepWritesApart(of: record, at: page)
            }
        }
    }

    /// How often a write may be tried again if the kernel does not tell whether it is possible.
    private static var answersToAWrite: UInt32 { 4 }

    /// Gives a page that takes no writes memory of its own with the same bytes, which the file does not see. If something else
    /// is mapped there by now, the instruction should run again as things are. If the file should have taken the writes, the
    /// mapping is broken.
    func keepWritesApart(of record: MappingRecord, at page: UInt64) throws(PageTrouble) {
        let before = device.lock.withLock { held in covers[held].cover(of: page) }
        var copy: PrivatePage? = unsafe try privatePage(showing: window.baseAddress + Int(clamping: page))
        try device.lock.withLock { held throws(PageTrouble) in
            let cover = covers[held].cover(of: page)
            // If zeros were lent, or given back, while the page was copied, the copy may be of either.
            guard let now = current(record, held), cover?.kind == before?.kind, cover?.since == before?.since,
                cover?.kind != .apart,
                let copy = copy.take()
            else { return }
            // In a writable mapping the file has other bytes. The writes of a guest to a read-only mapping are no concern of
            // the file.
            let isWritable = MappingWord(bits: now.word).isWritable
            let hidesLoss = isWritable || cover?.kind == .lease || copy.isOfLostPage
            do throws(PageTrouble) {
                try put(copy, at: page, .apart, of: now, hidesLoss: hidesLoss, held)
            } catch {
                // A guest is told that it wrote to too many read-only pages. But a thread that may write must not end here.
                guard isWritable else { throw error }
                return try replaceRest(of: now, from: page, held)
            }
            if isWritable { markBroken(now, held) { $0.broken } }
        }
    }

    /// Gives a page zeros for the rest of the mapping's life, if running the instruction again did not help.
    func replaceForGood(of record: MappingRecord, at page: UInt64) throws(PageTrouble) {
        var zeros: PrivatePage? = unsafe try privatePage(showing: nil)
        try device.lock.withLock { held throws(PageTrouble) in
            guard let now = current(record, held), covers[held].cover(of: page) == nil, let zeros = zeros.take() else { return }
            do throws(PageTrouble) {
                try put(zeros, at: page, .apart, of: now, hidesLoss: true, held)
                markBroken(now, held) { $0.broken }
            } catch {
                try replaceRest(of: now, from: page, held)
            }
        }
    }

    /// A page of private memory with the bytes at `source`, or zeros.
    func privatePage(showing source: UnsafeRawPointer?) throws(PageTrouble) -> PrivatePage {
        do throws(Errno) {
            return try unsafe PrivatePage.make(showing: source)
        } catch {
            throw .failed(error.code)
        }
    }

    /// Whether an instruction may run again although nothing has changed. Each page allows that a limited number of times.
    func mayRunAgain(_ page: UInt64, of generation: UInt64, atMost limit: UInt32 = RecentAnswers.most) -> Bool {
        device.lock.withLock { held in answers[held].allows(page, of: generation, atMost: limit) }
    }

    // MARK: Changes

    /// The record as it is now; nil: that mapping has gone.
    func current(_ record: MappingRecord, _ held: Held) -> MappingRecord? {
        guard let now = table[held].find(at: record.start), now.isSame(as: record) else { return nil }
        return now
    }

    /// Puts zeros in the place of a page for a while. They take no memory until they are written to, which is possible if the
    /// file could be written to.
    private func lend(
        zerosAt page: UInt64, of record: MappingRecord, _ shadow: UnsafeMutableRawPointer, _ held: Held
    ) throws(PageTrouble) {
        let word = MappingWord(bits: record.word)
        let isLoss = record.facts.pagesInFile.map { (page &- record.start) / Page.size < $0 } ?? true
        let cover = unsafe CoveredPages.Page(
            offset: page, kind: .lease, generation: record.facts.generation, shadow: shadow, isLoss: isLoss, hidesLoss: true,
            since: Clock.now())
        try makeRoom(for: cover, held)
        guard let range = ByteRange(start: page, length: Page.size) else { return }
        // This comes first: a thread that copies bytes meanwhile must not take the zeros for the file's.
        coverState.count(1, held)
        do throws(Errno) {
            try window.fill(range, protection: word.isWritable ? PROT_READ | PROT_WRITE : PROT_READ, held)
        } catch {
            coverState.count(-1, held)
            ProcessBudget.give(cover.cost)
            throw .failed(error.code)
        }
        covers[held].append(cover)
        if isLoss { markBroken(record, held) { $0.broken } }
        device.careSoon(at: cover.since &+ CoveredPages.lease, held)
    }

    /// Puts private memory in the place of a page.
    func put(
        _ memory: consuming PrivatePage, at page: UInt64, _ kind: CoveredPages.Kind, of record: MappingRecord?,
        hidesLoss: Bool = false, _ held: Held
    ) throws(PageTrouble) {
        let cover = unsafe CoveredPages.Page(
            offset: page, kind: kind, generation: record?.facts.generation ?? 0, shadow: nil, isLoss: false,
            hidesLoss: hidesLoss, since: Clock.now())
        try makeRoom(for: cover, held)
        if hidesLoss { coverState.count(1, held) }
        do throws(Errno) {
            try window.place(memory, at: page, held)
        } catch {
            if hidesLoss { coverState.count(-1, held) }
            ProcessBudget.give(cover.cost)
            // A huge page cannot be replaced in part. (Before Linux 6.3 the kernel answers ENOMEM.)
            let isHuge = record?.facts.hasHugePages == true && Region.splitsAHugePage(error)
            throw .failed(isHuge ? EOPNOTSUPP : error.code)
        }
        // A page that was lent ends here: the private one has replaced it.
        if let index = covers[held].firstIndex(where: { $0.offset == page && $0.kind == .lease }) {
            dropShadow(covers[held].remove(at: index), held)
        }
        covers[held].append(cover)
    }

    /// Makes sure that one more page can be covered: the oldest that may go makes room. Takes its cost.
    private func makeRoom(for page: CoveredPages.Page, _ held: Held) throws(PageTrouble) {
        while covers[held].isFull(page.group) {
            guard endOldest(in: page.group, held) else { throw .tooManyPages }
        }
        while !ProcessBudget.takes(page.cost) {
            guard endOldest(held) else { throw .budget }
        }
    }

    /// Ends the cover that may go first: one that covers nothing, or else the oldest temporary one. `group`: of this group
    /// alone.
    private func endOldest(in group: CoveredPages.Group? = nil, _ held: Held) -> Bool {
        let mayEnd = { (page: CoveredPages.Page) in group == nil || page.group == group }
        if let index = covers[held].firstIndex(where: { $0.kind == .watched && mayEnd($0) }) {
            _ = covers[held].remove(at: index)
            return true
        }
        guard
            let index = covers[held].firstIndex(where: {
                ($0.kind == .inHole || $0.kind == .lease) && mayEnd($0) && !mustKeep($0, held)
            })
        else {
            return false
        }
        if covers[held][index].kind == .lease {
            guard endLease(at: index, held) else { return false }
            if let index = covers[held].firstIndex(where: { $0.kind == .watched }) { _ = covers[held].remove(at: index) }
            return true
        }
        let page = covers[held].remove(at: index)
        if let hole = ByteRange(start: page.offset, length: Page.size) { _ = try? window.clear(hole, held) }
        ProcessBudget.give(page.cost)
        return true
    }

    /// Pages of files that are outside of the window for a while get the same advice as the window.
    func adviseShadows(_ advice: Int32, _ held: Held) {
        for index in 0..<covers[held].count {
            if let shadow = unsafe covers[held][index].shadow {
                try? unsafe MemoryCalls.advise(shadow, Int(clamping: Page.size), advice)
            }
        }
    }

    /// Forgets covers that something else has replaced.
    func forgetCovers(in range: Range<UInt64>, _ held: Held) {
        var index = 0
        while index < covers[held].count {
            guard range.contains(covers[held][index].offset) else {
                index &+= 1
                continue
            }
            dropShadow(covers[held].remove(at: index), held)
        }
    }

    func dropShadow(_ page: CoveredPages.Page, _ held: Held) {
        if let shadow = unsafe page.shadow { try? unsafe MemoryCalls.unmap(shadow, Int(clamping: Page.size)) }
        if page.hidesLoss, page.isThere { coverState.count(-1, held) }
        ProcessBudget.give(page.cost)
    }
}
