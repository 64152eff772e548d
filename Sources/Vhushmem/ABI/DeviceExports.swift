// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/device.h

extension DeviceOptions {
    init(_ options: UnsafePointer<vhushmem_device_options>?) throws(ShmemError) {
        self.init()
        guard let options else { return }
        let given = try growing(options, "vhushmem_device_options")
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
    reportNil(to: errp) { () throws(ShmemError) in handle(owning: Device(try DeviceOptions(options))) }
}

@_cdecl("vhushmem_device_ref") @implementation
package func vhushmem_device_ref(_ device: OpaquePointer?) -> OpaquePointer? {
    retain(device, Device.self)
    return device
}

@_cdecl("vhushmem_device_unref") @implementation
package func vhushmem_device_unref(_ device: OpaquePointer?) {
    release(device, Device.self)
}

@_cdecl("vhushmem_device_find_region") @implementation
package func vhushmem_device_find_region(_ device: OpaquePointer?, _ shmid: UInt8) -> OpaquePointer? {
    object(device, Device.self)?.region(id: shmid).map { handle(borrowing: $0) }
}

@_cdecl("vhushmem_device_region_ids") @implementation
package func vhushmem_device_region_ids(
    _ device: OpaquePointer?, _ ids: UnsafeMutablePointer<UInt8>?, _ capacity: Int
) -> Int32 {
    guard let device = object(device, Device.self), ids != nil || capacity == 0 else { return -EFAULT }
    let regions = device.allRegions
    for (index, region) in regions.enumerated() where index < capacity {
        ids?[index] = region.id
    }
    return Int32(clamping: regions.count)
}

@_cdecl("vhushmem_device_mapping_count") @implementation
package func vhushmem_device_mapping_count(_ device: OpaquePointer?) -> UInt64 {
    object(device, Device.self)?.mappingCount ?? 0
}

@_cdecl("vhushmem_device_mapped_bytes") @implementation
package func vhushmem_device_mapped_bytes(_ device: OpaquePointer?) -> UInt64 {
    object(device, Device.self)?.mappedBytes ?? 0
}

@_cdecl("vhushmem_device_unmap_all") @implementation
package func vhushmem_device_unmap_all(_ device: OpaquePointer?) -> Int32 {
    guard let device = object(device, Device.self) else { return -EFAULT }
    return Int32(clamping: device.unmapAll())
}
