// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// How a mapping comes.
extension Region {
    /// Maps a range of a file; it can be read through the window, by a guest too, when the call returns.
    ///
    /// `fd` is needed during the call only and stays the caller's. `fileOffset` and `offset` are multiples of the page size (of the
    /// huge page size for a hugetlb file); `length` need not be, but the mapping owns all of its last page.
    ///
    /// When it throws, nothing has changed: EINVAL (alignment, a length of 0, a range that wraps around or ends beyond the region),
    /// EEXIST (it overlaps a live mapping), EOVERFLOW (whole pages would lie beyond the end of the file), EBADF, EACCES (`fd` is not
    /// open for it, or kept out by the policy), EPERM (seals), ENODEV (not a file that can be mapped), EOPNOTSUPP (the kernel cannot put
    /// it into a window), ENOSPC (a quota), ENOMEM, ESHUTDOWN (the device is gone).
    public func map(
        fd: Int32, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64, writable: Bool = false
    ) throws(ShmemError) {
        try map(fd: fd, fileOffset: fileOffset, at: offset, length: length, flags: writable ? SharedMemoryMap.readWrite : 0)
        commit()
    }

    /// A map whose file and range were looked at.
    struct MapIntent: ~Copyable {
        let fd: Int32
        let plan: FilePlan
        /// Bytes, as they were asked for.
        let length: UInt64
        let isWritable: Bool
        /// Advice about core dumps is given later, for several at once.
        let isBatched: Bool
        let mayReplace: Bool
        let object: Mapping?

        var start: UInt64 { plan.pages.start }
    }

    /// What is left to do when the lock has been let go.
    struct MapFollowUp: OptionSet {
        let rawValue: UInt8
        static let tellObserver = MapFollowUp(rawValue: 1)
        static let takeCensus = MapFollowUp(rawValue: 2)
        static let releaseOld = MapFollowUp(rawValue: 4)
        /// It takes the place of a live one, so it must be mapped elsewhere first. Nothing was done.
        static let prepare = MapFollowUp(rawValue: 8)
    }

    /// What came of putting a mapping in, where something is left to do.
    struct MapResult {
        var record = MappingRecord(start: 0, length: 0, fileOffset: 0, word: 0)
        var old: MappingRecord?
    }

    /// Maps, and leaves the commit to the caller, who answers first. With an `object` the mapping is that one. `isBatched`: the caller ends
    /// with `Device.endBatch`.
    @_optimize(speed)
    func map(
        fd: Int32, fileOffset: UInt64, at offset: UInt64, length: UInt64, flags: UInt64, object: Mapping? = nil,
        isBatched: Bool = false, mayReplace: Bool = true
    ) throws(ShmemError) {
        let subject = ShmemError.Subject.map(shmid: id, offset: offset, length: length)
        let range = try checkedRange(offset, length, subject)
        guard flags & ~SharedMemoryMap.readWrite == 0 else { throw ShmemError(EINVAL, subject, .unknownFlags(flags)) }
        let writable = flags & SharedMemoryMap.readWrite != 0
        let plan = try options.filePolicy.plan(
            fd: fd, fileOffset: fileOffset, range: range, writable: writable, populate: options.populate, for: subject)
        var object = object
        if options.keepsFiles, object == nil { object = try keeper(fd: fd, fileOffset, range, writable) }
        let intent = MapIntent(
            fd: fd, plan: plan, length: length, isWritable: writable, isBatched: isBatched,
            mayReplace: mayReplace && options.replaces, object: object)
        var result = MapResult()
        let followUp = plan.canMapInPlace ? try placeInPlace(intent, &result) : .prepare
        if !followUp.isEmpty || object != nil { try goOn(intent, followUp, &result) }
    }

    @inline(__always)
    private func placeInPlace(_ intent: borrowing MapIntent, _ result: inout MapResult) throws(ShmemError) -> MapFollowUp {
        var nothing: PreparedMapping?
        do throws(ShmemError) {
            return try device.lock.withLock { held throws(ShmemError) in try place(intent, &nothing, &result, held) }
        } catch {
            return try placeAgain(intent, &nothing, &result, after: error)
        }
    }

    /// If the number of separate mappings stood in the way, they are counted before that is believed.
    @inline(never)
    private func placeAgain(
        _ intent: borrowing MapIntent, _ prepared: inout PreparedMapping?, _ result: inout MapResult, after error: ShmemError
    ) throws(ShmemError) -> MapFollowUp {
        guard wantsCensus(after: error) else { throw error }
        takeCensus()
        return try device.lock.withLock { held throws(ShmemError) in try placeSlowly(intent, &prepared, &result, held) }
    }

    @inline(never)
    private func placeSlowly(
        _ intent: borrowing MapIntent, _ prepared: inout PreparedMapping?, _ result: inout MapResult, _ held: Held
    ) throws(ShmemError) -> MapFollowUp {
        try place(intent, &prepared, &result, held)
    }

