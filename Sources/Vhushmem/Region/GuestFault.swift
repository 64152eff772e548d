// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What a guest tried at an address that can't serve it.
public enum GuestAccess: UInt32, Sendable {
    /// A load.
    case read = 0
    /// A store.
    case write = 1
    /// The exit does not tell.
    case unknown = 2
}

extension Region {
    /// Carries out an access that KVM handed over with its data (KVM_EXIT_MMIO): a hole reads as zeros, a write that is not allowed is
    /// dropped, and what has come to be mapped meanwhile is read and written for real.
    ///
    /// - Parameters:
    ///   - offset: the first byte in the region.
    ///   - data: as KVM has it: what is written, or room for what is read.
    ///   - isWrite: it is a write.
    /// - Throws: ENXIO: the access is outside the region.
    public func emulateGuestAccess(at offset: UInt64, data: UnsafeMutableRawBufferPointer, isWrite: Bool) throws(ShmemError) {
        guard let range = ByteRange(start: offset, length: UInt64(data.count)), range.end <= size else {
            throw ShmemError(ENXIO, "the guest's access at \(hex(offset)) is outside region \(shmid)")
        }
        var done: UInt64 = 0
        while done < range.length {
            // An access may cross from a mapping into a hole: a page at a time.
            let at = offset &+ done
            let piece = min(range.length &- done, Page.size &- (at & (Page.size &- 1)))
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: data[Int(clamping: done)..<Int(clamping: done &+ piece)])
            do throws(Errno) {
                try unsafe emulate(at: at, part, isWrite: isWrite)
            } catch {
                throw ShmemError(
                    error.code,
                    "cannot carry out the guest's access at \(hex(at)) of region \(shmid): \(Errno.text(error.code))")
            }
            done = done &+ piece
        }
    }

    private func emulate(at offset: UInt64, _ data: UnsafeMutableRawBufferPointer, isWrite: Bool) throws(Errno) {
        guard let start = data.baseAddress else { return }
        let host = unsafe translate(offset, length: UInt64(data.count), forWriting: isWrite)
        if !isWrite { unsafe data.initializeMemory(as: UInt8.self, repeating: 0) }
        guard let host = unsafe host else { return }
        do throws(Errno) {
            _ =
                unsafe isWrite
                ? try MemoryCalls.store(start, at: host, data.count) : try MemoryCalls.copy(from: host, to: start, data.count)
        } catch {
            // EFAULT: a page that its file has lost, which is a hole to the guest. A process that may not make these calls must know.
            if error.code != EFAULT { throw error }
        }
    }

    /// Makes the memory at an address take the access that failed (KVM_RUN answered EFAULT), so that the instruction can run again.
    ///
    /// - Parameters:
    ///   - offset: the first byte in the region; nil: the exit does not tell where.
    ///   - length: bytes.
    ///   - access: what the guest did.
    /// - Throws: ENXIO (the access is outside the region, or it is not a hole of the region that it failed at), ENOSPC (the guest has
    ///   written to too many pages that it may only read), ENOMEM.
    public func resolveGuestFault(at offset: UInt64?, length: UInt64, access: GuestAccess) throws(ShmemError) {
        guard let offset else {
            let changed: Bool
            do throws(Errno) {
                changed = try device.lock.withLock { held throws(Errno) in try showZerosInHoles(held) }
            } catch {
                throw ShmemError(error.code, "cannot fill the holes of region \(shmid) with zeros: \(Errno.text(error.code))")
            }
            if !changed { throw ShmemError(ENXIO, "every hole of region \(shmid) shows zeros already: the fault is not there") }
            return
        }
        guard let range = ByteRange(start: offset, length: max(length, 1)), range.end <= size else {
            throw ShmemError(ENXIO, "the guest's access at \(hex(offset)) is outside region \(shmid)")
        }
        var at = offset & ~(Page.size &- 1)
        while at < range.end {
            do throws(PageTrouble) {
                try resolve(page: at, access)
            } catch {
                throw error.error(at: at, of: self)
            }
            at = at &+ Page.size
        }
    }

    /// Makes a page take an access of this process's own, which the kernel answered with SIGSEGV. False: that can't be. For signal handlers.
    func takeAccess(at page: UInt64, _ access: GuestAccess) -> Bool {
        do throws(PageTrouble) {
            try resolve(page: page, access)
            return true
        } catch {
            return false
        }
    }

    /// Allocates nothing.
    private func resolve(page: UInt64, _ access: GuestAccess) throws(PageTrouble) {
        let owner = try device.lock.withLock { held throws(PageTrouble) -> MappingRecord? in
            endLeases(at: Clock.now(), held)
            if let record = table[held].first(endingAfter: page), record.start <= page { return record }
            guard access != .read else {
                do throws(Errno) {
                    try showZerosInHoles(held)
                } catch {
                    throw .failed(error.code)
                }
                return nil
            }
            if covers[held].cover(of: page) == nil {
                try unsafe put(privatePage(showing: nil), at: page, .inHole, of: nil, held)
            }
            return nil
        }
        if let owner { try resolve(page: page, of: owner, access) }
    }

    private func resolve(page: UInt64, of owner: MappingRecord, _ access: GuestAccess) throws(PageTrouble) {
        let isWritable = MappingWord(bits: owner.word).isWritable
        // Touching the page may wait for whoever keeps the file: no lock is held meanwhile.
        switch unsafe MemoryCalls.touch(window.baseAddress + Int(clamping: page), writing: false) {
        case .fails:
            try replaceLostPage(of: owner, at: page)
            if access == .write, !isWritable { try keepWritesApart(of: owner, at: page) }
        case .unknown:
            if mayRunAgain(page, of: owner.facts.generation) { return }
            try replaceForGood(of: owner, at: page)
        case .works where access == .read:
            // Mapped meanwhile, by another thread: the instruction works now.
            return
        case .works where isWritable:
            try keepWritesApartIfNeeded(of: owner, at: page)
        case .works:
            // What was a read works now, so where it is not known what it was the instruction has one more try.
            if access == .unknown, mayRunAgain(page, of: owner.facts.generation, atMost: 1) { return }
            try keepWritesApart(of: owner, at: page)
        }
    }

    // MARK: With the lock held

    /// All holes at once: were some to stay as they are, each unmap would leave a patch of one kind in the midst of the other, and
    /// a guest could make the process run out of separate mappings.
    @discardableResult
    private func showZerosInHoles(_ held: Held) throws(Errno) -> Bool {
        guard window.holeProtection[held] == PROT_NONE else { return false }
        var from: UInt64 = 0
        while from < size {
            let next = table[held].first(endingAfter: from)
            let end = next?.start ?? size
            if let hole = ByteRange(start: from, length: end &- from), hole.length > 0 {
                try showZeros(in: hole, held)
            }
            guard let next, let pages = ownedPages(next) else { break }
            from = pages.end
        }
        window.showZerosInHoles(held)
        return true
    }

    /// Pages that a guest has written to in the hole keep what they have.
    private func showZeros(in hole: ByteRange, _ held: Held) throws(Errno) {
        var from = hole.start
        while from < hole.end {
            let end = covers[held].firstToKeep(in: from..<hole.end) ?? hole.end
            if let piece = ByteRange(start: from, length: end &- from), piece.length > 0 {
                // What the kernel would not undo is a file still, and must not be seen.
                if census[held].kept == 0 {
                    try window.showZeros(in: piece, held)
                } else {
                    try window.fill(piece, protection: PROT_READ, held)
                }
            }
            from = end &+ Page.size
        }
    }
}
