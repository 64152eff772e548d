// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Gives covered pages back to their files, and heals mappings.
///
/// Three things lead here: a touch of a page that its file lacks; the dispatch of the device's front-end or channel, from time
/// to time; and the program itself, by `heal`.
extension Region {
    /// Microseconds between two looks at mappings that are broken.
    static var pauseBetweenLooks: UInt64 { 100_000 }
    /// The most mappings to check, and the most records to pass over, in one look of a loop.
    private static var brokenInALook: Int { 64 }
    private static var recordsInALook: Int { 4096 }

    /// Checks all that is covered or broken, and shows the pages that the files have again. It touches pages of broken
    /// mappings, and so may wait for the storage or the server of their files.
    ///
    /// - Returns: how many mappings are still broken.
    @discardableResult
    public func heal() -> UInt64 {
        device.lock.withLock { held in
            endLeases(at: .max, held)
            brokenCursor[held] = 0
        }
        var looked: UInt64 = 0
        let all = device.lock.withLock { held in brokenCount[held] }
        while looked < all, let record = nextBroken(localOnly: false, passing: .max) {
            look(at: record, evenIfUntold: true)
            looked &+= 1
        }
        return device.lock.withLock { held in brokenCount[held] }
    }

    /// Does what a loop must do for the region from time to time. It waits for no other process. Returns the time of the next
    /// call, in microseconds; nil: none is needed.
    func care(at now: UInt64) -> UInt64? {
        let (next, isBroken) = device.lock.withLock { held -> (UInt64?, Bool) in
            endLeases(at: now, held)
            let first = covers[held].firstIndex { $0.kind == .lease && $0.since &+ CoveredPages.lease > now }
                .map { covers[held][$0].since &+ CoveredPages.lease }
            return (first, brokenCount[held] > 0)
        }
        guard isBroken else { return next }
        for _ in 0..<Region.brokenInALook {
            guard let record = nextBroken(localOnly: true, passing: Region.recordsInALook) else { break }
            look(at: record, evenIfUntold: false)
        }
        return earliest(next, now &+ Region.pauseBetweenLooks)
    }

    /// The next broken mapping; if there is none any more, the next call begins with the first.
    private func nextBroken(localOnly: Bool, passing most: Int) -> MappingRecord? {
        device.lock.withLock { held -> MappingRecord? in
            guard brokenCount[held] > 0 else { return nil }
            var passed = 0
            while let record = table[held].first(endingAfter: brokenCursor[held]), let pages = ownedPages(record) {
                brokenCursor[held] = pages.end
                passed &+= 1
                if MappingWord(bits: record.word).isBroken, !localOnly || record.facts.isLocal { return record }
                if passed >= most { return nil }
            }
            brokenCursor[held] = 0
            return nil
        }
    }

    /// Checks whether the file has its lost pages again: those that were found missing, and the last one that it had.
    private func look(at record: MappingRecord, evenIfUntold: Bool) {
        let word = MappingWord(bits: record.word)
        // The program should hear of both: it is told that the mapping is broken before anything mends it.
        if !evenIfUntold, !word.isToldBroken, device.lock.withLock({ held in device.alarm[held] != nil }) { return }
        guard !word.hasZeroTail, let pages = ownedPages(record) else { return }
        let had = record.facts.pagesInFile ?? pages.length / Page.size
        guard had > 0 else { return }
        var page: UInt64? = pages.start &+ (had &- 1) &* Page.size
        var from = 0
        giveBackKeptPages(of: record)
        // No lock is held while a page is touched. If it belongs to another mapping by then, nothing changes for this one.
        while let offset = page {
            guard unsafe MemoryCalls.touch(window.baseAddress + Int(clamping: offset), writing: false) == .works else { return }
            page = device.lock.withLock { held -> UInt64? in
                while from < covers[held].count {
                    let cover = covers[held][from]
                    from &+= 1
                    if cover.kind == .watched, cover.generation == record.facts.generation { return cover.offset }
                }
                return nil
            }
        }
        device.lock.withLock { held in markWhole(record, held) }
    }

    /// Gives back pages that were kept because they were written to, if the file has them.
    private func giveBackKeptPages(of record: MappingRecord) {
        let generation = record.facts.generation
        var from = 0
        while true {
            let kept = device.lock.withLock { held -> CoveredPages.Page? in
                while from < covers[held].count {
                    let cover = covers[held][from]
                    from &+= 1
                    if cover.kind == .lease, cover.isLoss, cover.generation == generation { return cover }
                }
                return nil
            }
            guard let kept, let shadow = unsafe kept.shadow else { return }
            guard unsafe MemoryCalls.touch(shadow, writing: false) == .works else { continue }
            device.lock.withLock { held in
                let index = covers[held].firstIndex {
                    unsafe $0.kind == .lease && $0.generation == generation && $0.shadow == shadow
                }
                if let index { _ = endLease(at: index, held) }
            }
        }
    }

    // MARK: Changes

    /// Gives the pages whose time is up back to their files. It touches none of them.
    func endLeases(at now: UInt64, _ held: Held) {
        guard !covers[held].isEmpty else { return }
        var index = 0
        while index < covers[held].count {
            let page = covers[held][index]
            if page.kind == .lease, now >= page.since &+ CoveredPages.lease, !mustKeep(page, held) {
                let before = covers[held].count
                if endLease(at: index, held), covers[held].count < before { continue }
            }
            index &+= 1
        }
    }

    /// Whether a page that the file had was written to: the file system may be full, or the storage may fail. The bytes stay
    /// until the library sees that the file has the page.
    func mustKeep(_ page: CoveredPages.Page, _ held: Held) -> Bool {
        unsafe page.kind == .lease && page.isLoss
            && !vhu_is_zero(window.baseAddress + Int(clamping: page.offset), Int(clamping: Page.size))
    }

    /// Moves the page of the file back into the window. False: the kernel has no room for that now.
    func endLease(at index: Int, _ held: Held) -> Bool {
        var page = covers[held][index]
        guard let shadow = unsafe page.shadow else { return false }
        let address = unsafe window.baseAddress + Int(clamping: page.offset)
        do throws(Errno) {
            try unsafe MemoryCalls.move(shadow, Int(clamping: Page.size), to: address)
        } catch {
            // An older kernel may have unmapped the zeros before it failed.
            if unsafe !MemoryCalls.isMapped(address, Int(clamping: Page.size)),
                let range = ByteRange(start: page.offset, length: Page.size)
            {
                try? window.fill(range, protection: PROT_READ, held)
            }
            return false
        }
        ProcessBudget.give(page.cost)
        coverState.count(-1, held)
        guard page.isLoss else {
            _ = covers[held].remove(at: index)
            return true
        }
        page.kind = .watched
        unsafe page.shadow = nil
        covers[held][index] = page
        // One page is watched once.
        if let other = covers[held].firstIndex(where: { $0.kind == .watched && $0.offset == page.offset }), other < index {
            _ = covers[held].remove(at: other)
        }
        return true
    }
}
