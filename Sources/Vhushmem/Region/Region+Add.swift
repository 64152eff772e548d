// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Two other ways to make a mapping: in a free range, and from an object that was made before.
extension Region {
    /// Finds a free range and maps a file there.
    ///
    /// - Parameters:
    ///   - fd: the file, which stays the caller's.
    ///   - fileOffset: first byte in the file; a multiple of the page size.
    ///   - length: bytes.
    ///   - alignment: of the range's offset, a power of two and no less than the page size; 0: the file's page size.
    ///   - writable: the guest may write to it.
    /// - Returns: the range's offset in the region.
    /// - Throws: what `map` does, and ENOSPC if no free range is large enough.
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
        let subject = ShmemError.Subject.alloc(shmid: shmid, length: length)
        guard alignment == 0 || alignment.isPowerOfTwo && alignment >= Page.size else {
            throw ShmemError(EINVAL, subject, .badAlignment(alignment, pageSize: Page.size))
        }
        guard length > 0 else { throw ShmemError(EINVAL, subject, .zeroLength) }
        let align = alignment == 0 ? FilePolicy.pageSize(of: fd) : alignment
        guard let pages = ByteRange(start: 0, length: length)?.roundedUp(to: Page.size), pages.length <= size else {
            throw ShmemError(ENOSPC, subject, .noFreeRange(size: size))
        }
        while true {
            let free = device.lock.withLock { held in
                table[held].firstGap(of: pages.length, alignment: align, in: size, from: 0)
            }
            guard let free else { throw ShmemError(ENOSPC, subject, .noFreeRange(size: size)) }
            do throws(ShmemError) {
                let request = SharedMemoryMap(shmid: shmid, fileOffset: fileOffset, offset: free, length: length, flags: flags)
                try map(request, fd: fd, .replacesNothing)
                if device.isObserved { Trace.tellMapping(BackendRequest.shmemMap, request, nil) }
                commit()
                return free
            } catch {
                // The lock is not held while the file is checked, so another thread may have taken the range. Then this looks
                // again.
                if case .overlap = error.reason { continue }
                throw error
            }
        }
    }

    /// Makes a mapping live that was described before.
    ///
    /// - Parameter mapping: one that was not added before.
    /// - Throws: what `map` throws, EINVAL for one that was made for a region with another id, and EBUSY for one that was added
    ///   before.
    public func add(_ mapping: Mapping) throws(ShmemError) {
        let asked = mapping.asked
        guard asked.shmid == shmid else {
            throw ShmemError(EINVAL, asked.mapSubject, .text("it was made for region \(asked.shmid)"))
        }
        guard mapping.claim() else {
            throw ShmemError(EBUSY, asked.mapSubject, .text("it was added to a region before"))
        }
        do throws(ShmemError) {
            try telling(BackendRequest.shmemMap, asked) { () throws(ShmemError) in
                try map(asked, fd: mapping.fd, object: mapping)
            }
        } catch {
            mapping.unclaim()
            throw error
        }
        commit()
    }
}
