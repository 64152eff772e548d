// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// What a loop calls, of vhushmem/backend.h

@_cdecl("vhushmem_backend_get_fd") @implementation
package func vhushmem_backend_get_fd(_ backend: OpaquePointer?) -> Int32 {
    guard let backend = unsafe object(backend, Backend.self) else { return -EFAULT }
    do throws(ShmemError) {
        return try backend.pollDescriptor()
    } catch {
        return -error.code
    }
}

@_cdecl("vhushmem_backend_get_events") @implementation
package func vhushmem_backend_get_events(_ backend: OpaquePointer?) -> Int32 {
    unsafe backend == nil ? -EFAULT : POLLIN
}

@_cdecl("vhushmem_backend_dispatch") @implementation
package func vhushmem_backend_dispatch(_ backend: OpaquePointer?) -> Int32 {
    guard let backend = unsafe object(backend, Backend.self) else { return -EFAULT }
    // A callback may free the back-end: it goes when this call is over.
    return withExtendedLifetime(backend) { backend.dispatch(.both) }
}

@_cdecl("vhushmem_backend_poll") @implementation
package func vhushmem_backend_poll(_ backend: OpaquePointer?, _ timeoutMs: Int32) -> Int32 {
    guard let backend = unsafe object(backend, Backend.self) else { return -EFAULT }
    return withExtendedLifetime(backend) { backend.dispatch(within: max(-1, timeoutMs)) }
}

@_cdecl("vhushmem_backend_source_new") @implementation
package func vhushmem_backend_source_new(_ backend: OpaquePointer?) -> UnsafeMutablePointer<GSource>? {
    unsafe object(backend, Backend.self).flatMap { unsafe SessionSource.make(for: $0, name: "vhushmem back-end") }
}
