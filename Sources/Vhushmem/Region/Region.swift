// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import CVhushmem

/// A VIRTIO shared memory region: a window of host addresses and the files that are mapped in it. Any thread may use it.
///
/// Offsets and lengths are bytes. Unchecked Sendable: the device's lock guards what changes.
///
/// This file: what a region is. `+Map`, with `+Add` and `+Replace`, and `+Unmap`: making and undoing mappings.
/// `RegionObserver`: observers. `+Cover`, `+ZeroTail`: pages that their file lacks. `+Heal`, `+Broken`: how they come back, and
/// the reports of it. `+Census`: the count against the kernel's. `+Bytes`, `+Contents`: the mappings and their bytes.
@safe public final class Region: @unchecked Sendable {
    /// Must come first (`inFront`).
    private var fields = unsafe vhushmem_region_fields()
    /// The shmid.
    public let shmid: UInt8
    /// Bytes, a multiple of the page size.
    public let size: UInt64
    /// The host addresses that stand for the region.
    public let window: RegionWindow
    let options: RegionOptions
    let device: DeviceState

    typealias Held = DeviceState.Held
    typealias Guarded = DeviceState.Guarded

    /// The live mappings, and those of their pages that `translate` finds without a walk through the table.
    let table: Guarded<MappingTable>
    let index: Guarded<PageIndex>
    /// The same two for readers, which take no lock.
    let tableReader: MappingTable.Reader
    let indexReader: PageIndex.Reader
    var covers = Guarded(CoveredPages())
    let coverState = CoverState()
    var answers = Guarded(RecentAnswers())
    /// How many mappings are broken, and where the next look at them begins.
    var brokenCount = Guarded<UInt64>(0)
    var brokenCursor = Guarded<UInt64>(0)
    /// Some mapping has become broken or whole, and that was not reported yet.
    var hasNews = Guarded(false)
    var quota: Guarded<Quota>
    var census = Guarded(Census())
    /// Objects that change with the region.
    var followers = Guarded<[any RegionFollower]>([])
    /// It is told with no lock held.
    var observer = Guarded<(any RegionObserver)?>(nil)
    /// The observer, if the program wants to know of changes; it passes on what it hears.
    var watch = Guarded<ChangeWatch?>(nil)
    /// The region's container among the series' memory regions, once a program asked for it. Series/ makes it.
    var container = Guarded<RegionStandIn?>(nil)
    /// A front-end made it, and no program has claimed it (`ShmemDevice.claimRegion`).
    var isForClaim: Guarded<Bool>
    /// `inFront` has the list of the mappings, and each has an object.
    var isListed = Guarded(false)
    private var guarded: GuardedRange?

    /// The window and the index.
    private static var ownMappings: Int { 2 }

    private init(shmid: UInt8, window: RegionWindow, table: MappingTable, options: RegionOptions, device: DeviceState) {
        self.shmid = shmid
        self.window = window
        size = window.size
        self.table = Guarded(table)
        tableReader = MappingTable.Reader(table)
        let index = PageIndex(size: window.size, of: device)
        indexReader = index.reader
        self.index = Guarded(index)
        self.options = options
        self.device = device
        isForClaim = Guarded(options.isForClaim)
        quota = Guarded(Quota(maximumMappings: options.maximumMappings, maximumBytes: options.maximumBytes))
        fillFields()
    }

    static func make(shmid: UInt8, size: UInt64, options: RegionOptions, device: DeviceState) throws(ShmemError) -> Region {
        let subject = ShmemError.Subject.region(shmid: shmid, size: size)
        guard size > 0 else { throw ShmemError(EINVAL, subject, .zeroLength) }
        guard size.isMultiple(ofPage: Page.size) else {
            throw ShmemError(EINVAL, subject, .unalignedLength(pageSize: Page.size))
        }
        try AddressSpace.take(size, of: device.addressSpace, for: subject)
        do throws(ShmemError) {
            return try reserve(subject, shmid: shmid, size: size, options: options, device: device)
        } catch {
            AddressSpace.give(size, of: device.addressSpace)
            throw error
        }
    }

