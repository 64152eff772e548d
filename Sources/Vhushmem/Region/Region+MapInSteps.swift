// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The part of a map that is not done at once, behind `goOn`: files that may wait or refuse, maps that replace a live mapping,
/// objects that hold a mapping, observers, and refusals.
extension Region {
    /// Does what needs no lock: the close of a file may wait, and so may a file's own mmap. `refusal`: the outcome of the
    /// attempt at once.
    @inline(never)
    func goOn(
        _ intent: MapIntent, _ object: Mapping?, _ quick: Quick, _ refusal: ShmemError?
    ) throws(ShmemError) {
        if case .doneAndCensusDue = quick { return goOnWithCensus() }
        defer { Log.tellWaiting() }
        var object = object
        if options.keepsFiles, object == nil { object = try keeper(of: intent) }
        if !intent.plan.isLocal { device.noteRemoteFile() }
        var afterwards = intent.plan.canMapInPlace ? try placeInPlace(intent, object, after: refusal) : .prepare
        if case .prepare = afterwards { afterwards = try placePrepared(intent, object) }
        if let object, !options.keepsFiles { object.letFileGo() }
        if options.populate { populateBeginning(of: intent.plan) }
        guard case .conclude(let record, let old, let isWatched, let isCensusDue) = afterwards else { return }
        if isWatched { announce(record, inPlaceOf: old) }
        if let old { MappingWord(bits: old.word).release() }
        if isCensusDue { goOnWithCensus() }
    }

    /// A file that is too large to be populated when it is mapped is populated in part, with no lock held. A kernel before 5.14
    /// cannot do this.
    private func populateBeginning(of plan: FilePlan) {
        guard plan.flags & MAP_POPULATE == 0 else { return }
        let length = min(plan.pages.length, options.maximumPopulated) & ~(Page.size &- 1)
        guard length > 0 else { return }
        // If another thread has undone the mapping meanwhile, this populates as much of what is there now.
        let start = unsafe window.baseAddress + Int(clamping: plan.pages.start)
        try? unsafe MemoryCalls.advise(start, Int(clamping: length), vhu_madv_populate_read)
    }

    /// The object of a mapping whose file must be kept. The object of a replaced mapping gives its share back.
    private func keeper(of intent: MapIntent) throws(ShmemError) -> Mapping {
        let isExchange =
            options.replaces
            && device.lock.withLock { held in
                guard case .taken(let other) = room(for: intent, held) else { return false }
                return canReplace(other, by: intent)
            }
        let share = try KeptFile.take(of: device.keptFiles, for: intent.request, isExchange: isExchange)
        let mapping = try Mapping(intent.request, fd: intent.fd, of: device.closes, counted: share)
        _ = mapping.claim()
        return mapping
    }

    private func placeInPlace(
        _ intent: MapIntent, _ object: Mapping?, after refusal: ShmemError?
    ) throws(ShmemError) -> Afterwards {
        var nothing: PreparedMapping?
        if let refusal { return try placeAgain(intent, object, &nothing, after: refusal) }
        do throws(ShmemError) {
            return try device.lock.withLock { held throws(ShmemError) in try place(intent, object, &nothing, held) }
        } catch {
            return try placeAgain(intent, object, &nothing, after: error)
        }
    }

    private func placePrepared(_ intent: MapIntent, _ object: Mapping?) throws(ShmemError) -> Afterwards {
        // A request that is refused whatever the file is must be refused before the file is asked.
        try device.lock.withLock { held throws(ShmemError) in _ = try claimRoom(for: intent, held) }
        var prepared: PreparedMapping?
        do throws(Errno) {
            prepared = try PreparedMapping.make(fd: intent.fd, intent.plan)
        } catch {
            throw self.refusal(.kernel(error, isLocal: intent.plan.isLocal, pageSize: intent.plan.pageSize), intent.request)
        }
        // The rest of a refused mapping goes without the lock, too.
        do throws(ShmemError) {
            return try device.lock.withLock { held throws(ShmemError) in try place(intent, object, &prepared, held) }
        } catch {
            guard prepared != nil else { throw error }
            return try placeAgain(intent, object, &prepared, after: error)
        }
    }

