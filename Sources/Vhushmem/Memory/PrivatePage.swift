// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A page of private memory, made ready away from the window and then moved in, so that another vCPU that reads the page meanwhile
/// never sees it empty.
struct PrivatePage: ~Copyable {
    private var address: UnsafeMutableRawPointer?
    private static let length = Int(clamping: Memory.pageSize)

    private init(owning address: UnsafeMutableRawPointer) {
        self.address = address
    }

    /// With the bytes at `source`, or zeros.
    static func make(showing source: UnsafeRawPointer?) throws(Errno) -> PrivatePage {
        let memory = try Memory.map(nil, length, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS)
        let page = PrivatePage(owning: memory)
        try Memory.advise(memory, length, MADV_DONTDUMP)
        guard let source else { return page }
        do throws(Errno) {
            _ = try Memory.copy(from: source, to: memory, length)
        } catch {
            // A page that was lost just now is zeros; one that only this call may not read must not be.
            if error.code != EFAULT { throw error }
        }
        return page
    }

    deinit {
        if let address { try? Memory.unmap(address, PrivatePage.length) }
    }

    consuming func move(to target: UnsafeMutableRawPointer) throws(Errno) {
        guard let source = address else { return }
        try Memory.move(source, PrivatePage.length, to: target)
        address = nil
    }
}
