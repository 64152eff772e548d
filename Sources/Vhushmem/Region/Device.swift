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
    /// `oneUser` for each thread that uses a region by its address alone, and `hasRemoved` while there is something in
    /// `removed`. A thread adds itself before it reads an address; one that removes a region clears its address before it sets
    /// the flag. So a thread that came before the flag is counted when the flag is set, and the region waits for it. A later
    /// one sees the cleared address.
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
        var all = state.lock.withLock { held in
            state.isGone[held] = true
            // The end of the device is not reported.
            forEachRegion(held) { $0.beWatched(nil, held) }
            let all = regions[held] + removed[held]
            regions[held] = []
            removed[held] = []
            return all
        }
        OrphanedRegions.end(&all)
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
    func withRegion(
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

    /// Undoes mappings for a part of a turn, so that others on the loop do not wait for long. Returns whether none is left.
    func unmapForATurn() -> Bool {
        let limit = Clock.now() &+ Region.longestUndoing
        var count: UInt64 = 0
        for region in allRegions where !region.unmapAll(until: limit, count: &count) { return false }
        return true
    }

    /// Undoes all mappings when the last owner of a session lets go of it, unless `keepsMappings`. If only the session has the
    /// device, the device ends with it, and `OrphanedRegions` undoes the mappings: that holds up no loop.
    @inline(never)
    static func leave(_ device: inout ShmemDevice, keepsMappings: Bool) {
        if isKnownUniquelyReferenced(&device) || keepsMappings { return }
        device.unmapAll()
    }

    /// Takes every region out, for a front-end whose handshake fails halfway. The windows go too, unless a region is still
    /// held.
    func removeRegions() {
        let hasSome = state.lock.withLock { held -> Bool in
            for region in regions[held] { publish(0, shmid: region.shmid, held) }
            removed[held] += regions[held]
            let hasSome = !regions[held].isEmpty
            regions[held] = []
            relist([], held)
            if hasSome { users.bitwiseOr(ShmemDevice.hasRemoved, ordering: .acquiringAndReleasing) }
            return hasSome
        }
        if hasSome { releaseRemoved() }
    }

    /// Releases the removed regions, unless a thread may still use one: then the last such thread does so.
    @inline(never)
    private func releaseRemoved() {
        var (gone, kept) = state.lock.withLock { held -> ([Region], [Region]) in
            guard users.load(ordering: .acquiring) == ShmemDevice.hasRemoved else { return ([], []) }
            users.bitwiseAnd(~ShmemDevice.hasRemoved, ordering: .acquiringAndReleasing)
            // Programs have pointers to a container, and no reference to the region. Such a region stays until the device goes.
            let all = removed[held]
            var (gone, kept): ([Region], [Region]) = ([], [])
            for region in all {
                if region.container[held] != nil || region.isListenedTo(held) {
                    kept.append(region)
                } else {
                    gone.append(region)
                }
            }
            removed[held] = kept
            return (gone, kept)
        }
        for region in kept { region.unmapAll() }
        kept = []
        OrphanedRegions.end(&gone)
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
}
