// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The host addresses that stand for a region: reserved once, for the region's whole life. Mappings replace parts of the
/// reservation and are replaced by it again, so that there is never an address in it that a stranger's mmap could be given.
///
/// Its address and size never change: they are what a VMM gives its hypervisor as a memory slot. Unchecked Sendable: what does
/// change is guarded by the lock of the region's device.
public final class Window: @unchecked Sendable {
    /// Where byte 0 of the region is.
    public let baseAddress: UnsafeMutableRawPointer
    /// Bytes.
    public let size: UInt64

    /// What the guest may do at addresses where nothing is mapped: PROT_NONE, or PROT_READ of zeros.
    private(set) var holeProtection: Int32

    /// The largest alignment worth having: KVM's largest page.
    static let largestAlignment: UInt64 = 1 << 30

    /// Private, anonymous and never written to: reads see the kernel's zero page, and core dumps leave it out.
    private static let reservationFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE

    private init(baseAddress: UnsafeMutableRawPointer, size: UInt64, holeProtection: Int32) {
        self.baseAddress = baseAddress
        self.size = size
        self.holeProtection = holeProtection
    }

    /// Reserves addresses for a region of `size` bytes, whole pages.
    static func reserve(size: UInt64, holeProtection: Int32) throws(Errno) -> Window {
        let page = Memory.pageSize
        let alignment = Window.alignment(for: size)
        let (padded, overflow) = size.addingReportingOverflow(alignment &- page)
        guard !overflow, let length = Int(exactly: size), let reserved = Int(exactly: padded) else { throw Errno(ENOMEM) }

        let start = try Memory.map(nil, reserved, protection: holeProtection, flags: Window.reservationFlags)
        let address = UInt(bitPattern: start)
        let aligned = (address &+ (UInt(alignment) &- 1)) & ~(UInt(alignment) &- 1)
        let before = Int(bitPattern: aligned &- address)
        let after = reserved &- before &- length
        // SAFETY: before + length + after == reserved, all of it reserved just now and known to nobody else. What can't be cut off
        // (the process has too many mappings to split one more) goes as a whole.
        do throws(Errno) {
            if after > 0 { try Memory.unmap(start + before + length, after) }
        } catch {
            try? Memory.unmap(start, reserved)
            throw error
        }
        do throws(Errno) {
            if before > 0 { try Memory.unmap(start, before) }
        } catch {
            try? Memory.unmap(start, before &+ length)
            throw error
        }
        return Window(baseAddress: start + before, size: size, holeProtection: holeProtection)
    }

    deinit {
        // The kernel refuses to unmap whole mappings only where the range is not ours to unmap, which it is.
        try? Memory.unmap(baseAddress, Int(clamping: size))
    }

    /// The largest power of two that is no larger than the size, within what is worth having.
    static func alignment(for size: UInt64) -> UInt64 {
        let bounded = max(Memory.pageSize, min(size, largestAlignment))
        return 1 << UInt64(63 &- bounded.leadingZeroBitCount)
    }

    /// Maps a file over a part of the window. When it throws, that part is reserved as before.
    ///
    /// `isBatched`: the caller leaves several mappings out of core dumps at once. Returns whether this one is left to it.
    @_optimize(speed)
    func place(fd: Int32, over range: ByteRange, plan: FilePlan, advice: Int32?, isBatched: Bool) throws(Errno) -> Bool {
        guard let length = Int(exactly: range.length), let offset = Int(exactly: range.start) else { throw Errno(ENOMEM) }
        let address = baseAddress + offset
        if plan.canMapInPlace, Window.memfdDevice != nil {
            do throws(Errno) {
                _ = try Memory.map(
                    address, length, protection: plan.protection, flags: plan.flags | MAP_FIXED, fd: fd, offset: plan.fileOffset
                )
            } catch {
                restoreAfterFailure(address, length)
                throw error
            }
            do throws(Errno) {
                try Window.advise(address, length, advice, isBatched: isBatched)
            } catch {
                try? clear(range)
                throw error
            }
            return isBatched
        } else {
            // The kernel unmaps what is there before it asks the file. A file that may refuse is asked elsewhere, so that a refusal
            // opens no gap here; what it agreed to is moved in, in one step.
            let made = try Memory.map(
                nil, length, protection: plan.protection, flags: plan.flags, fd: fd, offset: plan.fileOffset)
            do throws(Errno) {
                try Window.advise(made, length, advice, isBatched: false)
                try Memory.move(made, length, to: address)
            } catch {
                try? Memory.unmap(made, length)
                restoreAfterFailure(address, length)
                throw error
            }
            return false
        }
    }

