// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/shared-object.h

/// A copy of the 16 bytes that a name has.
private func bytes(of uuid: UnsafePointer<UInt8>?) throws(ShmemError) -> [UInt8] {
    guard let uuid else { throw .null("uuid") }
    // SAFETY: the caller says that a UUID is there.
    return Array(UnsafeBufferPointer(start: uuid, count: ObjectName.size))
}

@_cdecl("vhushmem_shared_objects_new") @implementation
package func vhushmem_shared_objects_new() -> OpaquePointer? {
    handle(owning: SharedObjects())
}

@_cdecl("vhushmem_shared_objects_ref") @implementation
package func vhushmem_shared_objects_ref(_ objects: OpaquePointer?) -> OpaquePointer? {
    retain(objects, SharedObjects.self)
    return objects
}

@_cdecl("vhushmem_shared_objects_unref") @implementation
package func vhushmem_shared_objects_unref(_ objects: OpaquePointer?) {
    release(objects, SharedObjects.self)
}

@_cdecl("vhushmem_shared_objects_add") @implementation
package func vhushmem_shared_objects_add(
    _ objects: OpaquePointer?, _ uuid: UnsafePointer<UInt8>?, _ fd: Int32,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    report(to: errp) { () throws(ShmemError) in
        guard let objects = object(objects, SharedObjects.self) else { throw .null("objects") }
        try objects.add(bytes(of: uuid), fd: fd)
    }
}

@_cdecl("vhushmem_shared_objects_remove") @implementation
package func vhushmem_shared_objects_remove(
    _ objects: OpaquePointer?, _ uuid: UnsafePointer<UInt8>?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    report(to: errp) { () throws(ShmemError) in
        guard let objects = object(objects, SharedObjects.self) else { throw .null("objects") }
        try objects.remove(bytes(of: uuid))
    }
}

@_cdecl("vhushmem_shared_objects_count") @implementation
package func vhushmem_shared_objects_count(_ objects: OpaquePointer?) -> Int32 {
    object(objects, SharedObjects.self).map { Int32(clamping: $0.count) } ?? -EFAULT
}
