// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Keeps a process alive whose memory others take away: a file that is truncated under a mapping raises SIGBUS in whoever touches it.
public enum SigbusGuard {
    /// Makes the memory whose access raised a SIGBUS one that can be touched. For signal handlers: it allocates nothing and leaves errno as
    /// it was.
    ///
    /// - Parameter info: what the handler was given.
    /// - Returns: true: let the instruction run again. False: the signal is not about memory of this library's.
    public static func handleSIGBUS(_ info: UnsafePointer<siginfo_t>) -> Bool {
        let error = vhu_errno()
        defer { vhu_set_errno(error) }
        return unsafe GuardedRange.cover(UInt(vhu_sigbus_address(info)))
    }

    /// The same for SIGSEGV: the access was one to a hole of a window, or a write where the window may only be read.
    ///
    /// - Parameters:
    ///   - info: what the handler was given.
    ///   - context: what the handler got besides, which tells a read from a write; nil: it is found out.
    /// - Returns: as for SIGBUS.
    public static func handleSIGSEGV(_ info: UnsafePointer<siginfo_t>, _ context: UnsafeRawPointer?) -> Bool {
        let error = vhu_errno()
        defer { vhu_set_errno(error) }
        let access: GuestAccess
        switch unsafe vhu_fault_access(context) {
        case Int32(VHU_READ): access = .read
        case Int32(VHU_WRITE): access = .write
        // No window holds code.
        case Int32(VHU_FETCH): return false
        default: access = .unknown
        }
        return unsafe GuardedRange.cover(UInt(vhu_sigsegv_address(info)), access)
    }

    /// Has the kernel deliver SIGBUS and SIGSEGV to the calling thread.
    ///
    /// - Throws: what pthread_sigmask does.
    public static func unblockSignals() throws(ShmemError) {
        let code = vhu_unblock_faults()
        if code != 0 { throw ShmemError(code, "cannot unblock SIGBUS and SIGSEGV: \(Errno.text(code))") }
    }

    /// Installs a handler of SIGBUS for the whole process that does so, and hands what is not this library's to whoever was there before.
    /// Once for the life of the process: another call does nothing.
    ///
    /// - Throws: what sigaction does.
    public static func install() throws(ShmemError) {
        let code = lock.withLock { held -> Int32 in
            guard unsafe !isInstalled[held] else { return 0 }
            do throws(Errno) {
                _ = try systemCall(.sigaction) { unsafe vhu_handle_sigbus(handler, previous) }
                unsafe isInstalled[held] = true
                return 0
            } catch {
                return error.code
            }
        }
        if code != 0 { throw ShmemError(code, "cannot install a handler of SIGBUS: \(Errno.text(code))") }
    }

    private static let lock = Lock<SigbusGuard>()
    /// Nonisolated: `lock` guards it, which its type demands.
    nonisolated(unsafe) private static var isInstalled = Lock<SigbusGuard>.Guarded(false)
    /// Who had the signal before; there for as long as the process is. Nonisolated: it is written once, under `lock`, before the handler that
    /// reads it is there.
    nonisolated(unsafe) private static let previous: UnsafeMutablePointer<sigaction> = {
        let previous = UnsafeMutablePointer<sigaction>.allocate(capacity: 1)
        unsafe previous.initialize(to: sigaction())
        return unsafe previous
    }()

    private static let handler: vhu_signal_handler = { number, info, context in
        guard let info = unsafe info, unsafe !SigbusGuard.handleSIGBUS(info) else { return }
        unsafe vhu_pass_on(SigbusGuard.previous, number, info, context)
    }
}