    @inline(__always)
    private static func advise(
        _ address: UnsafeMutableRawPointer, _ length: Int, _ advice: Int32?, isBatched: Bool
    ) throws(Errno) {
        if !isBatched { try Memory.advise(address, length, MADV_DONTDUMP) }
        // A kernel or file system without huge pages says no, and the mapping is as good as before.
        if let advice { try? Memory.advise(address, length, advice) }
    }

    /// Makes a part of the window a hole again.
    ///
    /// Where the process has used up its separate mappings the kernel refuses every new one, even one that makes them fewer. Then what is
    /// there is kept and nobody can touch it any more, until something else is mapped over it.
    @_optimize(speed)
    func clear(_ range: ByteRange) throws(Errno) {
        do throws(Errno) {
            try fill(range, protection: holeProtection)
        } catch {
            guard error.code == ENOMEM, holeProtection == PROT_NONE, let length = Int(exactly: range.length),
                let offset = Int(exactly: range.start), (try? Memory.protect(baseAddress + offset, length, PROT_NONE)) != nil
            else { throw error }
        }
    }

    /// Replaces a part of the window by anonymous memory.
    @_optimize(speed)
    func fill(_ range: ByteRange, protection: Int32) throws(Errno) {
        guard let length = Int(exactly: range.length), let offset = Int(exactly: range.start) else { throw Errno(ENOMEM) }
        let address = baseAddress + offset
        do throws(Errno) {
            _ = try Memory.map(
                address, length, protection: protection, flags: Window.reservationFlags | MAP_FIXED)
        } catch {
            restoreAfterFailure(address, length)
            throw error
        }
        // What a guest writes there is its own.
        if protection & PROT_WRITE != 0 { try? Memory.advise(address, length, MADV_DONTDUMP) }
    }

    /// From now on `clear` leaves zeros that can be read. What is a hole already is the caller's to change.
    func showZerosInHoles() {
        holeProtection = PROT_READ
    }

    /// A kernel that is out of memory may have unmapped what was there before it failed: close the gap. One that has kept it answers
    /// EEXIST, and so would a stranger's mapping that got in, which must not be replaced.
    private func restoreAfterFailure(_ address: UnsafeMutableRawPointer, _ length: Int) {
        do throws(Errno) {
            _ = try Memory.map(
                address, length, protection: holeProtection, flags: Window.reservationFlags | vhu_map_fixed_noreplace)
        } catch {
            if error.code != EEXIST, !Memory.isMapped(address, length) {
                Log.critical("cannot reserve \(length) bytes of a window again: \(Errno.text(error.code))")
            }
        }
    }

    /// The device that memfds are on, where the kernel looks at their seals before it unmaps anything: a MAP_FIXED that they refuse leaves
    /// what was mapped there, and one for reading is let through whatever they are. nil: an older kernel. There nothing is mapped in
    /// place, since a back-end may seal its memfd between our look and the kernel's; and seals have to be asked for.
    static let memfdDevice: UInt64? = {
        let length = Int(clamping: Memory.pageSize)
        guard let sealed = try? systemCall(.memfd, { vhu_memfd_sealed_against_writing() }) else { return nil }
        let file = FileDescriptor(owning: sealed)
        guard let status = try? FileStatus(of: file.raw),
            let page = try? Memory.map(nil, length, protection: PROT_NONE, flags: reservationFlags)
        else { return nil }
        let asked = try? Memory.map(
            page, length, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED | MAP_FIXED, fd: file.raw)
        let refilled = try? Memory.map(
            page, length, protection: PROT_NONE, flags: reservationFlags | vhu_map_fixed_noreplace)
        // Who does not know that flag finds another place, if this one is taken.
        if let refilled, refilled != page { try? Memory.unmap(refilled, length) }
        let read = try? Memory.map(nil, length, protection: PROT_READ, flags: MAP_SHARED, fd: file.raw)
        if let read { try? Memory.unmap(read, length) }
        try? Memory.unmap(page, length)
        return asked == nil && refilled != page && read != nil ? status.identity.device : nil
    }()
}
