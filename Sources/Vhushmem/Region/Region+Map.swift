// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Makes a mapping: the way of a SHMEM_MAP below the channel, in order.
///
/// 1. `ShmemDevice.carryOutMap` (Device.swift) finds the region by its id.
/// 2. `map` checks the range and the flags of the request.
/// 3. `FilePolicy.plan` (FilePolicy.swift) checks the file, and decides how it is mapped and which pages the mapping owns.
/// 4. `placeAtOnce` runs with the device's lock held. `room` finds the place in the table (MappingTable+Mutation.swift) and
///    asks the quotas.
/// 5. `put` asks the process's budget, then `RegionWindow.place` (Window.swift) has the kernel map the file.
/// 6. The record goes into the table, and from then on `translate` finds it. Then its pages go into the index, and the counts
///    are updated.
/// 7. `goOn`, with no lock held, usually has nothing to do. It does what is not done at once. A file that may wait or refuse is
///    mapped elsewhere first (`placePrepared`), and so is a map that replaces a live mapping (+Replace). Observers are told.
///
/// The caller sends the answer, and calls `commit` after it. +Add has other ways to step 2.
extension Region {
    /// Maps a range of a file. The process, and a guest, can read it through the window when the call returns.
    ///
    /// `fileOffset` and `offset` are multiples of the page size (of the huge page size for a hugetlb file); `length` need not
    /// be, but the mapping owns all of its last page.
    ///
    /// When it throws, nothing has changed.
    ///
    /// - Parameters:
    ///   - fd: the file, which stays the caller's.
    ///   - fileOffset: first byte in the file; a multiple of the page size.
    ///   - offset: first byte in the region; a multiple of the page size.
    ///   - length: bytes.
    ///   - writable: the guest may write to it.
    /// - Throws: EINVAL (alignment, a length of 0, a range that wraps around or ends beyond the region), EEXIST (it overlaps a
    ///   live mapping), EOVERFLOW (whole pages would lie beyond the end of the file), EBADF, EACCES (`fd` does not allow this
    ///   access, or the policy excludes it), EPERM (seals), ENODEV (not a file that can be mapped), EOPNOTSUPP (the kernel
    ///   cannot put it into a window), ENOSPC (a quota), ENOMEM, ESHUTDOWN (the device is gone).
    public func map(
        fd: Int32, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64, writable: Bool = false
    ) throws(ShmemError) {
        let flags = writable ? SharedMemoryMap.readWrite : 0
        let request = SharedMemoryMap(shmid: shmid, fileOffset: fileOffset, offset: offset, length: length, flags: flags)
        try mapForProgram(request, fd: fd)
    }

    /// Further wishes of the caller.
    struct MapOptions: OptionSet {
        let rawValue: UInt8
        /// Advice about core dumps is given later, for several mappings at once: the caller ends with `ShmemDevice.endBatch`.
        static let isBatched = MapOptions(rawValue: 1)
        /// It replaces no mapping, although the region's options allow it.
        static let replacesNothing = MapOptions(rawValue: 2)
    }

    /// A map whose file and range were checked.
    struct MapIntent {
        let request: SharedMemoryMap
        let fd: Int32
        let plan: FilePlan
        let options: MapOptions

        var isWritable: Bool { request.flags & SharedMemoryMap.readWrite != 0 }
    }

    /// The outcome of a map that should be done at once.
    enum Quick {
        case done
        /// The kernel's separate mappings should be counted.
        case doneAndCensusDue
        /// Nothing was done: this map needs more than usual.
        case notDone
    }

    /// The work that is left after the lock was released.
    enum Afterwards {
        /// It replaces a live mapping, so it must be mapped elsewhere first. Nothing was done.
        case prepare
        /// `old`: the replaced mapping. `isWatched`: there was an observer. An observer that has come since hears of the
        /// mapping when it is added.
        case conclude(MappingRecord, old: MappingRecord?, isWatched: Bool, isCensusDue: Bool)
    }

    /// Maps, and leaves the commit to the caller, which answers first. With an `object` the mapping is that one.
    @_optimize(speed)
    @inline(never)
    func map(
        _ request: SharedMemoryMap, fd: Int32, _ how: MapOptions = [], object: Mapping? = nil
    ) throws(ShmemError) {
        let range = try checkedRange(request.offset, request.length, request.mapSubject)
        guard request.flags & ~SharedMemoryMap.readWrite == 0 else {
            throw ShmemError(EINVAL, request.mapSubject, .unknownFlags(request.flags))
        }
        let plan = try options.filePolicy.plan(
            request, range, fd: fd, populate: options.populate && request.length <= options.maximumPopulated)
        let intent = MapIntent(request: request, fd: fd, plan: plan, options: how)
        var quick = Quick.notDone
        var refusal: ShmemError?
        if plan.canMapAtOnce, object == nil, options.isPlain {
            do throws(ShmemError) {
                quick = try device.lock.withLock { held throws(ShmemError) in try placeAtOnce(intent, held) }
            } catch {
                refusal = error
            }
        }
        if case .done = quick { return }
        // It is made once more here. Otherwise it would have to be in memory before it is needed: 30 instructions for each map.
        try goOn(MapIntent(request: request, fd: fd, plan: plan, options: how), object, quick, refusal)
    }

