// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The free slots of a VM.
private final class SlotPool {
    private let vm: OwnedDescriptor
    private let lock = Lock<SlotPool>()
    /// The last one is taken next.
    private var free: Lock<SlotPool>.Guarded<[UInt32]>

    init(_ vm: consuming OwnedDescriptor, free: [UInt32]) {
        self.vm = vm
        self.free = .init(free)
    }

    func use(
        _ range: ByteRange, at guestAddress: UInt64, host: UnsafeMutableRawPointer, isWritable: Bool
    ) throws(ShmemError) -> UInt32 {
        guard let slot = lock.withLock({ held in free[held].popLast() }) else {
            throw ShmemError(ENOSPC, "no KVM slot is left for \(hex(range.length)) bytes at the guest's \(hex(guestAddress))")
        }
        do throws(Errno) {
            _ = try systemCall(.ioctl) {
                unsafe vhu_kvm_set_slot(vm.raw, slot, guestAddress, range.length, host, !isWritable)
            }
            return slot
        } catch {
            lock.withLock { held in free[held].append(slot) }
            throw ShmemError(
                error.code,
                "KVM denies a slot of \(hex(range.length)) bytes at the guest's \(hex(guestAddress)): \(Errno.text(error.code))"
            )
        }
    }

    /// False: KVM keeps the slot, so the memory that it shows must stay.
    func giveBack(_ slot: UInt32) -> Bool {
        do throws(Errno) {
            _ = try systemCall(.ioctl) { vhu_kvm_set_slot(vm.raw, slot, 0, 0, nil, false) }
            lock.withLock { held in free[held].append(slot) }
            return true
        } catch {
            // The slot may still stand for something, so it is not used again.
            Log.later("KVM cannot remove slot \(slot): \(Errno.text(error.code)) (errno \(error.code))")
            return false
        }
    }
}

/// Gives a KVM guest the regions of devices: one slot for each window, or (MappingStrategy.slots) one for each mapping. Any
/// thread may use it.
///
/// A region's slots change under the lock of its device, which guards its mappings. So the guest has at every moment what is
/// mapped, and a removed region leaves nothing behind. That lock is taken before `lock`.
///
/// Unchecked Sendable: `lock` guards what changes.
public final class KvmSlots: @unchecked Sendable {
    private let pool: SlotPool
    private let lock = Lock<KvmSlots>()
    private var placed = Lock<KvmSlots>.Guarded<[(region: Region, placement: KvmPlacement)]>([])

    private init(_ pool: SlotPool) {
        self.pool = pool
    }

    deinit {
        close()
    }

    /// Takes slots of a VM. None of them is in use yet.
    ///
    /// - Parameters:
    ///   - vm: a VM of KVM; it is duplicated.
    ///   - first: the first slot that only this object uses.
    ///   - count: how many there are.
    /// - Returns: the slots.
    /// - Throws: EINVAL (no slots, or more than the VM has), ENOTTY (it is no VM), EBADF, EMFILE.
    public static func make(vm: Int32, first: UInt32, count: UInt32) throws(ShmemError) -> KvmSlots {
        let held: OwnedDescriptor
        do throws(Errno) {
            held = try OwnedDescriptor.duplicate(vm)
        } catch {
            throw ShmemError(error.code, "cannot duplicate the descriptor of the VM: \(Errno.text(error.code))")
        }
        let most = UInt64(clamping: vhu_kvm_slots(held.raw))
        guard most > 0 else { throw ShmemError(ENOTTY, "the descriptor \(vm) is no VM of KVM's") }
        guard count > 0, UInt64(first) &+ UInt64(count) <= most else {
            throw ShmemError(EINVAL, "the VM has \(most) slots; \(count) from \(first) on are not among them")
        }
        var free: [UInt32] = []
        free.reserveCapacity(Int(count))
        for slot in 0..<count { free.append(first &+ count &- 1 &- slot) }
        return KvmSlots(SlotPool(held, free: free))
    }

