// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/mapping.h

@_cdecl("vhushmem_mapping_new") @implementation
package func vhushmem_mapping_new(
    _ shmid: UInt8, _ fd: Int32, _ fd_offset: UInt64, _ shm_offset: UInt64, _ len: UInt64, _ flags: UInt64,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> OpaquePointer? {
    unsafe reportNil(to: errp) { () throws(ShmemError) in
        guard flags & ~SharedMemoryMap.readWrite == 0 else {
            throw ShmemError(EINVAL, .map(shmid: shmid, offset: shm_offset, length: len), .unknownFlags(flags))
        }
        return unsafe handle(
            owning: try Mapping(
                shmid: shmid, fd: fd, fileOffset: fd_offset, offset: shm_offset, length: len, writable: flags != 0))
    }
}

@_cdecl("vhushmem_mapping_ref") @implementation
package func vhushmem_mapping_ref(_ mapping: OpaquePointer?) -> OpaquePointer? {
    unsafe retain(mapping, Mapping.self)
    return unsafe mapping
}

@_cdecl("vhushmem_mapping_unref") @implementation
package func vhushmem_mapping_unref(_ mapping: OpaquePointer?) {
    unsafe release(mapping, Mapping.self)
}

@_cdecl("vhushmem_mapping_get_info") @implementation
package func vhushmem_mapping_get_info(
    _ mapping: OpaquePointer?, _ info: UnsafeMutablePointer<vhushmem_mapping_info>?
) -> Int32 {
    guard let mapping = unsafe object(mapping, Mapping.self), let info = unsafe info else { return -EFAULT }
    guard unsafe hasRoom(info) else { return -EINVAL }
    let host = unsafe mapping.baseAddress
    unsafe info.pointee.fill(mapping.description, host: host)
    unsafe clearBeyondKnown(info)
    return unsafe host == nil ? 0 : 1
}

@_cdecl("vhushmem_mapping_dup_fd") @implementation
package func vhushmem_mapping_dup_fd(
    _ mapping: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    do throws(ShmemError) {
        guard let mapping = unsafe object(mapping, Mapping.self) else { throw .null("mapping") }
        return try mapping.duplicateDescriptor().release()
    } catch {
        return unsafe error.report(to: errp)
    }
}