    private static func reserve(
        _ subject: ShmemError.Subject, shmid: UInt8, size: UInt64, options: RegionOptions, device: DeviceState
    ) throws(ShmemError) -> Region {
        MemoryCalls.lookAtPersonality()
        ProcessBudget.measureIfDue()
        guard ProcessBudget.takes(Region.ownMappings) else {
            throw ShmemError(ENOMEM, subject, .processBudget(limit: ProcessBudget.limit))
        }
        do throws(Errno) {
            guard let table = MappingTable(pageSize: Page.size) else { throw Errno(ENOMEM) }
            let window = try RegionWindow.reserve(
                size: size, holeProtection: options.holes.protection, hugePages: options.hugePages)
            if options.isLeftOutOfForks {
                try device.lock.withLock { held throws(Errno) in try window.advise(MADV_DONTFORK, held) }
            }
            Ballast.prepare()
            let region = Region(shmid: shmid, window: window, table: table, options: options, device: device)
            region.guarded = GuardedRange.begin(region)
            return region
        } catch {
            ProcessBudget.give(Region.ownMappings)
            throw ShmemError(ENOMEM, subject, .system("cannot reserve addresses", error.code))
        }
    }

    deinit {
        guarded?.end()
        // Observers were told when the device went, and a region without a holder has no observer.
        let taken = device.lock.withLock { held -> TakenOut in
            let taken = takeAllOut(isEnd: true, held)
            census[held].forgetKept()
            return taken
        }
        if case .all(let gone) = taken { gone.forEachRecord { MappingWord(bits: $0.word).release() } }
        device.giveBack(chunks: indexReader.chunkCount)
        AddressSpace.give(size, of: device.addressSpace)
        ProcessBudget.give(Region.ownMappings)
        MappingCount.forget(addresses, isLast: ProcessBudget.inUse == 0)
    }

    /// The number of live mappings.
    public var mappingCount: UInt64 {
        device.lock.withLock { held in quota[held].mappings }
    }

    /// The mapped bytes, in whole pages.
    public var mappedBytes: UInt64 {
        device.lock.withLock { held in quota[held].bytes }
    }

    /// Gives the kernel advice for the whole window, and repeats it for everything that is mapped later.
    ///
    /// - Parameter advice: MADV_DONTFORK or MADV_DOFORK, MADV_HUGEPAGE or MADV_NOHUGEPAGE, MADV_MERGEABLE or MADV_UNMERGEABLE.
    /// - Throws: EINVAL for other advice, and what the kernel answers.
    public func advise(_ advice: Int32) throws(ShmemError) {
        guard WindowAdvice.isKnown(advice) else {
            throw ShmemError(EINVAL, "a window cannot keep the advice \(advice)")
        }
        do throws(Errno) {
            try device.lock.withLock { held throws(Errno) in
                try window.advise(advice, held)
                adviseShadows(advice, held)
            }
        } catch {
            throw ShmemError(
                error.code, "the kernel refuses the advice \(advice) for region \(shmid): \(Errno.text(error.code))")
        }
    }

    /// The pages that a mapping owns.
    func ownedPages(_ record: MappingRecord) -> ByteRange? {
        ByteRange(start: record.start, length: record.length)?.roundedUp(to: Page.size)
    }

    /// How many more separate mappings the kernel has when a free range is mapped: two (the hole is split), less one for each
    /// neighbour that the range touches: other mappings, or the window's ends. The same number goes again when it is undone.
    @_optimize(speed)
    func separateMappings(for pages: ByteRange, isBeside: Int) -> Int {
        2 &- isBeside &- (pages.start == 0 ? 1 : 0) &- (pages.end == size ? 1 : 0)
    }
}
