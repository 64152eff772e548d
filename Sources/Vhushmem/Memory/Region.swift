// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A VIRTIO shared memory region: a window of host addresses and the files that are mapped in it. Safe from any thread.
///
/// Offsets and lengths are bytes. Unchecked Sendable: what changes is guarded by the device's lock.
public final class Region: @unchecked Sendable {
    /// The shmid.
    public let id: UInt8
    /// The host addresses that stand for the region.
    public let window: Window
    let options: RegionOptions
    let device: DeviceState

    /// Changed under `device.lock`; `translate` alone reads it without.
    let table: MappingTable
    /// Changed and read as the table is.
    let index: PageIndex
    /// These are guarded by `device.lock`.
    var scratch = ScratchPages()
    /// Some mapping has become broken, and nobody was told yet.
    var hasBrokenNews = false
    private(set) var quota: Quota
    var observers: [any RegionObserver] = []
    private var guarded: GuardedRange?
    /// What stands for the region among QEMU-like memory regions, once somebody asked for it. Guarded by `device.lock`.
    var container: RegionContainer?

    /// The window and the index.
    private static var ownMappings: Int { 2 }

    private init(id: UInt8, window: Window, table: MappingTable, options: RegionOptions, device: DeviceState) {
        self.id = id
        self.window = window
        self.table = table
        index = PageIndex(size: window.size, of: device)
        self.options = options
        self.device = device
        quota = Quota(maximumMappings: options.maximumMappings, maximumBytes: options.maximumBytes)
    }

    static func make(id: UInt8, size: UInt64, options: RegionOptions, device: DeviceState) throws(ShmemError) -> Region {
        let subject = ShmemError.Subject.region(shmid: id, size: size)
        guard size > 0 else { throw ShmemError(EINVAL, subject, .zeroLength) }
        guard size.isMultiple(ofPage: Memory.pageSize) else {
            throw ShmemError(EINVAL, subject, .unalignedLength(pageSize: Memory.pageSize))
        }
        guard ProcessBudget.take(Region.ownMappings) else {
            throw ShmemError(ENOMEM, subject, .processBudget(limit: ProcessBudget.limit))
        }
        do throws(Errno) {
            guard let table = MappingTable(pageSize: Memory.pageSize) else { throw Errno(ENOMEM) }
            let window = try Window.reserve(size: size, holeProtection: options.holes.protection)
            let region = Region(id: id, window: window, table: table, options: options, device: device)
            region.guarded = GuardedRange.begin(region)
            return region
        } catch {
            ProcessBudget.give(Region.ownMappings)
            throw ShmemError(ENOMEM, subject, .system("reserving addresses", error.code))
        }
    }

    deinit {
        guarded?.end()
        // Observers were told when the device went; nobody can watch a region that nobody holds.
        device.lock.withLock {
            _ = removeAll()
            // What the kernel would not undo goes with the window: then the books must not keep it either.
            while let record = table.first(endingAfter: 0), let pages = ownedPages(record),
                let (removed, isBeside) = table.removeCounting(at: record.start)
            {
                forget(removed, pages, isBeside: isBeside)
            }
        }
        scratch.forgetAll()
        index.giveBack(to: device)
        ProcessBudget.give(Region.ownMappings)
    }

    /// Bytes, a multiple of the page size.
    public var size: UInt64 { window.size }

    /// How many mappings are live.
    public var mappingCount: UInt64 {
        device.lock.withLock { quota.mappings }
    }

    /// How many bytes, in whole pages, are mapped.
    public var mappedBytes: UInt64 {
        device.lock.withLock { quota.bytes }
    }

    // MARK: Map

