// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import CVhushmem
import Synchronization

/// The regions of a vhost-user device. Any thread may use it.
///
/// The mappings of its regions end with it, even if a region is still held. Unchecked Sendable: what changes is guarded.
@safe public final class ShmemDevice: @unchecked Sendable {
    /// Must come first (`relist`).
    private var fields = unsafe vhushmem_device_fields()
    let state: DeviceState
    /// Every region that the device has.
    private var regions = DeviceState.Guarded<[Region]>([])
    /// Receives each change; nil: there is no handler.
    var changes = DeviceState.Guarded<ChangeWatch.Tell?>(nil)
    /// The regions that `removeRegions` took out, until they can be released.
    private var removed = DeviceState.Guarded<[Region]>([])
    /// The address of each region's object, by id; 0: there is none. Only `publish` changes it. It is read without the lock,
    /// because each request begins here.
    private let addresses: UnsafeMutablePointer<UInt64>
    /// `oneUser` for each thread that uses a region by its address alone, and `hasRemoved` while there is something in `removed`.
    /// A thread adds itself before it reads an address; one that removes a region clears its address before it sets the flag. So a thread
    /// that came before the flag is counted when the flag is set, and the region waits for it. A later one sees the cleared address.
    private let users = Atomic<Int>(0)
    private static var hasRemoved: Int { 1 }
    private static var oneUser: Int { 2 }

    /// Makes a device without regions.
    ///
    /// - Parameter options: its options.
    public init(_ options: DeviceOptions = DeviceOptions()) {
        state = DeviceState(options)
        unsafe addresses = .allocate(capacity: SharedMemoryConfig.maximumRegions)
        unsafe addresses.initialize(repeating: 0, count: SharedMemoryConfig.maximumRegions)
        state.lock.withLock { held in relist([], held) }
    }

    deinit {
        let all = state.lock.withLock { held in
            state.isGone[held] = true
            // The end of the device is not reported.
            forEachRegion(held) { $0.beWatched(nil, held) }
            return regions[held] + removed[held]
        }
        for region in all { region.unmapAll() }
        unsafe addresses.deallocate()
    }

    /// Gives the device a region and reserves its window.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - size: bytes, a multiple of the page size.
    ///   - options: its options.
    /// - Returns: the region.
    /// - Throws: EINVAL (the size), EEXIST (there is a region with this id), ENOSPC (a quota of addresses), ENOMEM (the address
    ///   space cannot hold the window).
    @discardableResult
    public func addRegion(shmid: UInt8, size: UInt64, options: RegionOptions = RegionOptions()) throws(ShmemError) -> Region {
        if region(shmid: shmid) != nil { throw ShmemError(EEXIST, .region(shmid: shmid, size: size), .exists) }
        let region = try Region.make(shmid: shmid, size: size, options: options, device: state)
        // Another thread may have been quicker since the first look, which only saves a useless window.
        let isFirst = state.lock.withLock { held in
            guard unsafe unretainedRegion(shmid: shmid) == nil else { return false }
            regions[held].append(region)
            if let tell = changes[held] { region.beWatched(tell, held) }
            relist(regions[held], held)
            unsafe publish(UInt64(UInt(bitPattern: Unmanaged.passUnretained(region).toOpaque())), shmid: shmid, held)
            return true
        }
        guard isFirst else { throw ShmemError(EEXIST, .region(shmid: shmid, size: size), .exists) }
        return region
    }

    /// Returns a region that a front-end made from the back-end's answer, to a program that would have made it itself: once,
    /// and with the same size.
    func claimRegion(shmid: UInt8, size: UInt64) -> Region? {
        guard let region = region(shmid: shmid), region.size == size else { return nil }
        return state.lock.withLock { held in
            defer { region.isForClaim[held] = false }
            return region.isForClaim[held] ? region : nil
        }
    }

    /// Finds the region with an id.
    ///
    /// - Parameter shmid: the region's id.
    /// - Returns: the region; nil: there is none.
    public func region(shmid: UInt8) -> Region? {
        // While the lock is held nothing is removed, so the reference is taken in time.
        state.lock.withLock { _ in unsafe unretainedRegion(shmid: shmid)?.takeUnretainedValue() }
    }

    /// The same for a caller that holds the lock, or is counted among the users.
    @inline(__always)
    private func unretainedRegion(shmid: UInt8) -> Unmanaged<Region>? {
        // SAFETY: there are 256 addresses, each that of an object in `regions`.
        unsafe UnsafeRawPointer(bitPattern: UInt(vhu_load_acquire(addresses + Int(shmid)))).map {
            unsafe Unmanaged.fromOpaque($0)
        }
    }