    /// The demands of both requests on their range.
    @inline(__always)
    func checkedRange(
        _ offset: UInt64, _ length: UInt64, _ subject: @autoclosure () -> ShmemError.Subject
    ) throws(ShmemError) -> ByteRange {
        guard length > 0, offset.isMultiple(ofPage: Page.size), let range = ByteRange(start: offset, length: length),
            range.end <= size
        else { throw fault(of: offset, length, subject()) }
        return range
    }

    /// The fault of a request's range.
    @inline(never)
    private func fault(of offset: UInt64, _ length: UInt64, _ subject: ShmemError.Subject) -> ShmemError {
        if length == 0 { return ShmemError(EINVAL, subject, .zeroLength) }
        guard offset.isMultiple(ofPage: Page.size) else {
            return ShmemError(EINVAL, subject, .unalignedOffset(pageSize: Page.size))
        }
        guard ByteRange(start: offset, length: length) != nil else { return ShmemError(EINVAL, subject, .wrapsAround) }
        return ShmemError(EINVAL, subject, .beyondEnd(size: size))
    }

    /// Usually there is no observer, and the mapping replaces no other.
    @inline(__always)
    private func placeAtOnce(_ intent: MapIntent, _ held: Held) throws(ShmemError) -> Quick {
        guard observer[held] == nil, case .free(let spot) = room(for: intent, held) else { return .notDone }
        var nothing: PreparedMapping?
        _ = try put(intent, nil, &nothing, in: spot, isAtOnce: true, held)
        return census[held].isDue ? .doneAndCensusDue : .done
    }

    enum Room {
        case free(Spot)
        /// This mapping owns a page of it.
        case taken(MappingRecord)
        case refused(Obstacle)
    }

    struct Spot {
        /// For `MappingTable.insert`.
        let index: Int
        /// How many more separate mappings the kernel has then.
        let cost: Int
    }

    /// The place of the mapping, or the obstacle, whatever the file is.
    @inline(__always)
    func room(for intent: MapIntent, _ held: Held) -> Room {
        if device.isGone[held] { return .refused(.deviceGone) }
        let pages = intent.plan.pages
        guard pages.end <= size else { return .refused(.beyondEnd) }
        switch table[held].place(for: pages.start, last: pages.end &- 1) {
        case .taken(let other): return .taken(other)
        case .free(let index, let isBeside):
            if let shortage = quota[held].shortage(for: pages.length) { return .refused(.quota(shortage, of: "region")) }
            if let shortage = device.quota[held].shortage(for: pages.length) { return .refused(.quota(shortage, of: "device")) }
            return .free(Spot(index: index, cost: separateMappings(for: pages, isBeside: isBeside)))
        }
    }

    /// Puts the mapping in. `prepared`: it was mapped elsewhere; nil: it was not. `isAtOnce`: its plan allows that.
    @_optimize(speed)
    @inline(__always)
    func put(
        _ intent: MapIntent, _ object: Mapping?, _ prepared: inout PreparedMapping?, in spot: Spot, isAtOnce: Bool = false,
        _ held: Held
    ) throws(ShmemError) -> MappingRecord {
        let pages = intent.plan.pages
        switch ProcessBudget.take(spot.cost) {
        case .taken: break
        case .takenAndMeasureDue: census[held].makeDue()
        case .refused: throw refusal(.processBudget, intent.request)
        }
        do throws(Errno) {
            if isAtOnce || intent.plan.canMapInPlace {
                try window.place(fd: intent.fd, intent.plan, isBatched: intent.options.contains(.isBatched), held)
            } else if let ready = prepared.take() {
                var wasLost = false
                try window.place(ready, at: pages.start, wasLost: &wasLost, held)
            }
        } catch {
            ProcessBudget.give(spot.cost)
            throw refusal(.kernel(error, isLocal: intent.plan.isLocal, pageSize: intent.plan.pageSize), intent.request)
        }
        // The memory is there: from the insertion on, translate finds it.
        var record = record(of: intent, object, isAtOnce: isAtOnce, held)
        if !followers[held].isEmpty { record.word = try tellFollowers(of: record, pages, cost: spot.cost, held) }
        guard table[held].insert(record, at: spot.index) else {
            forgetByFollowers(record, held)
            undo(record, pages, cost: spot.cost, held)
            throw refusal(.noMemory, intent.request)
        }
        index[held].add(pages, writable: intent.isWritable)
        if isAtOnce || intent.plan.canMapInPlace, intent.options.contains(.isBatched) {
            unsafe device.undumped[held].append(window.baseAddress + Int(clamping: pages.start), Int(clamping: pages.length))
        }
        if let object { unsafe object.becomeLive(at: window.baseAddress + Int(clamping: pages.start)) }
        if !covers[held].isEmpty { forgetCovers(in: pages.start..<pages.end, held) }
        quota[held].add(pages.length)
        device.quota[held].add(pages.length)
        census[held].count()
        return record
    }

    @inline(__always)
    func record(of intent: MapIntent, _ object: Mapping?, isAtOnce: Bool = false, _ held: Held) -> MappingRecord {
        let plan = intent.plan
        var identity = plan.facts.numbered(device.nextGeneration(held))
        if !isAtOnce, identity.largeFile != 0 {
            identity = identity.withLargeFile(keepLargeFile(intent.fd, hasObject: object != nil, held))
        }
        return MappingRecord(
            start: plan.pages.start, length: intent.request.length, fileOffset: UInt64(truncatingIfNeeded: plan.fileOffset),
            word: MappingWord(writable: intent.isWritable, retaining: object).bits, identity: identity.bits)
    }
}
