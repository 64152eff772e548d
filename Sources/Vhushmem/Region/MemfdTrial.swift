// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Finds out, with a page of its own, what the kernel does with a MAP_FIXED that a sealed memfd refuses.
struct MemfdTrial {
    /// The device of memfds; nil: none can be made.
    let device: UInt64?
    /// The old mapping is still there, and a sealed memfd can be mapped for reading.
    let looksBeforeItUnmaps: Bool

    private static let length = Int(clamping: Page.size)
    private static var flags: Int32 { MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE }

    static func run() -> MemfdTrial {
        guard let sealed = try? systemCall(.memfd, { vhu_memfd_sealed_against_writing() }) else {
            return MemfdTrial(device: nil, looksBeforeItUnmaps: false)
        }
        let file = OwnedDescriptor(owning: sealed)
        guard let device = try? FileStatus(of: file.raw).identity.device else {
            return MemfdTrial(device: nil, looksBeforeItUnmaps: false)
        }
        return MemfdTrial(device: device, looksBeforeItUnmaps: keepsWhatWasThere(file) && readsWhatIsSealed(file))
    }

    private static func readsWhatIsSealed(_ file: borrowing OwnedDescriptor) -> Bool {
        guard let read = try? unsafe MemoryCalls.map(nil, length, protection: PROT_READ, flags: MAP_SHARED, fd: file.raw) else {
            return false
        }
        try? unsafe MemoryCalls.unmap(read, length)
        return true
    }

    /// On an older kernel the page goes, and another thread's mmap may land there. So the page has a mark, and memory without
    /// the mark is left alone.
    private static func keepsWhatWasThere(_ file: borrowing OwnedDescriptor) -> Bool {
        guard let page = try? unsafe MemoryCalls.map(nil, length, protection: PROT_NONE, flags: flags) else { return false }
        guard let mark = try? unsafe MarkedPage.make(at: page) else {
            try? unsafe MemoryCalls.unmap(page, length)
            return false
        }
        let asked = try? unsafe MemoryCalls.map(
            page, length, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED | MAP_FIXED, fd: file.raw)
        if unsafe asked != nil {
            // The map was not refused. The memory at the page now still belongs to this function.
            try? unsafe MemoryCalls.unmap(page, length)
            return false
        }
        guard mark.isThere else { return false }
        try? unsafe MemoryCalls.unmap(page, length)
        return true
    }
}

/// A page of this library that can be told from whatever another mmap may have put in its place.
@safe struct MarkedPage {
    private let page: UnsafeMutableRawPointer
    private let mark: UInt64

    /// `page` is mapped and private, and no other code knows of it.
    static func make(at page: UnsafeMutableRawPointer) throws(Errno) -> MarkedPage {
        try unsafe MemoryCalls.protect(page, Int(clamping: Page.size), PROT_READ | PROT_WRITE)
        let mark = UInt64(UInt(bitPattern: page)) ^ Clock.now() &* 0x9e37_79b9_7f4a_7c15
        // SAFETY: the page can be written, and its address is a multiple of 8.
        unsafe page.storeBytes(of: mark, as: UInt64.self)
        return unsafe MarkedPage(page: page, mark: mark)
    }

    /// The kernel copies, so no signal is raised whatever is there now.
    var isThere: Bool {
        var found: UInt64 = 0
        let copied = unsafe withUnsafeMutableBytes(of: &found) { bytes in
            unsafe bytes.baseAddress.flatMap { try? unsafe MemoryCalls.copy(from: page, to: $0, 8) }
        }
        return copied == 8 && found == mark
    }
}
