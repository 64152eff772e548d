// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Undoes mappings: the record goes first, then the memory. So no reader gets a dead address, and a thread that copies bytes
/// can tell that they are not the mapping's any more.
extension Region {
    /// Undoes one whole mapping. If `RegionOptions.unmapsByOffset` is set, the length is ignored.
    ///
    /// - Parameters:
    ///   - offset: the offset of the mapping, as it was made.
    ///   - length: the length of the mapping, as it was made.
    /// - Throws: ENOENT (nothing is mapped there) or EINVAL (something is, but not exactly this), and nothing has changed.
    public func unmap(at offset: UInt64, length: UInt64) throws(ShmemError) {
        let request = SharedMemoryMap(shmid: shmid, fileOffset: 0, offset: offset, length: length, flags: 0)
        try telling(BackendRequest.shmemUnmap, request) { () throws(ShmemError) in
            try unmapLeavingCommit(at: offset, length: length)
        }
        commit()
    }

    /// Returns the length of the mapping in bytes.
    @_optimize(speed)
    @discardableResult
    func unmapLeavingCommit(at offset: UInt64, length: UInt64) throws(ShmemError) -> UInt64 {
        let subject = ShmemError.Subject.unmap(shmid: shmid, offset: offset, length: length)
        let range = options.unmapsByOffset ? try checkedOffset(offset, subject) : try checkedRange(offset, length, subject)
        let (record, isGone) = try device.lock.withLock { held throws(ShmemError) -> (MappingRecord, Bool) in
            let record = try wholeMapping(at: range, subject, held)
            // If its listeners were not told yet, the thread that mapped it tells them.
            if observer[held] == nil || !record.facts.isAnnounced {
                try takeOut(record, subject, held)
                return (record, true)
            }
            table[held].replace(with: record.leaving)
            return (record, false)
        }
        Log.tellWaiting()
        if isGone { MappingWord(bits: record.word).release() } else { try tellAndTakeOut(record, subject) }
        return record.length
    }

    /// The page at an offset, for an unmap that uses the offset alone.
    @inline(never)
    private func checkedOffset(_ offset: UInt64, _ subject: ShmemError.Subject) throws(ShmemError) -> ByteRange {
        try checkedRange(offset, Page.size, subject)
    }

    @_optimize(speed)
    private func wholeMapping(at range: ByteRange, _ subject: ShmemError.Subject, _ held: Held) throws(ShmemError)
        -> MappingRecord
    {
        if let record = table[held].find(at: range.start), record.length == range.length || options.unmapsByOffset {
            // A mapping that is being undone cannot be undone by another thread.
            if !record.facts.isLeaving { return record }
            throw ShmemError(ENOENT, subject, .beingUndone)
        }
        if let record = table[held].first(endingAfter: range.start), record.start < range.end {
            throw ShmemError(EINVAL, subject, .notWhole(record))
        }
        throw ShmemError(ENOENT, subject, .nothingMapped)
    }

    /// The same if an observer must be told first.
    @inline(never)
    private func tellAndTakeOut(_ record: MappingRecord, _ subject: ShmemError.Subject) throws(ShmemError) {
        let watcher = device.lock.withLock { held in observer[held] }
        watcher?.regionWillUnmap(self, record)
        do throws(ShmemError) {
            let gone = try device.lock.withLock { held throws(ShmemError) -> MappingRecord? in
                // An undo of everything does not wait for observers. Then the mapping is gone, as intended.
                guard let now = table[held].find(at: record.start), now.isSame(as: record) else { return nil }
                try takeOut(now, subject, held)
                return now
            }
            watcher?.regionDidUnmap(self, record)
            if let gone { MappingWord(bits: gone.word).release() }
        } catch {
            // The mapping is still there, and the observers were told that it goes.
            let stays = device.lock.withLock { held -> MappingRecord? in
                guard let now = table[held].find(at: record.start), now.isSame(as: record) else { return nil }
                table[held].replace(with: now.staying)
                return now
            }
            if let stays { watcher?.regionDidMap(self, stays) }
            throw error
        }
    }