    /// What is done with no lock held: the close of a file may wait, and so may a file's own mmap.
    @inline(never)
    private func goOn(
        _ intent: borrowing MapIntent, _ first: MapFollowUp, _ result: inout MapResult
    ) throws(ShmemError) {
        var followUp = first
        if followUp.contains(.prepare) { followUp = try placePrepared(intent, &result) }
        if let object = intent.object, !options.keepsFiles { object.letFileGo() }
        if followUp.contains(.tellObserver) { announce(result.record, inPlaceOf: result.old) }
        if followUp.contains(.releaseOld), let old = result.old { MappingWord(bits: old.word).release() }
        if followUp.contains(.takeCensus) { takeCensus() }
    }

    @inline(never)
    private func placePrepared(_ intent: borrowing MapIntent, _ result: inout MapResult) throws(ShmemError) -> MapFollowUp {
        // What is refused whatever the file says is refused before the file is asked.
        try device.lock.withLock { held throws(ShmemError) in try checkRoom(for: intent, held) }
        var prepared: PreparedMapping?
        do throws(Errno) {
            prepared = try PreparedMapping.make(fd: intent.fd, intent.plan, advice: advice)
        } catch {
            throw mapError(error, intent)
        }
        // What is left of it when it is refused goes without the lock, too.
        do throws(ShmemError) {
            return try device.lock.withLock { held throws(ShmemError) in try placeSlowly(intent, &prepared, &result, held) }
        } catch {
            guard prepared != nil else { throw error }
            return try placeAgain(intent, &prepared, &result, after: error)
        }
    }

    private var advice: Int32? { options.hugePages ? MADV_HUGEPAGE : nil }

    private func subject(_ intent: borrowing MapIntent) -> ShmemError.Subject {
        .map(shmid: id, offset: intent.start, length: intent.length)
    }

    @inline(never)
    private func mapError(_ error: Errno, _ intent: borrowing MapIntent) -> ShmemError {
        let plan = intent.plan
        let subject = subject(intent)
        switch error.code {
        case EACCES: return ShmemError(EACCES, subject, .notOpenFor(intent.isWritable ? "writing" : "reading"))
        case EPERM where plan.isLocal: return ShmemError(EPERM, subject, .sealed)
        // A file in memory, or of a local disk, needs nothing of the kernel but one more mapping.
        case ENOMEM where plan.isLocal && plan.pageSize == Page.size:
            return ShmemError(ENOSPC, subject, .kernelBudget)
        case EOPNOTSUPP: return ShmemError(EOPNOTSUPP, subject, .cannotBeMoved(pageSize: plan.pageSize))
        default: return ShmemError(error.code, subject, .system("mmap", error.code))
        }
    }

    /// Finds a free range and maps there. Returns the range's offset in the region.
    ///
    /// `alignment`: of that offset, a power of two and no less than the page size; 0 is the file's page size. Throws what `map` does, and
    /// ENOSPC where no free range is large enough.
    public func allocate(
        fd: Int32, fileOffset: UInt64 = 0, length: UInt64, alignment: UInt64 = 0, writable: Bool = false
    ) throws(ShmemError) -> UInt64 {
        try allocate(
            fd: fd, fileOffset: fileOffset, length: length, alignment: alignment,
            flags: writable ? SharedMemoryMap.readWrite : 0)
    }

    func allocate(
        fd: Int32, fileOffset: UInt64, length: UInt64, alignment: UInt64, flags: UInt64
    ) throws(ShmemError) -> UInt64 {
        let subject = ShmemError.Subject.alloc(shmid: id, length: length)
        guard alignment == 0 || alignment.isPowerOfTwo && alignment >= Page.size else {
            throw ShmemError(EINVAL, subject, .badAlignment(alignment, pageSize: Page.size))
        }
        guard length > 0 else { throw ShmemError(EINVAL, subject, .zeroLength) }
        let align = alignment == 0 ? FilePolicy.pageSize(of: fd) : alignment
        guard let pages = ByteRange(start: 0, length: length)?.roundedUp(to: Page.size), pages.length <= size else {
            throw ShmemError(ENOSPC, subject, .noFreeRange(size: size))
        }
        while true {
            let free = device.lock.withLock { held in
                table[held].firstGap(of: pages.length, alignment: align, in: size, from: 0)
            }
            guard let free else { throw ShmemError(ENOSPC, subject, .noFreeRange(size: size)) }
            do throws(ShmemError) {
                try map(fd: fd, fileOffset: fileOffset, at: free, length: length, flags: flags, mayReplace: false)
                commit()
                return free
            } catch {
                // The lock is not held while the file is looked at: another thread may have taken the range. Then look again.
                if case .overlap = error.reason { continue }
                throw error
            }
        }
    }

