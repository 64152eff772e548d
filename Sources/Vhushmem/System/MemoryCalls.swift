// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import Synchronization

/// The unit of the kernel's memory calls.
enum Page {
    /// Bytes.
    #if arch(x86_64)
        static var size: UInt64 { 4096 }
    #else
        static let size = UInt64(clamping: sysconf(Int32(_SC_PAGESIZE)))
    #endif
}

/// The kernel's calls on memory. Addresses and lengths are whole pages; the caller has checked that.
enum MemoryCalls {

    /// mmap. A nil `address` lets the kernel choose.
    @inline(__always)
    static func map(
        _ address: UnsafeMutableRawPointer?, _ length: Int, protection: Int32, flags: Int32, fd: Int32 = -1, offset: Int = 0
    ) throws(Errno) -> UnsafeMutableRawPointer {
        if readImpliesExec.load(ordering: .relaxed) {
            return try unsafe mapUnexecutable(address, length, protection, flags, fd, offset)
        }
        // MAP_FAILED is the address -1, which `systemCall` takes for a failure.
        let result = try systemCall(.mmap) { unsafe Int(bitPattern: mmap(address, length, protection, flags, fd, offset)) }
        guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: result) else { throw Errno(ENOMEM) }
        return unsafe pointer
    }

    /// mmap with MAP_FIXED: replaces whatever is at the address.
    @inline(__always)
    static func map(
        over address: UnsafeMutableRawPointer, _ length: Int, protection: Int32, flags: Int32, fd: Int32 = -1, offset: Int = 0
    ) throws(Errno) {
        if readImpliesExec.load(ordering: .relaxed) {
            _ = try unsafe mapUnexecutable(address, length, protection, flags | MAP_FIXED, fd, offset)
            return
        }
        _ = try systemCall(.mmap) { unsafe Int(bitPattern: mmap(address, length, protection, flags | MAP_FIXED, fd, offset)) }
    }

    /// This process has the personality READ_IMPLIES_EXEC, or had it when `lookAtPersonality` was last called: a readable
    /// mapping would be executable.
    private static let readImpliesExec = Atomic(false)

    /// Notes whether a readable mapping would be executable. Call it before the first mapping of an object, not before each.
    static func lookAtPersonality() {
        let now = (try? systemCall(.personality) { vhu_personality() }) ?? 0
        readImpliesExec.store(now & vhu_read_implies_exec != 0, ordering: .relaxed)
    }

    /// The personality is this thread's own, and the call restores it.
    @inline(never)
    private static func mapUnexecutable(
        _ address: UnsafeMutableRawPointer?, _ length: Int, _ protection: Int32, _ flags: Int32, _ fd: Int32, _ offset: Int
    ) throws(Errno) -> UnsafeMutableRawPointer {
        let before = try systemCall(.personality) { vhu_personality() }
        let implies = before & vhu_read_implies_exec != 0
        if implies { _ = try systemCall(.personality) { vhu_set_personality(before & ~vhu_read_implies_exec) } }
        defer { if implies { _ = try? systemCall(.personality) { vhu_set_personality(before) } } }
        let result = try systemCall(.mmap) { unsafe Int(bitPattern: mmap(address, length, protection, flags, fd, offset)) }
        guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: result) else { throw Errno(ENOMEM) }
        return unsafe pointer
    }

    static func unmap(_ address: UnsafeMutableRawPointer, _ length: Int) throws(Errno) {
        _ = try systemCall(.munmap) { unsafe munmap(address, length) }
    }

    /// mprotect.
    static func protect(_ address: UnsafeMutableRawPointer, _ length: Int, _ protection: Int32) throws(Errno) {
        guard readImpliesExec.load(ordering: .relaxed), protection & PROT_READ != 0 else {
            _ = try systemCall(.mprotect) { unsafe mprotect(address, length, protection) }
            return
        }
        let before = try systemCall(.personality) { vhu_personality() }
        _ = try systemCall(.personality) { vhu_set_personality(before & ~vhu_read_implies_exec) }
        defer { _ = try? systemCall(.personality) { vhu_set_personality(before) } }
        _ = try systemCall(.mprotect) { unsafe mprotect(address, length, protection) }
    }

    /// Whether every page of a range is mapped, with whatever protection.
    static func isMapped(_ address: UnsafeMutableRawPointer, _ length: Int) -> Bool {
        (try? systemCall(.msync) { unsafe msync(address, length, Int32(MS_ASYNC)) }) != nil
    }

    /// Moves a mapping over whatever is at `target`, in one step.
    static func move(_ source: UnsafeMutableRawPointer, _ length: Int, to target: UnsafeMutableRawPointer) throws(Errno) {
        _ = try systemCall(.mremap) { unsafe Int(bitPattern: vhu_mremap_over(source, length, target)) }
    }

    /// Makes another mapping of a shared mapping's pages: the same pages of the same file, with the same protection, without
    /// its descriptor and without a question to the file's server. Throws EINVAL for a private mapping and for huge pages,
    /// EFAULT for the memory of a device.
    static func duplicate(_ source: UnsafeMutableRawPointer, _ length: Int) throws(Errno) -> UnsafeMutableRawPointer {
        let result = try systemCall(.mremap) { unsafe Int(bitPattern: vhu_mremap_duplicate(source, length)) }
        guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: result) else { throw Errno(ENOMEM) }
        return unsafe pointer
    }

    @inline(__always)
    static func advise(_ address: UnsafeMutableRawPointer, _ length: Int, _ advice: Int32) throws(Errno) {
        _ = try systemCall(.madvise) { unsafe madvise(address, length, advice) }
    }

    /// The same for several ranges in one call. Returns how many bytes were advised.
    static func advise(_ ranges: UnsafeBufferPointer<iovec>, _ advice: Int32) throws(Errno) -> Int {
        try systemCall(.madvise) { unsafe vhu_advise_many(ranges.baseAddress, ranges.count, advice) }
    }

    /// Whether the kernel has that call (6.13, with a name for the process itself).
    static let knowsAdviceForMany =
        unsafe withTrialPage { page, length in
            var range = unsafe iovec(iov_base: page, iov_len: length)
            return unsafe withUnsafePointer(to: &range) {
                unsafe (try? advise(UnsafeBufferPointer(start: $0, count: 1), MADV_DONTDUMP)) == length
            }
        } ?? false

    /// Calls `ask` with a page that is mapped for it; nil: there is no memory for one.
    private static func withTrialPage(_ ask: (UnsafeMutableRawPointer, Int) -> Bool) -> Bool? {
        let length = Int(clamping: Page.size)
        guard let page = try? unsafe map(nil, length, protection: PROT_READ, flags: MAP_PRIVATE | MAP_ANONYMOUS) else {
            return nil
        }
        defer { try? unsafe unmap(page, length) }
        return unsafe ask(page, length)
    }

    /// The result of a look at a page that does not touch it.
    enum Touch {
        case works, fails
        /// The kernel does not tell: memory of a device, or an access to write on a kernel before 5.14.
        case unknown
    }

    /// Whether a touch of the page at an address of a mapping would raise no signal; the mapping allows the access. The call
    /// may wait for the file's storage or server, as the touch itself may.
    static func touch(_ address: UnsafeMutableRawPointer, writing: Bool) -> Touch {
        do throws(Errno) {
            try unsafe advise(address, Int(clamping: Page.size), writing ? vhu_madv_populate_write : vhu_madv_populate_read)
            return .works
        } catch {
            switch error.code {
            case EFAULT, vhu_ehwpoison: return .fails
            case EINVAL where !writing && !knowsPopulate:
                var byte: UInt8 = 0
                return unsafe withUnsafeMutableBytes(of: &byte) { bytes in
                    guard let base = bytes.baseAddress else { return .unknown }
                    do throws(Errno) {
                        return try unsafe copy(from: address, to: base, 1) == 1 ? .works : .fails
                    } catch {
                        return error.code == EFAULT ? .fails : .unknown
                    }
                }
            default: return .unknown
            }
        }
    }

    /// Whether the kernel has MADV_POPULATE_READ (5.14).
    private static let knowsPopulate =
        unsafe withTrialPage { unsafe (try? advise($0, $1, vhu_madv_populate_read)) != nil } ?? true

    /// Copies between parts of this process through the kernel. It answers EFAULT where a plain copy would raise a signal (a
    /// page beyond the end of a truncated file). Returns how many bytes were copied.
    static func copy(
        from source: UnsafeRawPointer, to destination: UnsafeMutableRawPointer, _ length: Int
    ) throws(Errno) -> Int {
        var local = unsafe iovec(iov_base: destination, iov_len: length)
        var remote = unsafe iovec(iov_base: UnsafeMutableRawPointer(mutating: source), iov_len: length)
        return try systemCall(.processVMRead) { unsafe process_vm_readv(getpid(), &local, 1, &remote, 1, 0) }
    }

    /// The same in the other direction: the destination may be unable to take the bytes.
    static func store(_ source: UnsafeRawPointer, at destination: UnsafeMutableRawPointer, _ length: Int) throws(Errno) -> Int {
        var local = unsafe iovec(iov_base: UnsafeMutableRawPointer(mutating: source), iov_len: length)
        var remote = unsafe iovec(iov_base: destination, iov_len: length)
        return try systemCall(.processVMWrite) { unsafe process_vm_writev(getpid(), &local, 1, &remote, 1, 0) }
    }

    /// vm.max_map_count: how many separate mappings the kernel grants a process; its default if /proc cannot be read.
    static func maximumMappings() -> Int {
        let fallback = 65530
        guard let fd = try? systemCall(.open, { unsafe vhu_open_read_only("/proc/sys/vm/max_map_count") }) else {
            return fallback
        }
        let file = OwnedDescriptor(owning: fd)
        return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { digits in
            // SAFETY: the buffer has 32 bytes and read is told so; only the bytes that it filled are looked at.
            guard let base = digits.baseAddress, let count = try? systemCall(.read, { unsafe read(file.raw, base, 32) }) else {
                return fallback
            }
            var value = 0
            // swift-format-ignore
            for unsafe digit in unsafe digits.prefix(count) {
                guard digit >= 48, digit <= 57 else { break }
                value = value &* 10 &+ Int(digit &- 48)
            }
            return value > 0 ? value : fallback
        }
    }
}