    /// If the number of separate mappings is the obstacle, they are counted before the error is believed.
    private func placeAgain(
        _ intent: MapIntent, _ object: Mapping?, _ prepared: inout PreparedMapping?, after error: ShmemError
    ) throws(ShmemError) -> Afterwards {
        guard wantsCensus(after: error) else { throw error }
        takeCensus()
        return try device.lock.withLock { held throws(ShmemError) in try place(intent, object, &prepared, held) }
    }

    @inline(never)
    private func place(
        _ intent: MapIntent, _ object: Mapping?, _ prepared: inout PreparedMapping?, _ held: Held
    ) throws(ShmemError) -> Afterwards {
        switch try claimRoom(for: intent, held) {
        case .insteadOf(let old): return try replace(old, by: intent, object, &prepared, held)
        case .free(let spot):
            let record = try put(intent, object, &prepared, in: spot, held)
            return conclusion(record, inPlaceOf: nil, held)
        }
    }

    func conclusion(_ record: MappingRecord, inPlaceOf old: MappingRecord?, _ held: Held) -> Afterwards {
        .conclude(record, old: old, isWatched: observer[held] != nil, isCensusDue: census[held].isDue)
    }

    private enum Claim {
        case free(Spot)
        case insteadOf(MappingRecord)
    }

    /// Throws the obstacle.
    private func claimRoom(for intent: MapIntent, _ held: Held) throws(ShmemError) -> Claim {
        switch room(for: intent, held) {
        case .free(let spot): return .free(spot)
        case .taken(let other):
            guard canReplace(other, by: intent) else { throw refusal(.overlap(other), intent.request) }
            return .insteadOf(other)
        case .refused(let obstacle): throw refusal(obstacle, intent.request)
        }
    }

    /// Returns the record's word. It has an object from here on if the region's mappings are listed.
    @inline(never)
    func tellFollowers(
        of made: MappingRecord, _ pages: ByteRange, cost: Int, _ held: Held
    ) throws(ShmemError) -> UInt64 {
        let record = listed(made, held)
        do throws(ShmemError) {
            try tellFollowers(of: record, pages, held)
            return record.word
        } catch {
            undo(record, pages, cost: cost, held)
            throw error
        }
    }

    /// Takes back the memory of a mapping that fails.
    @inline(never)
    func undo(_ record: MappingRecord, _ pages: ByteRange, cost: Int, _ held: Held) {
        MappingWord(bits: record.word).release()
        defer { letLargeFileGo(record, held) }
        settle(cost, try? window.clear(pages, held), held)
    }

    /// The obstacle to a map.
    enum Obstacle {
        case deviceGone, beyondEnd, processBudget, noMemory
        case overlap(MappingRecord)
        case quota(Quota.Shortage, of: StaticString)
        case kernel(Errno, isLocal: Bool, pageSize: UInt64)
    }

    @inline(never)
    func refusal(_ obstacle: Obstacle, _ request: SharedMemoryMap) -> ShmemError {
        let subject = request.mapSubject
        switch obstacle {
        case .deviceGone: return ShmemError(ESHUTDOWN, subject, .deviceGone)
        case .beyondEnd: return ShmemError(EINVAL, subject, .beyondEnd(size: size))
        case .processBudget: return ShmemError(ENOSPC, subject, .processBudget(limit: ProcessBudget.limit))
        case .noMemory: return ShmemError(ENOMEM, subject, .system("cannot record the mapping", ENOMEM))
        case .overlap(let other): return ShmemError(EEXIST, subject, .overlap(other))
        case .quota(let shortage, let owner): return ShmemError(ENOSPC, subject, .quota(shortage, of: owner))
        case .kernel(let error, let isLocal, let pageSize):
            switch error.code {
            case EACCES: return ShmemError(EACCES, subject, .notOpenFor(request.flags != 0 ? "writing" : "reading"))
            case EPERM where isLocal: return ShmemError(EPERM, subject, .sealed)
            // A file in memory, or of a local disk, needs from the kernel only one more mapping.
            case ENOMEM where isLocal && pageSize == Page.size: return ShmemError(ENOSPC, subject, .kernelBudget)
            case EOPNOTSUPP: return ShmemError(EOPNOTSUPP, subject, .cannotBeMoved(pageSize: pageSize))
            default: return ShmemError(error.code, subject, .system("mmap", error.code))
            }
        }
    }
}

extension SharedMemoryMap {
    /// The subject of a map's errors.
    var mapSubject: ShmemError.Subject { .map(shmid: shmid, offset: offset, length: length) }
}