    /// Uses a region without a reference; `isMissing` throws if there is none.
    @inline(__always)
    private func withRegion(
        shmid: UInt8, isMissing: () -> ShmemError, _ use: (Region) throws(ShmemError) -> Void
    ) throws(ShmemError) {
        users.wrappingAdd(ShmemDevice.oneUser, ordering: .acquiringAndReleasing)
        defer {
            let before = users.wrappingSubtract(ShmemDevice.oneUser, ordering: .acquiringAndReleasing).oldValue
            if _slowPath(before == ShmemDevice.oneUser | ShmemDevice.hasRemoved) { releaseRemoved() }
        }
        guard let region = unsafe unretainedRegion(shmid: shmid) else { throw isMissing() }
        // SAFETY: this thread is counted as a user, so the region is not released meanwhile.
        let result = unsafe region._withUnsafeGuaranteedRef { region in
            do throws(ShmemError) {
                try use(region)
                return Result<Void, ShmemError>.success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    private func publish(_ address: UInt64, shmid: UInt8, _ held: DeviceState.Held) {
        // SAFETY: as above.
        unsafe vhu_store_release(addresses + Int(shmid), address)
    }

    func forEachRegion(_ held: DeviceState.Held, _ body: (Region) -> Void) {
        for region in regions[held] { body(region) }
    }

    /// All regions, in the order of their ids.
    public var allRegions: [Region] {
        state.lock.withLock { _ in (0...UInt8.max).compactMap { unsafe unretainedRegion(shmid: $0)?.takeUnretainedValue() } }
    }

    /// The number of live mappings of all regions together.
    public var mappingCount: UInt64 {
        state.lock.withLock { held in state.quota[held].mappings }
    }

    /// The mapped bytes, in whole pages, of all regions together.
    public var mappedBytes: UInt64 {
        state.lock.withLock { held in state.quota[held].bytes }
    }

    /// Undoes every mapping of every region.
    ///
    /// - Returns: how many there were.
    @discardableResult
    public func unmapAll() -> UInt64 {
        var count: UInt64 = 0
        for region in allRegions { count &+= region.unmapAll() }
        return count
    }

    /// The same, but not longer than until `limit` (microseconds). Returns whether none is left.
    func unmapAll(until limit: UInt64) -> Bool {
        for region in allRegions {
            guard region.unmapAll(until: limit).isDone else { return false }
        }
        return true
    }

    /// Takes every region out, for a front-end whose handshake fails halfway. The windows go too, unless a region is still
    /// held.
    func removeRegions() {
        let gone = state.lock.withLock { held in
            for region in regions[held] { publish(0, shmid: region.shmid, held) }
            let gone = regions[held]
            regions[held] = []
            relist([], held)
            return gone
        }
        guard !gone.isEmpty else { return }
        for region in gone { region.unmapAll() }
        state.lock.withLock { held in
            removed[held] += gone
            users.bitwiseOr(ShmemDevice.hasRemoved, ordering: .acquiringAndReleasing)
        }
        releaseRemoved()
    }

    /// Releases the removed regions, unless a thread may still use one: then the last such thread does so.
    @inline(never)
    private func releaseRemoved() {
        let gone = state.lock.withLock { held -> [Region] in
            guard users.load(ordering: .acquiring) == ShmemDevice.hasRemoved else { return [] }
            users.bitwiseAnd(~ShmemDevice.hasRemoved, ordering: .acquiringAndReleasing)
            let gone = removed[held]
            // Programs have pointers to a container, and no reference to the region. Such a region stays until the device goes.
            removed[held] = gone.filter { $0.container[held] != nil || $0.isListenedTo(held) }
            return gone.filter { $0.container[held] == nil && !$0.isListenedTo(held) }
        }
        // A thread may have mapped something after the region was taken out. The windows go after this, with no lock held.
        for region in gone { region.unmapAll() }
    }

    /// Calls `tell` for each mapping that has become broken or whole since the last call, until it returns false.
    func forEachNews(_ tell: (MappingNews) -> Bool) {
        for region in allRegions {
            var from: UInt64 = 0
            while let news = region.takeNews(from: &from) {
                if let tell = state.lock.withLock({ held in changes[held] }) {
                    tell(region, news.isBroken ? .broken : .healed, news.record)
                }
                guard tell(news) else { return }
            }
        }
    }

    /// Does what a loop must do from time to time, at `state.careDeadline`. It shows the files again in pages that were covered
    /// for a while, and heals mappings whose files have their pages again. It waits for no other process.
    func care() {
        let now = Clock.now()
        guard let time = state.careDeadline, now >= time else { return }
        state.planCare(at: nil)
        var next: UInt64?
        for region in allRegions { next = earliest(next, region.care(at: now)) }
        if let next { state.lock.withLock { held in state.careSoon(at: next, held) } }
    }

    /// Checks all that is covered or broken, in every region: shows the pages that their files have again, and heals mappings
    /// whose files have all their pages. It may wait for the storage or the server of a file.
    ///
    /// A front-end or a channel that is dispatched does so by itself, ten times a second, for files in memory and on local
    /// disks.
    ///
    /// - Returns: how many mappings are still broken.
    @discardableResult
    public func heal() -> UInt64 {
        var broken: UInt64 = 0
        for region in allRegions { broken &+= region.heal() }
        return broken
    }

    // MARK: Messages

    /// Handles a SHMEM_MAP that the caller has received: with the same checks, in the same order, as a channel. The mapping
    /// shows in the window when the call returns. Then answer the device process, and call `commit`.
    ///
    /// - Parameters:
    ///   - payload: the payload as it came, 40 bytes.
    ///   - fd: the descriptor that came along, which stays the caller's; negative: none did.
    /// - Throws: EINVAL (another length; no descriptor), ENOENT (there is no such region), ECANCELED (a reset is under way),
    ///   and what `Region.map` throws.
    public func handleMap(payload: UnsafeRawBufferPointer, fd: Int32) throws(ShmemError) {
        let map = try unsafe decoded(payload, BackendRequest.shmemMap)
        if state.attention.load(ordering: .relaxed) != 0 { return try handle(map, BackendRequest.shmemMap, fd: fd) }
        try carryOutMap(map, fd: fd)
        // A reset that has begun meanwhile has undone the mapping, or finds nothing to undo here.
        if isResetting { try undoForReset(map) }
    }

    /// Handles a SHMEM_UNMAP in the same way.
    ///
    /// - Parameter payload: the payload as it came, 40 bytes.
    /// - Throws: EINVAL (another length), ENOENT (there is no such region), and what `Region.unmap` throws.
    public func handleUnmap(payload: UnsafeRawBufferPointer) throws(ShmemError) {
        let map = try unsafe decoded(payload, BackendRequest.shmemUnmap)
        if state.attention.load(ordering: .relaxed) != 0 { return try handle(map, BackendRequest.shmemUnmap) }
        try carryOutUnmap(map)
    }

    /// The same while a reset is under way, or while traces are on.
    @inline(never)
    private func handle(_ map: SharedMemoryMap, _ request: UInt32, fd: Int32 = -1) throws(ShmemError) {
        let isMap = request == BackendRequest.shmemMap
        do throws(ShmemError) {
            if isResetting {
                let unmap = ShmemError.Subject.unmap(shmid: map.shmid, offset: map.offset, length: map.length)
                throw ShmemError(ECANCELED, isMap ? map.mapSubject : unmap, .duringReset)
            }
            if isMap { try carryOutMap(map, fd: fd) } else { try carryOutUnmap(map) }
            if isMap, isResetting { try undoForReset(map) }
        } catch {
            Trace.tellMapping(request, map, error)
            throw error
        }
        Trace.tellMapping(request, map, nil)
    }

    @inline(__always)
    private var isResetting: Bool {
        state.attention.load(ordering: .sequentiallyConsistent) & DeviceState.isResetting != 0
    }

    @inline(never)
    private func undoForReset(_ map: SharedMemoryMap) throws(ShmemError) {
        _ = try? carryOutUnmap(map)
        throw ShmemError(ECANCELED, map.mapSubject, .duringReset)
    }

    @inline(__always)
    private func decoded(_ payload: UnsafeRawBufferPointer, _ request: UInt32) throws(ShmemError) -> SharedMemoryMap {
        guard let map = unsafe SharedMemoryMap(payload) else { throw wrongPayload(payload.count, request) }
        return map
    }

    @inline(never)
    private func wrongPayload(_ count: Int, _ request: UInt32) -> ShmemError {
        ShmemError(EINVAL, .request(request), .wrongPayload(expected: SharedMemoryMap.size, got: count))
    }

    /// SHMEM_MAP. The commit is left to the caller, which answers first. `isBatched`: so is `endBatch`.
    @_optimize(speed)
    func carryOutMap(_ map: SharedMemoryMap, fd: Int32, isBatched: Bool = false) throws(ShmemError) {
        guard fd >= 0 else { throw ShmemError(EINVAL, map.mapSubject, .wrongDescriptors(expected: 1, got: 0)) }
        let isMissing = { ShmemError(ENOENT, map.mapSubject, .noSuchRegion) }
        try withRegion(shmid: map.shmid, isMissing: isMissing) { region throws(ShmemError) in
            try region.map(map, fd: fd, isBatched ? .isBatched : [])
        }
    }

    /// Leaves the mappings of a batch out of core dumps.
    @_optimize(speed)
    func endBatch() {
        let failure = state.lock.withLock { held in
            state.undumped[held].leaveOut()
            return state.undumped[held].takeFailure()
        }
        guard let failure else { return }
        Log.warning("the kernel cannot leave mappings out of core dumps: \(Errno.text(failure.code)) (errno \(failure.code))")
    }

    /// SHMEM_UNMAP in the same way. Returns the length of the mapping in bytes.
    @_optimize(speed)
    @discardableResult
    func carryOutUnmap(_ map: SharedMemoryMap) throws(ShmemError) -> UInt64 {
        let isMissing = {
            ShmemError(ENOENT, .unmap(shmid: map.shmid, offset: map.offset, length: map.length), .noSuchRegion)
        }
        var length: UInt64 = 0
        try withRegion(shmid: map.shmid, isMissing: isMissing) { region throws(ShmemError) in
            length = try region.unmapLeavingCommit(at: map.offset, length: map.length)
        }
        return length
    }

    /// Tells every region's observers that a change is complete: after the answer to what `handleMap` and `handleUnmap` did.
    public func commit() {
        guard state.isObserved else { return }
        for region in allRegions { region.commit() }
    }
}
