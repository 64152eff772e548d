// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/guard.h

@_cdecl("vhushmem_guard_handle_sigbus") @implementation
package func vhushmem_guard_handle_sigbus(_ info: UnsafeRawPointer?) -> Bool {
    guard let info = unsafe info else { return false }
    // SAFETY: the caller's handler got it from the kernel, which aligns it.
    return unsafe SigbusGuard.handleSIGBUS(info.assumingMemoryBound(to: siginfo_t.self))
}

@_cdecl("vhushmem_guard_handle_sigsegv") @implementation
package func vhushmem_guard_handle_sigsegv(_ info: UnsafeRawPointer?, _ context: UnsafeRawPointer?) -> Bool {
    guard let info = unsafe info else { return false }
    // SAFETY: the caller's handler got both from the kernel, which aligns them.
    return unsafe SigbusGuard.handleSIGSEGV(info.assumingMemoryBound(to: siginfo_t.self), context)
}

@_cdecl("vhushmem_guard_unblock_signals") @implementation
package func vhushmem_guard_unblock_signals(_ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in try SigbusGuard.unblockSignals() }
}

@_cdecl("vhushmem_guard_install") @implementation
package func vhushmem_guard_install(_ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in try SigbusGuard.install() }
}
