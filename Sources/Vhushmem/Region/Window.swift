// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The host addresses that stand for a region: reserved once, for the region's whole life. Mappings replace parts of the
/// reservation, and the reservation replaces them again. So the window never has an address that another mmap could get.
///
/// Its address and size never change: a VMM gives them to its hypervisor as a memory slot. Unchecked Sendable: what does change
/// is guarded, and so is the content of the window.
@safe public final class RegionWindow: @unchecked Sendable {
    /// The address of byte 0 of the region.
    public let baseAddress: UnsafeMutableRawPointer
    /// Bytes.
    public let size: UInt64

    /// The protection of addresses where nothing is mapped: PROT_NONE, or PROT_READ of zeros.
    private(set) var holeProtection: Guarded<Int32>
    /// The program's advice to the kernel for all that is in the window, holes and mappings alike.
    private var advice = Guarded(WindowAdvice())
    /// Every mapping asks for huge pages.
    private let hugePages: Bool
    /// Mappings get advice, of either kind.
    private var isAdvised: Guarded<Bool>

    typealias Held = DeviceState.Held
    typealias Guarded = DeviceState.Guarded

    /// The largest useful alignment: KVM's largest page.
    static let largestAlignment: UInt64 = 1 << 30

    /// Private, anonymous and never written to: reads see the kernel's zero page, and core dumps leave it out.
    private static let reservationFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE

    private init(baseAddress: UnsafeMutableRawPointer, size: UInt64, holeProtection: Int32, hugePages: Bool) {
        unsafe self.baseAddress = unsafe baseAddress
        self.size = size
        self.hugePages = hugePages
        isAdvised = Guarded(hugePages)
        self.holeProtection = Guarded(holeProtection)
    }

    /// Reserves addresses for a region of `size` bytes, whole pages.
    static func reserve(size: UInt64, holeProtection: Int32, hugePages: Bool = false) throws(Errno) -> RegionWindow {
        guard let length = Int(exactly: size) else { throw Errno(ENOMEM) }
        let start = try unsafe reserveAddresses(length, alignment: RegionWindow.alignment(for: size))
        do throws(Errno) {
            // In two steps: if the process locks all that it maps (mlockall), the kernel fills readable memory when it is
            // mapped.
            if holeProtection != PROT_NONE { try unsafe MemoryCalls.protect(start, length, holeProtection) }
        } catch {
            try? unsafe MemoryCalls.unmap(start, length)
            throw error
        }
        return unsafe RegionWindow(baseAddress: start, size: size, holeProtection: holeProtection, hugePages: hugePages)
    }

    /// Reserves addresses that begin at a multiple of `alignment`, with nothing there.
    static func reserveAddresses(_ length: Int, alignment: UInt64) throws(Errno) -> UnsafeMutableRawPointer {
        let (padded, overflow) = UInt64(clamping: length).addingReportingOverflow(alignment &- Page.size)
        guard !overflow, let reserved = Int(exactly: padded) else { throw Errno(ENOMEM) }

        let start = try unsafe MemoryCalls.map(nil, reserved, protection: PROT_NONE, flags: RegionWindow.reservationFlags)
        let address = UInt(bitPattern: start)
        let aligned = (address &+ (UInt(alignment) &- 1)) & ~(UInt(alignment) &- 1)
        let before = Int(bitPattern: aligned &- address)
        let after = reserved &- before &- length
        // SAFETY: before + length + after == reserved, all of it reserved just now and known to no other code. A part that
        // cannot be cut off (the process has too many mappings to split one more) goes as a whole.
        do throws(Errno) {
            if after > 0 { try unsafe MemoryCalls.unmap(start + before + length, after) }
        } catch {
            try? unsafe MemoryCalls.unmap(start, reserved)
            throw error
        }
        do throws(Errno) {
            if before > 0 { try unsafe MemoryCalls.unmap(start, before) }
        } catch {
            try? unsafe MemoryCalls.unmap(start, before &+ length)
            throw error
        }
        return unsafe start + before
    }

    deinit {
        // The kernel refuses to unmap whole mappings only if the range belongs to other code, and this range does not.
        try? unsafe MemoryCalls.unmap(baseAddress, Int(clamping: size))
    }

    /// The largest power of two that is no larger than the size, up to the largest useful one.
    static func alignment(for size: UInt64) -> UInt64 {
        let bounded = max(Page.size, min(size, largestAlignment))
        return 1 << UInt64(63 &- bounded.leadingZeroBitCount)
    }

