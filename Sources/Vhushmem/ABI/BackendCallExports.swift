// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/backend-call.h: asynchronous requests

/// The callback for an outcome.
@safe private struct ResultCallback {
    let fn: vhushmem_backend_result_fn
    let data: CallbackData
    /// Not retained: a completion is called while something holds the back-end, or by its deinit.
    private let unmanaged: Unmanaged<Backend>
    var backend: Backend { unsafe unmanaged.takeUnretainedValue() }

    /// `data` is made before any check: `destroy` runs on every path.
    init(
        _ backend: OpaquePointer?, _ fn: vhushmem_backend_result_fn?, _ data: CallbackData
    ) throws(ShmemError) {
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        guard let fn = unsafe fn else { throw .null("fn") }
        unsafe self.fn = unsafe fn
        self.data = data
        unsafe unmanaged = unsafe .passUnretained(backend)
    }

    func begin(_ request: MappingRequest) throws(ShmemError) {
        try backend.begin(request) { tell($0) }
    }

    func unmapAll(_ shmid: Int32) throws(ShmemError) {
        try backend.unmapAll(shmid: region(shmid)) { tell($0) }
    }

    private func tell(_ error: ShmemError?) {
        // A back-end reports its outcomes while something holds it.
        let handle = unsafe OpaquePointer(unmanaged.toOpaque())
        guard let error else { return unsafe fn(handle, 0, nil, data.userData) }
        unsafe error.message.withCString { unsafe fn(handle, -error.code, $0, data.userData) }
    }
}

/// The region with this id, or all (-1, nil).
private func region(_ shmid: Int32) throws(ShmemError) -> UInt8? {
    if shmid == VHUSHMEM_ALL_REGIONS { return nil }
    guard let id = UInt8(exactly: shmid) else { throw ShmemError(EINVAL, "a region's id is 0 to 255, and not \(shmid)") }
    return id
}

@_cdecl("vhushmem_backend_unmap_all") @implementation
package func vhushmem_backend_unmap_all(
    _ backend: OpaquePointer?, _ shmid: Int32, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe reportCount(to: errp) { () throws(ShmemError) -> Int32 in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        return Int32(clamping: try backend.unmapAll(shmid: region(shmid)))
    }
}

@_cdecl("vhushmem_backend_unmap_all_async") @implementation
package func vhushmem_backend_unmap_all_async(
    _ backend: OpaquePointer?, _ shmid: Int32, _ fn: vhushmem_backend_result_fn?, _ user_data: gpointer?,
    _ destroy: GDestroyNotify?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    let data = unsafe CallbackData(user_data, destroy)
    return unsafe report(to: errp) { () throws(ShmemError) in
        try unsafe ResultCallback(backend, fn, data).unmapAll(shmid)
    }
}

@_cdecl("vhushmem_backend_map_async") @implementation
package func vhushmem_backend_map_async(
    _ backend: OpaquePointer?, _ shmid: UInt8, _ fd: Int32, _ fd_offset: UInt64, _ shm_offset: UInt64, _ len: UInt64,
    _ flags: UInt64, _ fn: vhushmem_backend_result_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    let data = unsafe CallbackData(user_data, destroy)
    return unsafe report(to: errp) { () throws(ShmemError) in
        try unsafe ResultCallback(backend, fn, data).begin(
            .map(shmid: shmid, fd: fd, fileOffset: fd_offset, at: shm_offset, length: len, flags: flags))
    }
}

@_cdecl("vhushmem_backend_unmap_async") @implementation
package func vhushmem_backend_unmap_async(
    _ backend: OpaquePointer?, _ shmid: UInt8, _ shm_offset: UInt64, _ len: UInt64, _ fn: vhushmem_backend_result_fn?,
    _ user_data: gpointer?, _ destroy: GDestroyNotify?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    let data = unsafe CallbackData(user_data, destroy)
    return unsafe report(to: errp) { () throws(ShmemError) in
        try unsafe ResultCallback(backend, fn, data).begin(.unmap(shmid: shmid, at: shm_offset, length: len))
    }
}