    /// Ends the use: the guest loses every region.
    public func close() {
        while let last = lock.withLock({ held in placed[held].last?.region }) { remove(last) }
    }

    /// Places a region in the guest.
    ///
    /// - Parameters:
    ///   - region: the region.
    ///   - guestAddress: its guest address; a multiple of the page size.
    /// - Throws: EINVAL (the address), EEXIST (it has a place), ENOSPC (no slot is free), and what KVM answers: EEXIST if
    ///   something else is there.
    public func place(_ region: Region, at guestAddress: UInt64) throws(ShmemError) {
        guard guestAddress.isMultiple(ofPage: Page.size), ByteRange(start: guestAddress, length: region.size) != nil
        else {
            throw ShmemError(EINVAL, "region \(region.shmid) cannot be at the guest's \(hex(guestAddress))")
        }
        guard let placement = KvmPlacement(of: region, at: guestAddress, pool) else {
            throw ShmemError(ENOMEM, "no memory for the slots of region \(region.shmid)")
        }
        try region.device.lock.withLock { held throws(ShmemError) in
            let isFirst = lock.withLock { own -> Bool in
                for other in placed[own] where other.region === region { return false }
                placed[own].append((region, placement))
                return true
            }
            guard isFirst else { throw ShmemError(EEXIST, "region \(region.shmid) has a place in the guest already") }
            do throws(ShmemError) {
                try placement.enter(region, held)
                try region.add(placement, held)
            } catch {
                placement.leave(held)
                if placement.isStuck[held] { _ = unsafe Unmanaged.passRetained(region) }
                lock.withLock { own in placed[own].removeAll { $0.placement === placement } }
                throw error
            }
        }
    }

    /// Has KVM fill the guest's own page tables for a part of a region that has its place, so that the guest's first touch is
    /// no exit (KVM_PRE_FAULT_MEMORY).
    ///
    /// - Parameters:
    ///   - region: the region.
    ///   - offset: the first byte, a whole page.
    ///   - length: bytes, whole pages.
    ///   - vcpu: one of the VM's, which does not run meanwhile: call this from the thread that runs it.
    /// - Throws: EINVAL (the range; the kernel's KVM cannot do it with this guest), ENOENT (the region has no place), ENOTTY
    ///   (the kernel has no such ioctl, or it is no vCPU), EFAULT (nothing is mapped somewhere in the range; only what lies
    ///   before that is done), EBADF, EAGAIN.
    public func preFault(_ region: Region, at offset: UInt64, length: UInt64, vcpu: Int32) throws(ShmemError) {
        guard offset.isMultiple(ofPage: Page.size), length.isMultiple(ofPage: Page.size),
            let range = ByteRange(start: offset, length: length), range.end <= region.size, length > 0
        else {
            throw ShmemError(
                EINVAL, "\(hex(length)) bytes at \(hex(offset)) are no whole pages of region \(region.shmid)")
        }
        let place = lock.withLock { own in placed[own].first { $0.region === region }?.placement.guestAddress }
        guard let place else { throw ShmemError(ENOENT, "region \(region.shmid) has no place in the guest") }
        var left = length
        do throws(Errno) {
            while left > 0 {
                let now = try systemCall(.ioctl) { vhu_kvm_pre_fault(vcpu, place &+ (range.end &- left), left) }
                // KVM does a part at a time, but never nothing.
                guard now < left else { throw Errno(EAGAIN) }
                left = UInt64(now)
            }
        } catch {
            throw ShmemError(
                error.code, "KVM does not pre-fault \(hex(left)) bytes before \(hex(range.end)): \(Errno.text(error.code))")
        }
    }

