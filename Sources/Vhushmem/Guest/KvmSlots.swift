// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Gives a KVM guest the regions of devices: one slot for each window, or (Strategy.slots) one for each mapping. Safe from any thread.
///
/// Unchecked Sendable: what changes is guarded by `lock`.
public final class KvmSlots: @unchecked Sendable {
    private let vm: FileDescriptor
    private let lock = Lock()
    /// Guarded by `lock`, as are those below: slots that nothing uses, the next one last.
    private var free: [UInt32]
    private var placements: [KvmPlacement] = []

    private init(_ vm: consuming FileDescriptor, free: [UInt32]) {
        self.vm = vm
        self.free = free
    }

    /// `vm`: a VM of KVM's; duplicated. The slots `first` to `first + count - 1` are for this alone. Throws EINVAL (no slots, or more than
    /// the VM has), ENOTTY (it is no VM), EBADF, EMFILE.
    public static func make(vm: Int32, first: UInt32, count: UInt32) throws(ShmemError) -> KvmSlots {
        let held: FileDescriptor
        do throws(Errno) {
            held = try FileDescriptor.duplicate(vm)
        } catch {
            throw ShmemError(error.code, "duplicating the descriptor of the VM: \(Errno.text(error.code))")
        }
        let most = UInt64(clamping: vhu_kvm_slots(held.raw))
        guard most > 0 else { throw ShmemError(ENOTTY, "the descriptor \(vm) is no VM of KVM's") }
        guard count > 0, UInt64(first) &+ UInt64(count) <= most else {
            throw ShmemError(EINVAL, "the VM has \(most) slots; \(count) from \(first) on are not among them")
        }
        var free: [UInt32] = []
        free.reserveCapacity(Int(count))
        for slot in 0..<count { free.append(first &+ count &- 1 &- slot) }
        return KvmSlots(held, free: free)
    }

    /// The VMM lets go of it: the guest loses every region.
    public func close() {
        while let last = lock.withLock({ placements.last }) { remove(last.region) }
    }

    /// Puts a region at a guest address, a multiple of the page size. Throws EINVAL (the address), EEXIST (it has a place), ENOSPC (no slot
    /// is free), and what KVM answers: EEXIST where something else is there.
    public func place(_ region: Region, at guestAddress: UInt64) throws(ShmemError) {
        guard guestAddress.isMultiple(ofPage: Memory.pageSize), ByteRange(start: guestAddress, length: region.size) != nil
        else {
            throw ShmemError(EINVAL, "region \(region.id) can't be at the guest's \(hex(guestAddress))")
        }
        guard let placement = KvmPlacement(of: region, at: guestAddress, in: self) else {
            throw ShmemError(ENOMEM, "no memory for the slots of region \(region.id)")
        }
        let isFirst = lock.withLock { () -> Bool in
            for other in placements where other.region === region { return false }
            placements.append(placement)
            return true
        }
        guard isFirst else { throw ShmemError(EEXIST, "region \(region.id) has a place in the guest") }
        do throws(ShmemError) {
            try placement.enter()
        } catch {
            remove(region)
            throw error
        }
    }

    /// Takes a region away from the guest. False: it had no place.
    @discardableResult
    public func remove(_ region: Region) -> Bool {
        let placement = lock.withLock { () -> KvmPlacement? in
            guard let index = placements.firstIndex(where: { $0.region === region }) else { return nil }
            return placements.remove(at: index)
        }
        placement?.leave()
        return placement != nil
    }

    fileprivate func use(
        _ range: ByteRange, at guestAddress: UInt64, host: UnsafeMutableRawPointer, isWritable: Bool
    ) throws(ShmemError) -> UInt32 {
        guard let slot = lock.withLock({ free.popLast() }) else {
            throw ShmemError(ENOSPC, "no KVM slot is left for \(hex(range.length)) bytes at the guest's \(hex(guestAddress))")
        }
        do throws(Errno) {
            _ = try systemCall(.ioctl) {
                vhu_kvm_set_slot(vm.raw, slot, guestAddress, range.length, host, !isWritable)
            }
            return slot
        } catch {
            lock.withLock { free.append(slot) }
            throw ShmemError(
                error.code,
                "KVM takes no slot of \(hex(range.length)) bytes at the guest's \(hex(guestAddress)): \(Errno.text(error.code))"
            )
        }
    }