    /// Undoes every mapping.
    ///
    /// - Returns: how many there were.
    @discardableResult
    public func unmapAll() -> UInt64 {
        var count: UInt64 = 0
        _ = unmapAll(until: nil, count: &count)
        return count
    }

    /// One turn of a loop undoes `fewEnough` mappings, and more for `longestUndoing` microseconds.
    static var longestUndoing: UInt64 { 2_000 }
    static var fewEnough: UInt64 { 256 }

    /// The same, but it stops at the time `limit` (microseconds; nil: never), after `count` has come to `fewEnough`. The other
    /// mappings stay. `count` grows by the number of mappings that went. `tells`: log messages that wait are logged here.
    /// Returns whether none is left.
    func unmapAll(until limit: UInt64?, count: inout UInt64, tells: Bool = true) -> Bool {
        let before = count
        var from: UInt64 = 0
        defer {
            if tells { Log.tellWaiting() }
            if count > before { commit() }
        }
        // The observer hears of each mapping that goes, and of none that stays: another thread may map meanwhile.
        if device.lock.withLock({ held in observer[held] != nil }) {
            while let record = device.lock.withLock({ held in table[held].first(endingAfter: from) }) {
                if let limit, count >= Region.fewEnough, Clock.now() >= limit { return false }
                if (try? unmapLeavingCommit(at: record.start, length: record.length)) != nil { count = count &+ 1 }
                guard let pages = ownedPages(record) else { break }
                from = pages.end
            }
            from = 0
        }
        var pauses = Pauses()
        while let gone = takePiece(from: &from) {
            count = count &+ gone
            let now = Clock.now()
            if let limit, count >= Region.fewEnough, now >= limit { return false }
            pauses.takeOneIfDue(now)
        }
        count = count &+ takeAll()
        return true
    }

    /// Takes out the rest, and releases its objects. The close of a file may wait, so no lock is held for that.
    private func takeAll() -> UInt64 {
        switch device.lock.withLock({ held in takeAllOut(held) }) {
        case .nothing: return 0
        case .all(let gone):
            gone.forEachRecord { MappingWord(bits: $0.word).release() }
            device.lock.withLock { held in table[held].recycle(gone) }
            return gone.count
        case .refused:
            // The kernel will not replace the whole window at once, so each mapping goes by itself, as far as possible.
            var count: UInt64 = 0
            forEachRecord { record in
                let subject = ShmemError.Subject.unmap(shmid: shmid, offset: record.start, length: record.length)
                let gone = device.lock.withLock { held -> MappingRecord? in
                    guard let now = table[held].find(at: record.start), now.isSame(as: record) else { return nil }
                    return (try? takeOut(now, subject, held)) != nil ? now : nil
                }
                guard let gone else { return }
                MappingWord(bits: gone.word).release()
                count = count &+ 1
            }
            return count
        }
    }

    // MARK: Changes

    /// Puts the mappings back, because their memory did not go.
    @inline(never)
    func putBack(_ record: MappingRecord, _ held: Held) {
        guard case .done = table[held].insert(record), let pages = ownedPages(record) else { return }
        index[held].add(pages, writable: MappingWord(bits: record.word).isWritable)
        if !followers[held].isEmpty { try? tellFollowers(of: record, pages, held) }
    }

    /// Takes a record out and makes its pages a hole again. The caller must release the record's object, without the lock.
    @_optimize(speed)
    func takeOut(_ record: MappingRecord, _ subject: ShmemError.Subject, _ held: Held) throws(ShmemError) {
        guard let pages = ownedPages(record) else { return }
        if !followers[held].isEmpty { forgetByFollowers(record, held) }
        index[held].remove(pages)
        guard let (removed, isBeside) = table[held].removeCounting(at: record.start) else { return }
        let tail = unsafe makeTail(removed, held)
        defer { unsafe dropTail(tail) }
        if !device.undumped[held].isEmpty { device.undumped[held].leaveOut() }
        // No reader finds it any more: now the memory may go.
        let cost = separateMappings(for: pages, isBeside: isBeside)
        do throws(Errno) {
            settle(cost, try window.clear(pages, held), held)
        } catch {
            putBack(removed, held)
            throw ShmemError(error.code, subject, .system("mmap", error.code))
        }
        forget(removed, pages, held)
        if !covers[held].isEmpty { forgetCovers(in: pages.start..<pages.end, held) }
        letLargeFileGo(removed, held)
        census[held].count()
        if table[held].count == 0 { index[held].release() }
    }

