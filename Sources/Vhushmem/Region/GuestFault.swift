// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The access of a guest to an address that cannot serve it.
public enum GuestAccess: UInt32, Sendable {
    /// A load.
    case read = 0
    /// A store.
    case write = 1
    /// The exit does not tell.
    case unknown = 2
}

extension Region {
    /// Performs an access that KVM passed on with its data (KVM_EXIT_MMIO). A hole reads as zeros, and a write that is not
    /// allowed is dropped. If bytes were mapped meanwhile, it reads or writes them.
    ///
    /// - Parameters:
    ///   - offset: the first byte in the region.
    ///   - data: KVM's data: the bytes to write, or room for those read.
    ///   - isWrite: it is a write.
    /// - Throws: ENXIO: the access is outside the region.
    public func emulateGuestAccess(at offset: UInt64, data: UnsafeMutableRawBufferPointer, isWrite: Bool) throws(ShmemError) {
        guard let range = ByteRange(start: offset, length: UInt64(data.count)), range.end <= size else {
            throw ShmemError(ENXIO, "the guest's access at \(hex(offset)) is outside region \(shmid)")
        }
        var done: UInt64 = 0
        while done < range.length {
            // An access may cross from a mapping into a hole, so this goes a page at a time.
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
            // EFAULT is a page that its file has lost, which is a hole to the guest. But the program must learn if this process
            // may not make these calls.
            if error.code != EFAULT { throw error }
        }
    }

    /// Prepares the memory at an address for an access that failed (KVM_RUN answered EFAULT), so that the instruction works
    /// when it runs again.
    ///
    /// - Parameters:
    ///   - offset: the first byte in the region; nil: the exit does not tell.
    ///   - length: bytes.
    ///   - access: what the guest tried.
    /// - Throws: ENXIO (the access is outside the region, or it did not fail at a hole of the region), ENOSPC (the guest has
    ///   written to too many read-only pages), ENOMEM.
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

    /// Prepares a page for an access of this process itself, which the kernel answered with SIGSEGV. False: that is impossible.
    /// For signal handlers.
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
        // A touch of the page may wait for the file's storage or server, so no lock is held.
        switch unsafe MemoryCalls.touch(window.baseAddress + Int(clamping: page), writing: false) {
        case .fails:
            try replaceLostPage(of: owner, at: page)
            if access == .write, !isWritable { try keepWritesApart(of: owner, at: page) }
        case .unknown:
            if mayRunAgain(page, of: owner.facts.generation) { return }
            try replaceForGood(of: owner, at: page)
        case .works where access == .read:
            // Another thread has mapped it meanwhile: the instruction works now.
            return
        case .works where isWritable:
            try keepWritesApartIfNeeded(of: owner, at: page)
        case .works:
            // A read works now. So if the access is unknown, the instruction has one more try.
            if access == .unknown, mayRunAgain(page, of: owner.facts.generation, atMost: 1) { return }
            try keepWritesApart(of: owner, at: page)
        }
    }

    // MARK: With the lock held

    /// All holes at once: if some stayed as they are, each unmap would leave a patch of one kind in the middle of the other,
    /// and a guest could make the process run out of separate mappings.
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

    /// Pages that a guest has written to in the hole keep their bytes.
    private func showZeros(in hole: ByteRange, _ held: Held) throws(Errno) {
        var from = hole.start
        while from < hole.end {
            let end = covers[held].firstToKeep(in: from..<hole.end) ?? hole.end
            if let piece = ByteRange(start: from, length: end &- from), piece.length > 0 {
                // A mapping that the kernel would not undo is still a file, and must not be seen.
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