    /// Takes a region away from the guest. When it returns, no slot shows anything of it.
    ///
    /// - Parameter region: the region.
    /// - Returns: false: it had no place.
    @discardableResult
    public func remove(_ region: Region) -> Bool {
        defer { Log.tellWaiting() }
        return region.device.lock.withLock { held in
            let placement = lock.withLock { own -> KvmPlacement? in
                guard let index = placed[own].firstIndex(where: { $0.region === region }) else { return nil }
                return placed[own].remove(at: index).placement
            }
            guard let placement else { return false }
            region.remove(placement, held)
            placement.leave(held)
            // A slot that KVM keeps still shows the window. So the window stays as long as the process.
            if placement.isStuck[held] { _ = unsafe Unmanaged.passRetained(region) }
            return true
        }
    }
}

/// A region in a guest.
private final class KvmPlacement: RegionFollower {
    let guestAddress: UInt64
    private let pool: SlotPool
    /// Each mapping has a slot of its own. Otherwise the window has one.
    private let isByMapping: Bool
    private var windowSlot = Region.Guarded<UInt32?>(nil)
    /// By offset; the word is the slot.
    private let slots: Region.Guarded<MappingTable>
    /// KVM kept a slot that should go.
    private(set) var isStuck = Region.Guarded(false)

    init?(of region: Region, at guestAddress: UInt64, _ pool: SlotPool) {
        guard let slots = MappingTable(pageSize: Page.size) else { return nil }
        self.guestAddress = guestAddress
        self.pool = pool
        self.slots = Region.Guarded(slots)
        isByMapping = region.options.strategy == .slots
    }

    /// Gives the window its slot, unless each mapping has its own.
    func enter(_ region: Region, _ held: Region.Held) throws(ShmemError) {
        guard !isByMapping, let whole = ByteRange(start: 0, length: region.size) else { return }
        windowSlot[held] = unsafe try pool.use(whole, at: guestAddress, host: region.window.baseAddress, isWritable: true)
    }

    func leave(_ held: Region.Held) {
        if let slot = windowSlot[held].take() { giveBack(slot, held) }
        allMappingsGo(held)
    }

    private func giveBack(_ slot: UInt32, _ held: Region.Held) {
        if !pool.giveBack(slot) { isStuck[held] = true }
    }

    func mappingComes(_ record: MappingRecord, _ pages: ByteRange, in window: RegionWindow, _ held: Region.Held)
        throws(ShmemError)
    {
        guard isByMapping else { return }
        let slot = try unsafe pool.use(
            pages, at: guestAddress &+ pages.start, host: window.baseAddress + Int(clamping: pages.start),
            isWritable: MappingWord(bits: record.word).isWritable)
        let entry = MappingRecord(start: record.start, length: record.length, fileOffset: 0, word: UInt64(slot))
        guard case .done = slots[held].insert(entry) else {
            giveBack(slot, held)
            throw ShmemError(ENOMEM, "no memory for the slot of the mapping at \(hex(record.start))")
        }
    }

    func mappingGoes(_ record: MappingRecord, _ held: Region.Held) {
        if let entry = slots[held].remove(at: record.start) { giveBack(UInt32(truncatingIfNeeded: entry.word), held) }
    }

    func allMappingsGo(_ held: Region.Held) {
        while let entry = slots[held].first(endingAfter: 0).flatMap({ slots[held].remove(at: $0.start) }) {
            giveBack(UInt32(truncatingIfNeeded: entry.word), held)
        }
    }

    /// The memory behind a slot may change freely. But if it changes between writable and read-only, KVM needs a new slot.
    func mappingIsExchanged(
        _ old: MappingRecord, for new: MappingRecord, _ pages: ByteRange, in window: RegionWindow, _ held: Region.Held
    ) throws(ShmemError) {
        guard MappingWord(bits: old.word).isWritable != MappingWord(bits: new.word).isWritable else { return }
        mappingGoes(old, held)
        do throws(ShmemError) {
            try mappingComes(new, pages, in: window, held)
        } catch {
            try? mappingComes(old, pages, in: window, held)
            throw error
        }
    }
}