    // MARK: Mappings come

    /// Maps a file of a kind that refuses nothing over a part of the window. When it throws, that part is reserved as before.
    ///
    /// `isBatched`: the caller leaves several mappings out of core dumps at once.
    @_optimize(speed)
    @inline(__always)
    func place(fd: Int32, _ plan: FilePlan, isBatched: Bool, _ held: Held) throws(Errno) {
        // Both are numbers of an existing window, so they fit.
        let length = Int(truncatingIfNeeded: plan.pages.length)
        let address = unsafe baseAddress + Int(truncatingIfNeeded: plan.pages.start)
        do throws(Errno) {
            try unsafe MemoryCalls.map(
                over: address, length, protection: plan.protection, flags: plan.flags, fd: fd, offset: plan.fileOffset)
        } catch {
            unsafe restoreAfterFailure(address, length, held)
            throw error
        }
        do throws(Errno) {
            if !isBatched { try unsafe MemoryCalls.advise(address, length, MADV_DONTDUMP) }
        } catch {
            _ = try? clear(plan.pages, held)
            throw error
        }
        if isAdvised[held] { unsafe advise(address, length, held) }
    }

    /// Replaces a part of the window by a prepared mapping, in one step: no thread sees the part empty. When it throws, the old
    /// content is still there. But a kernel before 6.17 may have unmapped it when it is out of memory, and then that part is a
    /// hole: `wasLost` says so.
    func place(_ prepared: consuming PreparedMapping, at offset: UInt64, wasLost: inout Bool, _ held: Held) throws(Errno) {
        let address = unsafe baseAddress + Int(clamping: offset)
        let length = prepared.length
        do throws(Errno) {
            try unsafe prepared.move(to: address)
        } catch {
            wasLost = unsafe restoreAfterFailure(address, length, held)
            throw error
        }
        if isAdvised[held] { unsafe advise(address, length, held) }
    }

    /// Replaces a page of the window by a page of private memory, in one step.
    func place(_ page: consuming PrivatePage, at offset: UInt64, _ held: Held) throws(Errno) {
        try unsafe page.move(to: baseAddress + Int(clamping: offset), advice: advice[held])
    }

    /// Gives the kernel the region's and the program's advice for a mapping. If a kernel or file system does not support it,
    /// the mapping is as good as before.
    @inline(never)
    private func advise(_ address: UnsafeMutableRawPointer, _ length: Int, _ held: Held) {
        if hugePages { try? unsafe MemoryCalls.advise(address, length, MADV_HUGEPAGE) }
        unsafe advice[held].give(address, length)
    }

    // MARK: Mappings go

    /// The state of a part of the window that should be a hole again.
    enum Clearing {
        case isHole
        /// The old content is still there, and nothing can touch it.
        case isKept
    }

    /// Makes a part of the window a hole again.
    ///
    /// If the process has used up its separate mappings, the kernel refuses every new one, even one that makes them fewer. Then
    /// a few of this library's go for a moment. A process that locks all that it maps (mlockall) gets EAGAIN if it may lock no
    /// more. If nothing helps, the content is kept and nothing can touch it any more, until something else is mapped over it.
    @discardableResult
    @_optimize(speed)
    func clear(_ range: ByteRange, _ held: Held) throws(Errno) -> Clearing {
        do throws(Errno) {
            try fill(range, protection: holeProtection[held], held)
            return .isHole
        } catch {
            guard error.code == ENOMEM || error.code == EAGAIN else { throw error }
            return try clearAtLimit(range, error, held)
        }
    }

    @inline(never)
    private func clearAtLimit(_ range: ByteRange, _ error: Errno, _ held: Held) throws(Errno) -> Clearing {
        let isDone =
            Ballast.lend { () -> Bool in
                do throws(Errno) {
                    try fill(range, protection: holeProtection[held], held)
                    return true
                } catch { return false }
            } ?? false
        if isDone { return .isHole }
        guard holeProtection[held] == PROT_NONE, let length = Int(exactly: range.length),
            let offset = Int(exactly: range.start),
            unsafe (try? MemoryCalls.protect(baseAddress + offset, length, PROT_NONE)) != nil
        else { throw error }
        return .isKept
    }

