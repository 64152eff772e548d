// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Keeps a process alive whose memory others take away: a file that is truncated under a mapping raises SIGBUS in whoever touches it.
public enum Guard {
    /// Makes the memory whose access raised a SIGBUS one that can be touched. True: let the instruction run again. False: the signal is
    /// not about memory of this library's.
    ///
    /// For signal handlers: allocates nothing and leaves errno as it was.
    public static func handleSIGBUS(_ info: UnsafePointer<siginfo_t>) -> Bool {
        let error = vhu_errno()
        defer { vhu_set_errno(error) }
        return GuardedRange.cover(UInt(vhu_sigbus_address(info)))
    }

    /// Installs a handler of SIGBUS for the whole process that does so, and hands what is not this library's to whoever was there before.
    /// Once for the life of the process: another call does nothing. Throws what sigaction does.
    public static func install() throws(ShmemError) {
        let code = lock.withLock { held -> Int32 in
            guard !isInstalled[held] else { return 0 }
            do throws(Errno) {
                _ = try systemCall(.sigaction) { vhu_handle_sigbus(handler, previous) }
                isInstalled[held] = true
                return 0
            } catch {
                return error.code
            }
        }
        if code != 0 { throw ShmemError(code, "no handler of SIGBUS could be installed: \(Errno.text(code))") }
    }

    private static let lock = Lock<Guard>()
    nonisolated(unsafe) private static var isInstalled = Lock<Guard>.Guarded(false)
    /// Who had the signal before; there for as long as the process is.
    nonisolated(unsafe) private static let previous: UnsafeMutablePointer<sigaction> = {
        let previous = UnsafeMutablePointer<sigaction>.allocate(capacity: 1)
        previous.initialize(to: sigaction())
        return previous
    }()

    private static let handler: vhu_signal_handler = { number, info, context in
        guard let info, !Guard.handleSIGBUS(info) else { return }
        vhu_pass_on(Guard.previous, number, info, context)
    }
}
