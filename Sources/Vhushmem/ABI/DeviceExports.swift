// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/device.h

extension DeviceOptions {
    init(_ options: UnsafePointer<vhushmem_device_options>?) throws(ShmemError) {
        self.init()
        guard let options = unsafe options else { return }
        let given = try unsafe growing(options, "vhushmem_device_options")
        guard given.reserved == 0 else { throw ShmemError(EINVAL, "vhushmem_device_options.reserved is not 0") }
        maximumMappings = given.max_mappings
        maximumBytes = given.max_bytes
        if given.max_kept_fds != 0 { maximumKeptFiles = given.max_kept_fds }
        if given.max_address_space != 0 { maximumAddressSpace = given.max_address_space }
    }
}

@_cdecl("vhushmem_device_new") @implementation
package func vhushmem_device_new(
    _ options: UnsafePointer<vhushmem_device_options>?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> OpaquePointer? {
    unsafe reportNil(to: errp) { () throws(ShmemError) in unsafe handle(owning: ShmemDevice(try DeviceOptions(options))) }
}

@_cdecl("vhushmem_device_ref") @implementation
package func vhushmem_device_ref(_ device: OpaquePointer?) -> OpaquePointer? {
    unsafe retain(device, ShmemDevice.self)
    return unsafe device
}

@_cdecl("vhushmem_device_unref") @implementation
package func vhushmem_device_unref(_ device: OpaquePointer?) {
    unsafe release(device, ShmemDevice.self)
}

@_cdecl("vhushmem_device_add_config") @implementation
package func vhushmem_device_add_config(
    _ device: OpaquePointer?, _ payload: UnsafeRawPointer?, _ size: Int, _ options: UnsafePointer<vhushmem_region_options>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe reportCount(to: errp) { () throws(ShmemError) -> Int32 in
        guard let device = unsafe object(device, ShmemDevice.self) else { throw .null("device") }
        guard let payload = unsafe payload else { throw .null("payload") }
        // SAFETY: the caller says that payload has size bytes.
        return Int32(
            clamping: try unsafe device.addRegions(
                payload: UnsafeRawBufferPointer(start: payload, count: count(size)), options: RegionOptions(options)))
    }
}

@_cdecl("vhushmem_device_set_callback") @implementation
package func vhushmem_device_set_callback(
    _ device: OpaquePointer?, _ fn: vhushmem_change_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    let data = unsafe CallbackData(user_data, destroy)
    return unsafe report(to: errp) { () throws(ShmemError) in
        guard let device = unsafe object(device, ShmemDevice.self) else { throw .null("device") }
        guard let fn = unsafe fn else { return try device.watchChanges(nil) }
        // Not retained: the device owns the callback, and does not report its own end.
        let owner = unsafe OpaquePointer(Unmanaged.passUnretained(device).toOpaque())
        try device.watchChanges { region, change, record in
            var told = vhushmem_change()
            told.type = change.rawValue
            told.shmid = region.shmid
            told.shm_offset = record.start
            told.len = region.ownedPages(record)?.length ?? record.length
            told.fd_offset = record.fileOffset
            told.flags = MappingWord(bits: record.word).isWritable ? UInt64(SharedMemoryMap.readWrite) : 0
            unsafe fn(owner, &told, data.userData)
        }
    }
}

@_cdecl("vhushmem_device_check") @implementation
package func vhushmem_device_check(_ device: OpaquePointer?) -> Int64 {
    unsafe object(device, ShmemDevice.self).map { Int64(clamping: $0.check()) } ?? Int64(-EFAULT)
}

@_cdecl("vhushmem_device_begin_reset") @implementation
package func vhushmem_device_begin_reset(
    _ device: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe reportCount(to: errp) { () throws(ShmemError) -> Int32 in
        guard let device = unsafe object(device, ShmemDevice.self) else { throw .null("device") }
        return Int32(clamping: try device.beginReset())
    }
}

@_cdecl("vhushmem_device_end_reset") @implementation
package func vhushmem_device_end_reset(
    _ device: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let device = unsafe object(device, ShmemDevice.self) else { throw .null("device") }
        try device.endReset()
    }
}

@_cdecl("vhushmem_device_find_region") @implementation
package func vhushmem_device_find_region(_ device: OpaquePointer?, _ shmid: UInt8) -> OpaquePointer? {
    unsafe object(device, ShmemDevice.self)?.region(shmid: shmid).map { unsafe handle(borrowing: $0) }
}

@_cdecl("vhushmem_device_region_ids") @implementation
package func vhushmem_device_region_ids(
    _ device: OpaquePointer?, _ ids: UnsafeMutablePointer<UInt8>?, _ capacity: Int
) -> Int32 {
    guard let device = unsafe object(device, ShmemDevice.self), unsafe ids != nil || capacity == 0 else { return -EFAULT }
    let regions = device.allRegions
    for (index, region) in regions.enumerated() where index < count(capacity) {
        unsafe ids?[index] = region.shmid
    }
    return Int32(clamping: regions.count)
}

@_cdecl("vhushmem_device_mapping_count") @implementation
package func vhushmem_device_mapping_count(_ device: OpaquePointer?) -> UInt64 {
    unsafe object(device, ShmemDevice.self)?.mappingCount ?? 0
}

@_cdecl("vhushmem_device_mapped_bytes") @implementation
package func vhushmem_device_mapped_bytes(_ device: OpaquePointer?) -> UInt64 {
    unsafe object(device, ShmemDevice.self)?.mappedBytes ?? 0
}

@_cdecl("vhushmem_device_unmap_all") @implementation
package func vhushmem_device_unmap_all(_ device: OpaquePointer?) -> Int32 {
    guard let device = unsafe object(device, ShmemDevice.self) else { return -EFAULT }
    return Int32(clamping: device.unmapAll())
}
