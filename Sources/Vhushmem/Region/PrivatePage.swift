// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A page of private memory. It is prepared outside of the window and then moved in, so that another vCPU that reads the page
/// meanwhile never sees it empty.
@safe struct PrivatePage: ~Copyable {
    private var address: UnsafeMutableRawPointer?
    private static let length = Int(clamping: Page.size)
    /// The page that it should show could not be read, so it has zeros.
    private(set) var isOfLostPage = false

    private init(owning address: UnsafeMutableRawPointer) {
        unsafe self.address = unsafe address
    }

    /// With the bytes at `source`, or zeros.
    static func make(showing source: UnsafeRawPointer?) throws(Errno) -> PrivatePage {
        let memory = try unsafe MemoryCalls.map(
            nil, length, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS)
        var page = unsafe PrivatePage(owning: memory)
        try unsafe MemoryCalls.advise(memory, length, MADV_DONTDUMP)
        guard let source = unsafe source else { return page }
        do throws(Errno) {
            _ = try unsafe MemoryCalls.copy(from: source, to: memory, length)
        } catch {
            // A page that was lost just now is zeros. A page that only this call may not read must not become zeros.
            if error.code != EFAULT { throw error }
            page.isOfLostPage = true
        }
        return page
    }

    deinit {
        if let address = unsafe address { try? unsafe MemoryCalls.unmap(address, PrivatePage.length) }
    }

    /// `advice`: the advice of the window there.
    consuming func move(to target: UnsafeMutableRawPointer, advice: WindowAdvice) throws(Errno) {
        guard let source = unsafe address else { return }
        if !advice.isEmpty { unsafe advice.give(source, PrivatePage.length) }
        try unsafe MemoryCalls.move(source, PrivatePage.length, to: target)
        unsafe address = nil
    }
}
