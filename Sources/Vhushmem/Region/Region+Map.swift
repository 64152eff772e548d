// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// How a mapping comes: the way of a SHMEM_MAP below the channel, in order.
///
/// 1. `Device.carryOutMap` (Device.swift) finds the region by its id.
/// 2. `map` checks what is asked for: the range and the flags.
/// 3. `FilePolicy.plan` (FilePolicy.swift) looks at the file, and says how it is to be mapped and which pages the mapping owns.
/// 4. `place` runs with the device's lock held. `room` finds the place in the table (MappingTable+Mutation.swift) and asks the quotas; then
///    the process's budget is asked.
/// 5. `Window.place` (Window.swift) has the kernel map the file. (A file that may wait, or refuse, was mapped elsewhere before, with no lock
///    held: `placePrepared`. So was what takes the place of a live mapping: +Replace.)
/// 6. The record goes into the table, and from then on `translate` finds it; then its pages into the index, and the books are kept.
/// 7. `goOn`, with no lock held: observers are told. As a rule there is nothing to do.
///
/// The answer, and behind it `commit`, are the caller's. +Add: other ways to come to step 2.
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
        let flags = writable ? SharedMemoryMap.readWrite : 0
        try map(SharedMemoryMap(shmid: id, fileOffset: fileOffset, offset: offset, length: length, flags: flags), fd: fd)
        commit()
    }

    /// What the caller wants besides.
    struct MapOptions: OptionSet {
        let rawValue: UInt8
        /// Advice about core dumps is given later, for several at once: the caller ends with `Device.endBatch`.
        static let isBatched = MapOptions(rawValue: 1)
        /// It takes the place of no other, though the region's options allow it.
        static let replacesNothing = MapOptions(rawValue: 2)
    }

    /// A map whose file and range were looked at.
    struct MapIntent {
        let request: SharedMemoryMap
        let fd: Int32
        let plan: FilePlan
        let options: MapOptions

        var isWritable: Bool { request.flags & SharedMemoryMap.readWrite != 0 }
        var subject: ShmemError.Subject { request.mapSubject }
    }

    /// What is left to do when the lock has been let go.
    enum Afterwards {
        case nothing
        /// It takes the place of a live one, so it must be mapped elsewhere first. Nothing was done.
        case prepare
        case conclude(Conclusion)
    }

    struct Conclusion {
        let record: MappingRecord
        /// What it took the place of.
        let old: MappingRecord?
        /// There was an observer. One that has come since is told by whoever made it one.
        let isWatched: Bool
        let isCensusDue: Bool
    }

    /// Maps, and leaves the commit to the caller, who answers first. With an `object` the mapping is that one.
    @_optimize(speed)
    @inline(never)
    func map(
        _ request: SharedMemoryMap, fd: Int32, _ how: MapOptions = [], object: Mapping? = nil
    ) throws(ShmemError) {
        let range = try checkedRange(request.offset, request.length, request.mapSubject)
        guard request.flags & ~SharedMemoryMap.readWrite == 0 else {
            throw ShmemError(EINVAL, request.mapSubject, .unknownFlags(request.flags))
        }
        let plan = try options.filePolicy.plan(request, range, fd: fd, populate: options.populate)
        var object = object
        if options.keepsFiles, object == nil { object = try keeper(of: request, fd: fd) }
        let intent = MapIntent(request: request, fd: fd, plan: plan, options: how)
        var afterwards = Afterwards.prepare
        if plan.canMapInPlace {
            var nothing: PreparedMapping?
            do throws(ShmemError) {
                afterwards = try device.lock.withLock { held throws(ShmemError) in try place(intent, object, &nothing, held) }
            } catch {
                afterwards = try placeAgain(intent, object, &nothing, after: error)
            }
        }
        if case .nothing = afterwards, object == nil { return }
        try goOn(intent, object, afterwards)
    }

    /// What both requests demand of their range.
    @inline(__always)
    func checkedRange(
        _ offset: UInt64, _ length: UInt64, _ subject: @autoclosure () -> ShmemError.Subject
    ) throws(ShmemError) -> ByteRange {
        guard length > 0, offset.isMultiple(ofPage: Page.size), let range = ByteRange(start: offset, length: length),
            range.end <= size
        else { throw fault(of: offset, length, subject()) }
        return range
    }

    /// Why a request's range can't be one.
    @inline(never)
    private func fault(of offset: UInt64, _ length: UInt64, _ subject: ShmemError.Subject) -> ShmemError {
        if length == 0 { return ShmemError(EINVAL, subject, .zeroLength) }
        guard offset.isMultiple(ofPage: Page.size) else {
            return ShmemError(EINVAL, subject, .unalignedOffset(pageSize: Page.size))
        }
        guard ByteRange(start: offset, length: length) != nil else { return ShmemError(EINVAL, subject, .wrapsAround) }
        return ShmemError(EINVAL, subject, .beyondEnd(size: size))
    }

    /// The object of a mapping whose file is to be kept.
    private func keeper(of request: SharedMemoryMap, fd: Int32) throws(ShmemError) -> Mapping {
        let mapping = try Mapping(request, fd: fd)
        _ = mapping.claim()
        return mapping
    }

    /// If the number of separate mappings stood in the way, they are counted before that is believed.
    @inline(never)
    private func placeAgain(
        _ intent: MapIntent, _ object: Mapping?, _ prepared: inout PreparedMapping?, after error: ShmemError
    ) throws(ShmemError) -> Afterwards {
        guard wantsCensus(after: error) else { throw error }
        takeCensus()
        return try device.lock.withLock { held throws(ShmemError) in try placeSlowly(intent, object, &prepared, held) }
    }

    @inline(never)
    private func placePrepared(_ intent: MapIntent, _ object: Mapping?) throws(ShmemError) -> Afterwards {
        // What is refused whatever the file says is refused before the file is asked.
        try device.lock.withLock { held throws(ShmemError) in _ = try room(for: intent, held) }
        var prepared: PreparedMapping?
        do throws(Errno) {
            prepared = try PreparedMapping.make(fd: intent.fd, intent.plan)
        } catch {
            throw intent.refusal(by: error)
        }
        // What is left of it when it is refused goes without the lock, too.
        do throws(ShmemError) {
            return try device.lock.withLock { held throws(ShmemError) in try placeSlowly(intent, object, &prepared, held) }
        } catch {
            guard prepared != nil else { throw error }
            return try placeAgain(intent, object, &prepared, after: error)
        }
    }

    @inline(never)
    private func placeSlowly(
        _ intent: MapIntent, _ object: Mapping?, _ prepared: inout PreparedMapping?, _ held: Held
    ) throws(ShmemError) -> Afterwards {
        try place(intent, object, &prepared, held)
    }

    /// Puts the mapping in. `prepared`: as it was mapped elsewhere; nil: it was not.
    @_optimize(speed)
    @inline(__always)
    private func place(
        _ intent: MapIntent, _ object: Mapping?, _ prepared: inout PreparedMapping?, _ held: Held
    ) throws(ShmemError) -> Afterwards {
        let pages = intent.plan.pages
        let place: Int
        let cost: Int
        switch try room(for: intent, held) {
        case .insteadOf(let old): return try replace(old, by: intent, object, &prepared, held)
        case .free(let found, let isBeside):
            place = found
            cost = separateMappings(for: pages, isBeside: isBeside)
        }
        switch ProcessBudget.take(cost) {
        case .taken: break
        case .takenAndMeasureDue: census[held].makeDue()
        case .refused: throw ShmemError(ENOSPC, intent.subject, .processBudget(limit: ProcessBudget.limit))
        }
        let isInDumps: Bool
        do throws(Errno) {
            isInDumps = try placeMemory(intent, &prepared, held)
        } catch {
            ProcessBudget.give(cost)
            throw intent.refusal(by: error)
        }
        // The memory is there: from the insertion on, translate finds it.
        let record = record(of: intent, object, held)
        if !followers[held].isEmpty { try tellFollowers(of: record, pages, cost: cost, held) }
        guard table[held].insert(record, at: place) else {
            forgetByFollowers(record, held)
            undo(record, pages, cost: cost, held)
            throw ShmemError(ENOMEM, intent.subject, .system("recording the mapping", ENOMEM))
        }
        index[held].add(pages, writable: intent.isWritable)
        if isInDumps {
            device.undumped[held].append(window.baseAddress + Int(clamping: pages.start), Int(clamping: pages.length))
        }
        if let object { object.becomeLive(at: window.baseAddress + Int(clamping: pages.start)) }
        if !covers[held].isEmpty { forgetCovers(in: pages.start..<pages.end, held) }
        quota[held].add(pages.length)
        device.quota[held].add(pages.length)
        census[held].count()
        return afterwards(record, inPlaceOf: nil, held)
    }

    @inline(__always)
    func afterwards(_ record: MappingRecord, inPlaceOf old: MappingRecord?, _ held: Held) -> Afterwards {
        let isWatched = observer[held] != nil
        let isCensusDue = census[held].isDue
        guard isWatched || isCensusDue || old != nil else { return .nothing }
        return .conclude(Conclusion(record: record, old: old, isWatched: isWatched, isCensusDue: isCensusDue))
    }

    private enum Room {
        /// Nobody owns a page of it. `isBeside`, `index`: as the table says.
        case free(index: Int, isBeside: Int)
        /// It takes the place of this mapping.
        case insteadOf(MappingRecord)
    }

    /// Where the mapping goes. Throws what stands in the way whatever the file says.
    @inline(__always)
    private func room(for intent: MapIntent, _ held: Held) throws(ShmemError) -> Room {
        if device.isGone[held] { throw ShmemError(ESHUTDOWN, intent.subject, .deviceGone) }
        let pages = intent.plan.pages
        guard pages.end <= size else { throw ShmemError(EINVAL, intent.subject, .beyondEnd(size: size)) }
        switch table[held].place(for: pages.start, last: pages.end &- 1) {
        case .taken(let other):
            guard canReplace(other, by: intent) else { throw ShmemError(EEXIST, intent.subject, .overlap(other)) }
            return .insteadOf(other)
        case .free(let index, let isBeside):
            if let shortage = quota[held].shortage(for: pages.length) {
                throw ShmemError(ENOSPC, intent.subject, .quota(shortage, of: "region"))
            }
            if let shortage = device.quota[held].shortage(for: pages.length) {
                throw ShmemError(ENOSPC, intent.subject, .quota(shortage, of: "device"))
            }
            return .free(index: index, isBeside: isBeside)
        }
    }

    /// Returns whether it is still to be left out of core dumps.
    @inline(__always)
    private func placeMemory(
        _ intent: MapIntent, _ prepared: inout PreparedMapping?, _ held: Held
    ) throws(Errno) -> Bool {
        if intent.plan.canMapInPlace {
            let isBatched = intent.options.contains(.isBatched)
            try window.place(fd: intent.fd, intent.plan, isBatched: isBatched, held)
            return isBatched
        }
        guard let ready = prepared.take() else { return false }
        var wasLost = false
        try window.place(ready, at: intent.plan.pages.start, wasLost: &wasLost, held)
        return false
    }

    @inline(__always)
    func record(of intent: MapIntent, _ object: Mapping?, _ held: Held) -> MappingRecord {
        let plan = intent.plan
        let identity = plan.facts.numbered(device.nextGeneration(held))
        return MappingRecord(
            start: plan.pages.start, length: intent.request.length, fileOffset: UInt64(truncatingIfNeeded: plan.fileOffset),
            word: MappingWord(writable: intent.isWritable, retaining: object).bits, identity: identity.bits)
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

    /// What is done with no lock held: the close of a file may wait, and so may a file's own mmap.
    @inline(never)
    private func goOn(_ intent: MapIntent, _ object: Mapping?, _ first: Afterwards) throws(ShmemError) {
        var afterwards = first
        if case .prepare = first { afterwards = try placePrepared(intent, object) }
        if let object, !options.keepsFiles { object.letFileGo() }
        guard case .conclude(let left) = afterwards else { return }
        if left.isWatched { announce(left.record, inPlaceOf: left.old) }
        if let old = left.old { MappingWord(bits: old.word).release() }
        if left.isCensusDue { takeCensus() }
    }
}

extension Region.MapIntent {
    /// What a refusal of the kernel's means.
    @inline(never)
    func refusal(by error: Errno) -> ShmemError {
        switch error.code {
        case EACCES: return ShmemError(EACCES, subject, .notOpenFor(isWritable ? "writing" : "reading"))
        case EPERM where plan.isLocal: return ShmemError(EPERM, subject, .sealed)
        // A file in memory, or of a local disk, needs nothing of the kernel but one more mapping.
        case ENOMEM where plan.isLocal && plan.pageSize == Page.size: return ShmemError(ENOSPC, subject, .kernelBudget)
        case EOPNOTSUPP: return ShmemError(EOPNOTSUPP, subject, .cannotBeMoved(pageSize: plan.pageSize))
        default: return ShmemError(error.code, subject, .system("mmap", error.code))
        }
    }
}

extension SharedMemoryMap {
    /// What an error says of a map.
    var mapSubject: ShmemError.Subject { .map(shmid: shmid, offset: offset, length: length) }
}
