// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/trace.h

@_cdecl("vhushmem_set_debug") @implementation
package func vhushmem_set_debug(
    _ categories: UInt32, _ fn: vhushmem_trace_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?
) -> Int32 {
    let data = unsafe CallbackData(user_data, destroy)
    guard categories & ~Trace.all == 0 else { return -EINVAL }
    // This comes after the change: it is for devices that exist already.
    defer { GuardedRange.followTraces() }
    guard let fn = unsafe fn else {
        Trace.set(categories, nil)
        return 0
    }
    unsafe Trace.set(
        categories,
        Trace.Receiver { line, message in
            var trace = unsafe vhushmem_trace(
                category: line.category, request: line.request, name: constant(line.name), message: message,
                result: line.result,
                is_channel: line.isChannel ? 1 : 0, is_sent: line.isSent ? 1 : 0, shmid: line.shmid, reserved: 0,
                flags: line.flags,
                size: line.size, shm_offset: line.offset, len: line.length)
            unsafe fn(&trace, data.userData)
        })
    return 0
}

@_cdecl("vhushmem_request_name") @implementation
package func vhushmem_request_name(_ is_channel: Bool, _ request: UInt32) -> UnsafePointer<CChar>? {
    unsafe (is_channel ? BackendRequest.name(of: request) : FrontendRequest.name(of: request)).map(constant)
}