    /// Maps a range of a file; it can be read through the window, by a guest too, when the call returns.
    ///
    /// `fd` is needed during the call only and stays the caller's. `fileOffset` and `offset` are multiples of the page size (of the
    /// huge page size for a hugetlb file); `length` need not be, but the mapping owns all of its last page.
    ///
    /// When it throws, nothing has changed: EINVAL (alignment, a length of 0, a range that wraps around or ends beyond the region),
    /// EEXIST (it overlaps a live mapping), EOVERFLOW (whole pages would lie beyond the end of the file), EBADF, EACCES (`fd` is not
    /// open for it, or kept out by the policy), EPERM (seals), ENODEV (not a file that can be mapped), ENOSPC (a quota), ENOMEM,
    /// ESHUTDOWN (the device is gone).
    public func map(
        fd: Int32, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64, writable: Bool = false
    ) throws(ShmemError) {
        try map(fd: fd, fileOffset: fileOffset, at: offset, length: length, flags: writable ? SharedMemoryMap.readWrite : 0)
        commit()
    }

    /// Maps, and leaves the commit to the caller, who answers first. With an `object` the mapping is that one. `isBatched`: the caller ends
    /// with `Device.endBatch`.
    @_optimize(speed)
    func map(
        fd: Int32, fileOffset: UInt64, at offset: UInt64, length: UInt64, flags: UInt64, object: Mapping? = nil,
        isBatched: Bool = false
    ) throws(ShmemError) {
        let subject = ShmemError.Subject.map(shmid: id, offset: offset, length: length)
        let range = try checkedRange(offset, length, subject)
        guard flags & ~SharedMemoryMap.readWrite == 0 else { throw ShmemError(EINVAL, subject, .unknownFlags(flags)) }
        let writable = flags & SharedMemoryMap.readWrite != 0
        let plan = try options.filePolicy.plan(
            fd: fd, fileOffset: fileOffset, range: range, writable: writable, populate: options.populate, for: subject)
        var object = object
        if options.keepsFiles, object == nil { object = try keeper(fd: fd, fileOffset, range, writable) }
        let watchers = try device.lock.withLock { () throws(ShmemError) -> [any RegionObserver]? in
            try place(
                fd: fd, fileOffset: fileOffset, range: range, plan: plan, writable: writable, object: object,
                isBatched: isBatched, subject)
            return observers.isEmpty ? nil : observers
        }
        guard let watchers else { return }
        let record = MappingRecord(start: offset, length: length, fileOffset: fileOffset, word: writable ? 1 : 0)
        try tell(watchers, of: record, range, subject)
    }

    /// Tells observers of a mapping. One that can't go along has it undone.
    private func tell(
        _ watchers: [any RegionObserver], of record: MappingRecord, _ range: ByteRange, _ subject: ShmemError.Subject
    ) throws(ShmemError) {
        for (index, watcher) in watchers.enumerated() {
            do throws(ShmemError) {
                try watcher.regionDidMap(self, record)
            } catch {
                for told in watchers[..<index].reversed() { told.regionWillUnmap(self, record) }
                try? device.lock.withLock { () throws(ShmemError) in try remove(wholeMapping(at: range, subject), subject) }
                throw error
            }
        }
    }