    /// Makes a mapping live that was described before. Throws what `map` does, EINVAL for one that was made for a region with another
    /// id, and EBUSY for one that was added before.
    public func add(_ mapping: Mapping) throws(ShmemError) {
        let it = mapping.description
        guard it.shmid == id else {
            throw ShmemError(
                EINVAL, .map(shmid: id, offset: it.offset, length: it.length), .text("it was made for region \(it.shmid)"))
        }
        guard mapping.claim() else {
            throw ShmemError(
                EBUSY, .map(shmid: id, offset: it.offset, length: it.length), .text("it was added to a region before"))
        }
        do throws(ShmemError) {
            try map(
                fd: mapping.fd, fileOffset: it.fileOffset, at: it.offset, length: it.length,
                flags: it.isWritable ? SharedMemoryMap.readWrite : 0, object: mapping)
        } catch {
            mapping.unclaim()
            throw error
        }
        commit()
    }

    // MARK: With the lock held

    @_optimize(speed)
    @inline(__always)
    private func place(
        _ intent: borrowing MapIntent, _ prepared: inout PreparedMapping?, _ result: inout MapResult, _ held: Held
    ) throws(ShmemError) -> MapFollowUp {
        if device.isGone[held] { throw ShmemError(ESHUTDOWN, subject(intent), .deviceGone) }
        let pages = intent.plan.pages
        guard pages.end <= size else { throw ShmemError(EINVAL, subject(intent), .beyondEnd(size: size)) }
        let place: Int
        let cost: Int
        switch table[held].place(for: pages.start, last: pages.end &- 1) {
        case .taken(let other): return try replace(other, by: intent, &prepared, &result, held)
        case .free(let found, let isBeside):
            place = found
            cost = separateMappings(for: pages, isBeside: isBeside)
        }
        if let shortage = quota[held].shortage(for: pages.length) {
            throw ShmemError(ENOSPC, subject(intent), .quota(shortage, of: "region"))
        }
        if let shortage = device.quota[held].shortage(for: pages.length) {
            throw ShmemError(ENOSPC, subject(intent), .quota(shortage, of: "device"))
        }
        switch ProcessBudget.take(cost) {
        case .taken: break
        case .takenAndMeasureDue: census[held].makeDue()
        case .refused: throw ShmemError(ENOSPC, subject(intent), .processBudget(limit: ProcessBudget.limit))
        }
        let isInDumps: Bool
        do throws(Errno) {
            isInDumps = try placeMemory(intent, &prepared, held)
        } catch {
            ProcessBudget.give(cost)
            throw mapError(error, intent)
        }
        // The memory is there: from the insertion on, translate finds it.
        let record = makeRecord(intent, held)
        if !followers[held].isEmpty { try tellFollowers(of: record, pages, cost: cost, held) }
        guard case .done = table[held].insert(record, at: place) else {
            forgetByFollowers(record, held)
            undo(record, pages, cost: cost, held)
            throw ShmemError(ENOMEM, subject(intent), .system("recording the mapping", ENOMEM))
        }
        index[held].add(pages, writable: intent.isWritable)
        if isInDumps {
            device.undumped[held].append(window.baseAddress + Int(clamping: pages.start), Int(clamping: pages.length))
        }
        if let object = intent.object { object.becomeLive(at: window.baseAddress + Int(clamping: pages.start)) }
        if !covers[held].isEmpty { forgetCovers(in: pages.start..<pages.end, held) }
        quota[held].add(pages.length)
        device.quota[held].add(pages.length)
        census[held].count()
        return followUp(record, nil, &result, held)
    }

    /// Throws what `place` would throw of the range and the quotas.
    private func checkRoom(for intent: borrowing MapIntent, _ held: Held) throws(ShmemError) {
        if device.isGone[held] { throw ShmemError(ESHUTDOWN, subject(intent), .deviceGone) }
        let pages = intent.plan.pages
        guard pages.end <= size else { throw ShmemError(EINVAL, subject(intent), .beyondEnd(size: size)) }
        if case .taken(let other) = table[held].place(for: pages.start, last: pages.end &- 1) {
            guard canReplace(other, by: intent) else { throw ShmemError(EEXIST, subject(intent), .overlap(other)) }
            return
        }
        if let shortage = quota[held].shortage(for: pages.length) {
            throw ShmemError(ENOSPC, subject(intent), .quota(shortage, of: "region"))
        }
        if let shortage = device.quota[held].shortage(for: pages.length) {
            throw ShmemError(ENOSPC, subject(intent), .quota(shortage, of: "device"))
        }
    }

    private func canReplace(_ old: MappingRecord, by intent: borrowing MapIntent) -> Bool {
        intent.mayReplace && old.start == intent.start && old.length == intent.length && ownedPages(old) == intent.plan.pages
            && !old.facts.isLeaving
    }

