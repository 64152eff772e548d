// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A file that was mapped outside of the window, to be moved in.
///
/// The kernel unmaps what is there before it asks the file. A file that may refuse, or may wait, is asked here instead, with no
/// lock held: a refusal opens no gap in the window. An accepted file is moved in, in one step. The same is done for a map that
/// replaces a live mapping.
@safe struct PreparedMapping: ~Copyable {
    private var address: UnsafeMutableRawPointer?
    let length: Int

    private init(owning address: UnsafeMutableRawPointer, _ length: Int) {
        unsafe self.address = unsafe address
        self.length = length
    }

    /// Maps the file as planned. Throws EOPNOTSUPP if the kernel would not move it: it unmaps the target before it refuses
    /// (huge pages before Linux 5.16; a device whose driver does not allow it).
    static func make(fd: Int32, _ plan: FilePlan) throws(Errno) -> PreparedMapping {
        guard let length = Int(exactly: plan.pages.length) else { throw Errno(ENOMEM) }
        let made = try unsafe MemoryCalls.map(
            nil, length, protection: plan.protection, flags: plan.flags, fd: fd, offset: plan.fileOffset)
        var prepared = unsafe PreparedMapping(owning: made, length)
        try unsafe MemoryCalls.advise(made, length, MADV_DONTDUMP)
        if !plan.canMapInPlace { try prepared.tryToMove(alignment: plan.pageSize) }
        return prepared
    }

    /// Moves it once to addresses of this library, where a refusal does no harm.
    private mutating func tryToMove(alignment: UInt64) throws(Errno) {
        guard let from = unsafe address else { return }
        let target = try unsafe RegionWindow.reserveAddresses(length, alignment: alignment)
        let mark: MarkedPage
        do throws(Errno) {
            mark = try unsafe MarkedPage.make(at: target)
        } catch {
            try? unsafe MemoryCalls.unmap(target, length)
            throw error
        }
        do throws(Errno) {
            try unsafe MemoryCalls.move(from, length, to: target)
        } catch {
            // If the target went before the refusal, its addresses may belong to another mmap by now.
            if mark.isThere { try? unsafe MemoryCalls.unmap(target, length) }
            throw error.code == EINVAL || error.code == EPERM ? Errno(EOPNOTSUPP) : error
        }
        unsafe address = unsafe target
    }

    deinit {
        if let address = unsafe address { try? unsafe MemoryCalls.unmap(address, length) }
    }

    consuming func move(to target: UnsafeMutableRawPointer) throws(Errno) {
        guard let source = unsafe address else { return }
        try unsafe MemoryCalls.move(source, length, to: target)
        unsafe address = nil
    }
}