    /// Takes out a record whose memory is gone already.
    func takeOutRecord(_ record: MappingRecord, _ pages: ByteRange, _ held: Held) -> MappingRecord? {
        guard let (removed, isBeside) = table[held].removeCounting(at: record.start) else { return nil }
        ProcessBudget.give(separateMappings(for: pages, isBeside: isBeside))
        forget(removed, pages, held)
        forgetCovers(in: pages.start..<pages.end, held)
        letLargeFileGo(removed, held)
        return removed
    }

    enum TakenOut {
        case nothing
        /// The caller must release them, and then recycle them.
        case all(MappingTable.Detached)
        /// The kernel refused. Nothing has changed.
        case refused
    }

    /// Makes the whole window a hole again.
    func takeAllOut(isEnd: Bool = false, _ held: Held) -> TakenOut {
        // Bytes that a guest wrote into holes go as well: a reset leaves nothing of them. And holes that have not merged do so
        // now.
        guard quota[held].mappings > 0 || !covers[held].isEmpty || census[held].hasChanged else { return .nothing }
        if !followers[held].isEmpty { forgetAllByFollowers(held) }
        device.undumped[held].leaveOut()
        let tails = unsafe makeTails(held)
        defer { unsafe tails.forEach { unsafe dropTail($0) } }
        // No reader finds them any more; then the memory goes.
        forEachRecord(held) { record, pages in index[held].remove(pages) }
        let gone = table[held].detachAll()
        // A window that goes in a moment need not be cleared, unless files would go with it.
        var cleared: RegionWindow.Clearing? = .isHole
        if !isEnd || !device.largeFiles[held].isEmpty { cleared = (try? window.clearAll(held)) ?? (isEnd ? .isHole : nil) }
        guard let cleared else {
            if let gone { table[held].reattach(gone) }
            forEachRecord(held) { record, pages in
                index[held].add(pages, writable: MappingWord(bits: record.word).isWritable)
                if !followers[held].isEmpty { try? tellFollowers(of: record, pages, held) }
            }
            return .refused
        }
        forgetCovers(in: 0..<size, held)
        var cost = 0
        var last: UInt64 = 0
        gone?.forEachRecord { record in
            guard let pages = ownedPages(record) else { return }
            // This counts as if they went from the last to the first: each is next to the one before it, if they touch.
            cost = cost &+ separateMappings(for: pages, isBeside: last > 0 && pages.start == last ? 1 : 0)
            last = pages.end
            forget(record, pages, held)
            letLargeFileGo(record, held)
        }
        if cleared == .isHole {
            ProcessBudget.give(cost)
            census[held].forgetKept()
            census[held].hasChanged = false
        } else {
            census[held].keep(cost)
        }
        index[held].release()
        return gone.map { .all($0) } ?? .nothing
    }

    /// Gives the budget of cleared memory back. If the window has kept the memory, or could not clear it, the census notes the
    /// cost.
    @inline(__always)
    func settle(_ cost: Int, _ cleared: RegionWindow.Clearing?, _ held: Held) {
        if cleared == .isHole { ProcessBudget.give(cost) } else { census[held].keep(cost) }
    }

    /// Updates the counts when a record has left the table, and its object.
    @_optimize(speed)
    func forget(_ record: MappingRecord, _ pages: ByteRange, _ held: Held) {
        let word = MappingWord(bits: record.word)
        if word.isBroken || word.hasZeroTail { forgetBrokenness(of: record, held) }
        quota[held].remove(pages.length)
        device.quota[held].remove(pages.length)
        word.becomeGone()
    }

    /// Calls `body` for each live mapping. It changes no record.
    func forEachRecord(_ held: Held, _ body: (MappingRecord, ByteRange) -> Void) {
        var next = table[held].first(endingAfter: 0)
        while let record = next, let pages = ownedPages(record) {
            body(record, pages)
            next = table[held].first(endingAfter: pages.end)
        }
    }
}
