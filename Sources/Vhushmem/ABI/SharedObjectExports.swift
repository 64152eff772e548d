// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/shared-object.h

/// A copy of the 16 bytes of a name.
private func bytes(of uuid: UnsafePointer<UInt8>?) throws(ShmemError) -> [UInt8] {
    guard let uuid = unsafe uuid else { throw .null("uuid") }
    // SAFETY: the caller says that a UUID is there.
    return unsafe Array(UnsafeBufferPointer(start: uuid, count: ObjectName.size))
}

@_cdecl("vhushmem_shared_objects_new") @implementation
package func vhushmem_shared_objects_new() -> OpaquePointer? {
    unsafe handle(owning: SharedObjects())
}

@_cdecl("vhushmem_shared_objects_ref") @implementation
package func vhushmem_shared_objects_ref(_ objects: OpaquePointer?) -> OpaquePointer? {
    unsafe retain(objects, SharedObjects.self)
    return unsafe objects
}

@_cdecl("vhushmem_shared_objects_unref") @implementation
package func vhushmem_shared_objects_unref(_ objects: OpaquePointer?) {
    unsafe release(objects, SharedObjects.self)
}

@_cdecl("vhushmem_shared_objects_add") @implementation
package func vhushmem_shared_objects_add(
    _ objects: OpaquePointer?, _ uuid: UnsafePointer<UInt8>?, _ fd: Int32,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let objects = unsafe object(objects, SharedObjects.self) else { throw .null("objects") }
        try unsafe objects.add(bytes(of: uuid), fd: fd)
    }
}

@_cdecl("vhushmem_shared_objects_remove") @implementation
package func vhushmem_shared_objects_remove(
    _ objects: OpaquePointer?, _ uuid: UnsafePointer<UInt8>?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let objects = unsafe object(objects, SharedObjects.self) else { throw .null("objects") }
        try unsafe objects.remove(bytes(of: uuid))
    }
}

@_cdecl("vhushmem_shared_objects_count") @implementation
package func vhushmem_shared_objects_count(_ objects: OpaquePointer?) -> Int32 {
    unsafe object(objects, SharedObjects.self).map { Int32(clamping: $0.count) } ?? -EFAULT
}