    @inline(__always)
    private func followUp(_ record: MappingRecord, _ old: MappingRecord?, _ result: inout MapResult, _ held: Held)
        -> MapFollowUp
    {
        guard observer[held] != nil || census[held].isDue || old != nil else { return [] }
        var all: MapFollowUp = old == nil ? [] : .releaseOld
        if observer[held] != nil { all.insert(.tellObserver) }
        if census[held].isDue { all.insert(.takeCensus) }
        result.record = record
        result.old = old
        return all
    }

    @inline(__always)
    private func placeMemory(_ intent: borrowing MapIntent, _ prepared: inout PreparedMapping?, _ held: Held) throws(Errno)
        -> Bool
    {
        if intent.plan.canMapInPlace {
            return try window.place(
                fd: intent.fd, over: intent.plan.pages, plan: intent.plan, advice: advice, isBatched: intent.isBatched, held)
        }
        guard let ready = prepared.take() else { return false }
        var wasLost = false
        try window.place(ready, at: intent.start, wasLost: &wasLost, held)
        return false
    }

    @inline(__always)
    private func makeRecord(_ intent: borrowing MapIntent, _ held: Held) -> MappingRecord {
        let identity = MappingIdentity(
            generation: device.nextGeneration(held), isLocal: intent.plan.isLocal,
            hasHugePages: intent.plan.pageSize != Page.size, pagesInFile: intent.plan.pagesInFile)
        return MappingRecord(
            start: intent.start, length: intent.length, fileOffset: UInt64(truncatingIfNeeded: intent.plan.fileOffset),
            word: MappingWord(writable: intent.isWritable, retaining: intent.object).bits, identity: identity.bits)
    }

    @inline(never)
    private func tellFollowers(of record: MappingRecord, _ pages: ByteRange, cost: Int, _ held: Held) throws(ShmemError) {
        do throws(ShmemError) {
            try tellFollowers(of: record, pages, held)
        } catch {
            undo(record, pages, cost: cost, held)
            throw error
        }
    }

    /// The memory of a mapping that is not to be goes again.
    @inline(never)
    private func undo(_ record: MappingRecord, _ pages: ByteRange, cost: Int, _ held: Held) {
        MappingWord(bits: record.word).release()
        if (try? window.clear(pages, held)) == .isHole { ProcessBudget.give(cost) } else { census[held].keep(cost) }
    }

    /// Puts a mapping in the place of one that is just as long, in one step.
    @inline(never)
    private func replace(
        _ old: MappingRecord, by intent: borrowing MapIntent, _ prepared: inout PreparedMapping?, _ result: inout MapResult,
        _ held: Held
    ) throws(ShmemError) -> MapFollowUp {
        let pages = intent.plan.pages
        guard canReplace(old, by: intent) else { throw ShmemError(EEXIST, subject(intent), .overlap(old)) }
        guard let ready = prepared.take() else { return .prepare }
        let before = MappingWord(bits: old.word)
        let record = makeRecord(intent, held)
        // Whoever may write no more must not be told otherwise while the memory changes.
        index[held].remove(pages)
        let mayNoLongerWrite = before.isWritable && !intent.isWritable
        if mayNoLongerWrite { table[held].setWord(at: old.start, to: before.readOnly.bits) }
        if !device.undumped[held].isEmpty { device.undumped[held].leaveOut() }
        var wasLost = false
        do throws(ShmemError) {
            try exchangeByFollowers(old, for: record, held)
            do throws(Errno) {
                try window.place(ready, at: pages.start, wasLost: &wasLost, held)
            } catch {
                if !wasLost { try? exchangeByFollowers(record, for: old, held) }
                throw mapError(error, intent)
            }
        } catch {
            MappingWord(bits: record.word).release()
            if wasLost {
                // The kernel had unmapped the old one before it failed.
                forgetByFollowers(record, held)
                Log.critical(
                    "the mapping at \(hex(old.start)) of region \(id) was lost: the kernel had no memory to replace it")
                if let gone = takeOutRecord(old, pages, held) { MappingWord(bits: gone.word).release() }
            } else {
                if mayNoLongerWrite { table[held].setWord(at: old.start, to: old.word) }
                index[held].add(pages, writable: before.isWritable)
            }
            throw error
        }
        forgetBrokenness(of: old, held)
        forgetCovers(in: pages.start..<pages.end, held)
        table[held].replace(with: record)
        index[held].add(pages, writable: intent.isWritable)
        before.becomeGone()
        if let object = intent.object { object.becomeLive(at: window.baseAddress + Int(clamping: record.start)) }
        quota[held].remove(pages.length)
        quota[held].add(pages.length)
        device.quota[held].remove(pages.length)
        device.quota[held].add(pages.length)
        census[held].count()
        return followUp(record, old, &result, held)
    }
}