    /// Makes the whole window a hole again. It takes as long as one mapping, whatever was there.
    func clearAll(_ held: Held) throws(Errno) -> Clearing {
        guard let everything = ByteRange(start: 0, length: size), let length = Int(exactly: size) else { throw Errno(ENOMEM) }
        guard holeProtection[held] != PROT_NONE else { return try clear(everything, held) }
        // Readable zeros are made elsewhere in two steps and moved in: if the process locks all that it maps, the kernel would
        // fill a mapping of the whole window when it is made.
        let made = try unsafe RegionWindow.reserveAddresses(length, alignment: Page.size)
        do throws(Errno) {
            try unsafe MemoryCalls.protect(made, length, holeProtection[held])
            try unsafe MemoryCalls.move(made, length, to: baseAddress)
        } catch {
            try? unsafe MemoryCalls.unmap(made, length)
            unsafe restoreAfterFailure(baseAddress, length, held)
            throw error
        }
        if !advice[held].isEmpty { unsafe advice[held].give(baseAddress, length) }
        return .isHole
    }

    /// Replaces a part of the window by anonymous memory.
    @_optimize(speed)
    func fill(_ range: ByteRange, protection: Int32, _ held: Held) throws(Errno) {
        guard let length = Int(exactly: range.length), let offset = Int(exactly: range.start) else { throw Errno(ENOMEM) }
        let address = unsafe baseAddress + offset
        do throws(Errno) {
            try unsafe MemoryCalls.map(over: address, length, protection: protection, flags: RegionWindow.reservationFlags)
        } catch {
            unsafe restoreAfterFailure(address, length, held)
            throw error
        }
        // The writes of a guest there stay in this memory.
        if protection & PROT_WRITE != 0 { try? unsafe MemoryCalls.advise(address, length, MADV_DONTDUMP) }
        if !advice[held].isEmpty { unsafe advice[held].give(address, length) }
    }

    /// Lets a hole, over which nothing was ever mapped, show zeros. No page is made, even if the process locks all that it
    /// maps.
    func showZeros(in hole: ByteRange, _ held: Held) throws(Errno) {
        guard let length = Int(exactly: hole.length), let offset = Int(exactly: hole.start) else { throw Errno(ENOMEM) }
        try unsafe MemoryCalls.protect(baseAddress + offset, length, PROT_READ)
    }

    /// From now on `clear` leaves readable zeros. The caller must change the present holes.
    func showZerosInHoles(_ held: Held) {
        holeProtection[held] = PROT_READ
    }

    /// Gives the kernel advice for the whole window, and for everything that is mapped or becomes a hole in it later.
    func advise(_ new: Int32, _ held: Held) throws(Errno) {
        try unsafe MemoryCalls.advise(baseAddress, Int(clamping: size), new)
        advice[held].add(new)
        isAdvised[held] = true
    }

    /// Closes a gap: a kernel that is out of memory may have unmapped the old content before it failed. If it has kept the
    /// content it answers EEXIST; so it does for another mmap's mapping that got in, which must not be replaced. Returns
    /// whether there was a gap.
    @discardableResult
    private func restoreAfterFailure(_ address: UnsafeMutableRawPointer, _ length: Int, _ held: Held) -> Bool {
        do throws(Errno) {
            let made = try unsafe MemoryCalls.map(
                address, length, protection: holeProtection[held],
                flags: RegionWindow.reservationFlags | vhu_map_fixed_noreplace)
            // A kernel before 4.17 does not know the flag, and finds another place if this one is taken.
            if unsafe made != address {
                try? unsafe MemoryCalls.unmap(made, length)
                return false
            }
            return true
        } catch {
            if error.code != EEXIST, unsafe !MemoryCalls.isMapped(address, length) {
                Log.later(
                    "cannot reserve \(length) bytes of a window again: \(Errno.text(error.code))", isCritical: true)
            }
            return false
        }
    }

    /// The result of one trial with a sealed memfd.
    private static let trial = MemfdTrial.run()

    /// The device of memfds, if the kernel checks their seals before it unmaps anything: a MAP_FIXED that they refuse leaves
    /// the old mapping in place, and one for reading passes whatever the seals are. nil: an older kernel. There nothing is
    /// mapped in place, because a back-end may seal its memfd between the library's check and the kernel's; and seals must be
    /// asked for.
    static let memfdDevice: UInt64? = trial.looksBeforeItUnmaps ? trial.device : nil

    /// The device of memfds of ordinary pages; nil: this process can make none.
    static let deviceOfMemfds: UInt64? = trial.device
}
