// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A page of private memory, made ready away from the window and then moved in, so that another vCPU that reads the page meanwhile
/// never sees it empty.
struct PrivatePage: ~Copyable {
    private var address: UnsafeMutableRawPointer?
    private static let length = Int(clamping: Page.size)
    /// The page that it was to show could not be read, so it has zeros.
    private(set) var isOfLostPage = false

    private init(owning address: UnsafeMutableRawPointer) {
        self.address = address
    }

    /// With the bytes at `source`, or zeros.
    static func make(showing source: UnsafeRawPointer?) throws(Errno) -> PrivatePage {
        let memory = try MemoryCalls.map(nil, length, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS)
        var page = PrivatePage(owning: memory)
        try MemoryCalls.advise(memory, length, MADV_DONTDUMP)
        guard let source else { return page }
        do throws(Errno) {
            _ = try MemoryCalls.copy(from: source, to: memory, length)
        } catch {
            // A page that was lost just now is zeros; one that only this call may not read must not be.
            if error.code != EFAULT { throw error }
            page.isOfLostPage = true
        }
        return page
    }

    deinit {
        if let address { try? MemoryCalls.unmap(address, PrivatePage.length) }
    }

    /// `advice`: what the window there has.
    consuming func move(to target: UnsafeMutableRawPointer, advice: WindowAdvice) throws(Errno) {
        guard let source = address else { return }
        if !advice.isEmpty { advice.give(source, PrivatePage.length) }
        try MemoryCalls.move(source, PrivatePage.length, to: target)
        address = nil
    }
}
