// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Keeps a process alive when its memory is taken away: a truncated file raises SIGBUS in each thread that touches a mapping of
/// it.
public enum SigbusGuard {
    /// Handles a SIGBUS: makes the memory at its address usable. For signal handlers: it allocates nothing and leaves errno as
    /// it was.
    ///
    /// - Parameter info: the handler's siginfo_t.
    /// - Returns: true: let the instruction run again. False: the signal does not concern memory of this library.
    public static func handleSIGBUS(_ info: UnsafePointer<siginfo_t>) -> Bool {
        let error = vhu_errno()
        defer { vhu_set_errno(error) }
        return unsafe GuardedRange.cover(UInt(vhu_sigbus_address(info)))
    }

    /// Handles a SIGSEGV in the same way: the access was one to a hole of a window, or a write to a read-only part of it.
    ///
    /// - Parameters:
    ///   - info: the handler's siginfo_t.
    ///   - context: the handler's ucontext_t, which tells a read from a write; nil: the library finds it out.
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
    /// - Throws: the errors of pthread_sigmask.
    public static func unblockSignals() throws(ShmemError) {
        let code = vhu_unblock_faults()
        if code != 0 { throw ShmemError(code, "cannot unblock SIGBUS and SIGSEGV: \(Errno.text(code))") }
    }

    /// Installs a handler of SIGBUS for the whole process, which passes every other SIGBUS to the handler that was there
    /// before. It stays for the life of the process: another call does nothing.
    ///
    /// - Throws: the errors of sigaction.
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
    /// The former handler; it stays as long as the process. Nonisolated: it is written once, under `lock`, before the handler
    /// that reads it is installed.
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