    fileprivate func giveBack(_ slot: UInt32) {
        do throws(Errno) {
            _ = try systemCall(.ioctl) { vhu_kvm_set_slot(vm.raw, slot, 0, 0, nil, false) }
            lock.withLock { free.append(slot) }
        } catch {
            // It may still stand for something: it is not used again.
            Log.warning("KVM does not take slot \(slot) away: \(Errno.text(error.code)) (errno \(error.code))")
        }
    }
}

/// A region in a guest.
private final class KvmPlacement: RegionObserver {
    let region: Region
    private let guestAddress: UInt64
    private unowned(unsafe) let owner: KvmSlots
    private let lock = Lock()
    /// Guarded by `lock`, as is what follows; it is held while KVM is asked, so that who maps, who unmaps and who looks at what there is
    /// already don't get between each other. Mappings that went while that look lasted; nil: none is being taken.
    private var departed: [UInt64]?
    /// Of a window.
    private var windowSlot: UInt32?
    /// Guarded by `lock`: by offset, the word being the slot.
    private let slots: MappingTable

    init?(of region: Region, at guestAddress: UInt64, in owner: KvmSlots) {
        guard let slots = MappingTable(pageSize: Memory.pageSize) else { return nil }
        self.region = region
        self.guestAddress = guestAddress
        self.owner = owner
        self.slots = slots
    }

    func enter() throws(ShmemError) {
        guard region.options.strategy == .slots else {
            guard let whole = ByteRange(start: 0, length: region.size) else { return }
            let slot = try owner.use(whole, at: guestAddress, host: region.window.baseAddress, isWritable: true)
            return lock.withLock { windowSlot = slot }
        }
        lock.withLock { departed = [] }
        region.add(self)
        var failure: ShmemError?
        region.forEachRecord { record in
            guard failure == nil else { return }
            do throws(ShmemError) {
                try lock.withLock { () throws(ShmemError) in
                    if departed?.contains(record.start) != true { try take(record) }
                }
            } catch {
                failure = error
            }
        }
        lock.withLock { departed = nil }
        if let failure { throw failure }
    }

    func leave() {
        region.remove(self)
        if let slot = lock.withLock({ windowSlot.take() }) { owner.giveBack(slot) }
        while let record = lock.withLock({ slots.first(endingAfter: 0).flatMap { slots.remove(at: $0.start) } }) {
            owner.giveBack(UInt32(truncatingIfNeeded: record.word))
        }
    }

    func regionDidMap(_ region: Region, _ record: MappingRecord) throws(ShmemError) {
        try lock.withLock { () throws(ShmemError) in try take(record) }
    }

    /// With the lock held.
    private func take(_ record: MappingRecord) throws(ShmemError) {
        // It may have come while the first look was taken.
        guard let pages = region.ownedPages(record), slots.find(at: record.start) == nil else { return }
        let slot = try owner.use(
            pages, at: guestAddress &+ pages.start, host: region.window.baseAddress + Int(clamping: pages.start),
            isWritable: MappingWord(bits: record.word).isWritable)
        let entry = MappingRecord(start: record.start, length: record.length, fileOffset: 0, word: UInt64(slot))
        guard case .done = slots.insert(entry) else {
            owner.giveBack(slot)
            throw ShmemError(ENOMEM, "no memory for the slot of the mapping at \(hex(record.start)) of region \(region.id)")
        }
    }

    func regionWillUnmap(_ region: Region, _ record: MappingRecord) {
        lock.withLock {
            departed?.append(record.start)
            if let entry = slots.remove(at: record.start) { owner.giveBack(UInt32(truncatingIfNeeded: entry.word)) }
        }
    }

    func regionDidCommit(_ region: Region) {}
}