    /// Finds a free range and maps there. Returns the range's offset in the region.
    ///
    /// `alignment`: of that offset, a power of two and no less than the page size; 0 is the page size. Throws what `map` does, and
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
        let align = alignment == 0 ? Memory.pageSize : alignment
        guard align.isPowerOfTwo, align >= Memory.pageSize else {
            throw ShmemError(EINVAL, subject, .badAlignment(alignment, pageSize: Memory.pageSize))
        }
        guard length > 0 else { throw ShmemError(EINVAL, subject, .zeroLength) }
        guard let pages = ByteRange(start: 0, length: length)?.roundedUp(to: Memory.pageSize), pages.length <= size else {
            throw ShmemError(ENOSPC, subject, .noFreeRange(size: size))
        }
        while true {
            let free = device.lock.withLock {
                table.firstGap(of: pages.length, alignment: align, in: size, from: 0)
            }
            guard let free else { throw ShmemError(ENOSPC, subject, .noFreeRange(size: size)) }
            do throws(ShmemError) {
                try map(fd: fd, fileOffset: fileOffset, at: free, length: length, flags: flags)
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

    // MARK: Unmap

    /// Undoes one whole mapping: exactly the offset and length that it was made with. Throws ENOENT (nothing is mapped there) or EINVAL
    /// (something is, but not exactly this), and nothing has changed.
    public func unmap(at offset: UInt64, length: UInt64) throws(ShmemError) {
        try unmapLeavingCommit(at: offset, length: length)
        commit()
    }

    @_optimize(speed)
    func unmapLeavingCommit(at offset: UInt64, length: UInt64) throws(ShmemError) {
        let subject = ShmemError.Subject.unmap(shmid: id, offset: offset, length: length)
        let range = try checkedRange(offset, length, subject)
        let watched = try device.lock.withLock { () throws(ShmemError) -> (MappingRecord, [any RegionObserver])? in
            let record = try wholeMapping(at: range, subject)
            guard observers.isEmpty else { return (record, observers) }
            try remove(record, subject)
            return nil
        }
        guard let (record, watchers) = watched else { return }
        for watcher in watchers.reversed() { watcher.regionWillUnmap(self, record) }
        do throws(ShmemError) {
            try device.lock.withLock { () throws(ShmemError) in
                try remove(wholeMapping(at: range, subject), subject)
            }
        } catch {
            // It is still there, unless another thread was quicker; and they were told that it goes.
            if device.lock.withLock({ isLive(record) }) {
                for watcher in watchers { try? watcher.regionDidMap(self, record) }
            }
            throw error
        }
    }

    /// Undoes every mapping. Returns how many there were.
    @discardableResult
    public func unmapAll() -> UInt64 {
        var count: UInt64 = 0
        // Observers are told of each one that goes, and of none that stays: another thread may map meanwhile.
        if device.lock.withLock({ !observers.isEmpty }) {
            forEachRecord { record in
                if (try? unmapLeavingCommit(at: record.start, length: record.length)) != nil { count = count &+ 1 }
            }
        }
        count = count &+ device.lock.withLock { observers.isEmpty || quota.mappings == 0 ? removeAll() : 0 }
        if count > 0 { commit() }
        return count
    }

    /// Tells the observers that what changed is complete. Called after the back-end was answered.
    @_optimize(speed)
    func commit() {
        guard device.isObserved else { return }
        let watchers = device.lock.withLock { observers }
        for watcher in watchers { watcher.regionDidCommit(self) }
    }

    // MARK: With the lock held

    @_optimize(speed)
    private func place(
        fd: Int32, fileOffset: UInt64, range: ByteRange, plan: FilePlan, writable: Bool, object: Mapping?, isBatched: Bool,
        _ subject: ShmemError.Subject
    ) throws(ShmemError) {
        if device.isGone { throw ShmemError(ESHUTDOWN, subject, .deviceGone) }
        let pages = plan.pages
        guard pages.end <= size else { throw ShmemError(EINVAL, subject, .beyondEnd(size: size)) }
        let place: Int
        let cost: Int
        switch table.place(for: pages.start, last: pages.end &- 1) {
        case .taken(let other): throw ShmemError(EEXIST, subject, .overlap(other))
        case .free(let found, let isBeside):
            place = found
            cost = separateMappings(for: pages, isBeside: isBeside)
        }
        if let shortage = quota.shortage(for: pages.length) {
            throw ShmemError(ENOSPC, subject, .quota(shortage, of: "region"))
        }
        if let shortage = device.quota.shortage(for: pages.length) {
            throw ShmemError(ENOSPC, subject, .quota(shortage, of: "device"))
        }
        guard ProcessBudget.take(cost) else { throw ShmemError(ENOSPC, subject, .processBudget(limit: ProcessBudget.limit)) }
        let isInDumps: Bool
        do throws(Errno) {
            let advice = options.hugePages ? MADV_HUGEPAGE : nil
            isInDumps = try window.place(fd: fd, over: pages, plan: plan, advice: advice, isBatched: isBatched)
        } catch {
            ProcessBudget.give(cost)
            if error.code == EACCES { throw ShmemError(EACCES, subject, .notOpenFor(writable ? "writing" : "reading")) }
            if error.code == EPERM, plan.canMapInPlace { throw ShmemError(EPERM, subject, .sealed) }
            // A file in memory, or of a local disk, needs nothing of the kernel but one more mapping.
            if error.code == ENOMEM, plan.canMapInPlace { throw ShmemError(ENOSPC, subject, .kernelBudget) }
            throw ShmemError(error.code, subject, .system("mmap", error.code))
        }
        // The memory is there: from the insertion on, translate finds it.
        let word = MappingWord(writable: writable, retaining: object)
        let record = MappingRecord(start: range.start, length: range.length, fileOffset: fileOffset, word: word.bits)
        guard case .done = table.insert(record, at: place) else {
            word.endMapping()
            try? window.clear(pages)
            ProcessBudget.give(cost)
            throw ShmemError(ENOMEM, subject, .system("recording the mapping", ENOMEM))
        }
        index.add(pages, writable: writable)
        if isInDumps {
            device.undumped.append(window.baseAddress + Int(clamping: pages.start), Int(clamping: pages.length))
        }
        object?.becomeLive(at: window.baseAddress + Int(clamping: range.start), keepsFile: options.keepsFiles)
        scratch.forget(in: pages)
        quota.add(pages.length)
        device.quota.add(pages.length)
    }

    @_optimize(speed)
    private func remove(_ record: MappingRecord, _ subject: ShmemError.Subject) throws(ShmemError) {
        guard let pages = ownedPages(record) else { return }
        index.remove(pages)
        guard let (removed, isBeside) = table.removeCounting(at: record.start) else { return }
        if !device.undumped.isEmpty { device.undumped.leaveOut() }
        // translate does not find it any more: now the memory may go.
        do throws(Errno) {
            try window.clear(pages)
        } catch {
            if case .done = table.insert(removed) {
                index.add(pages, writable: MappingWord(bits: removed.word).isWritable)
            }
            throw ShmemError(error.code, subject, .system("mmap", error.code))
        }
        forget(removed, pages, isBeside: isBeside)
        scratch.forget(in: pages)
        if table.count == 0 { index.release() }
    }

    private func removeAll() -> UInt64 {
        // What a guest wrote into holes goes as well: a reset leaves nothing of it.
        guard quota.mappings > 0 || !scratch.isEmpty else { return 0 }
        let count = quota.mappings
        guard let everything = ByteRange(start: 0, length: size) else { return 0 }
        device.undumped.leaveOut()
        do throws(Errno) {
            try window.clear(everything)
            var next = table.first(endingAfter: 0)
            while let record = next, let pages = ownedPages(record) {
                next = table.first(endingAfter: pages.end)
                index.remove(pages)
                // Those before it have left, even if the table still has them.
                forget(record, pages, isBeside: next?.start == pages.end ? 1 : 0)
            }
            table.removeAll()
            index.release()
            scratch.forget(in: everything)
        } catch {
            // The kernel won't replace the whole window at once: each mapping by itself, as far as it goes.
            var from: UInt64 = 0
            while let record = table.first(endingAfter: from), let pages = ownedPages(record) {
                try? remove(record, .unmap(shmid: id, offset: record.start, length: record.length))
                from = pages.end
            }
        }
        return count &- quota.mappings
    }

    /// The books when a record leaves the table.
    @_optimize(speed)
    private func forget(_ record: MappingRecord, _ pages: ByteRange, isBeside: Int) {
        let word = MappingWord(bits: record.word)
        ProcessBudget.give(separateMappings(for: pages, isBeside: isBeside) &+ (word.hasZeroTail ? 1 : 0))
        quota.remove(pages.length)
        device.quota.remove(pages.length)
        word.endMapping()
    }

    /// How many more separate mappings the kernel has when a free range is mapped: two (the hole is split), less one for each
    /// neighbour that the range touches: other mappings, or the window's ends. The same number goes again when it is undone.
    @_optimize(speed)
    private func separateMappings(for pages: ByteRange, isBeside: Int) -> Int {
        2 &- isBeside &- (pages.start == 0 ? 1 : 0) &- (pages.end == size ? 1 : 0)
    }
}
