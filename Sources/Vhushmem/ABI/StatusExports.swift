// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CVhushmem

// vhushmem/status.h

@_cdecl("vhushmem_status_json") @implementation
package func vhushmem_status_json(_ frontend: OpaquePointer?) -> UnsafeMutablePointer<CChar>? {
    unsafe object(frontend, Frontend.self)?.status(Region.mappingsInStatus).finish()
}

@_cdecl("vhushmem_frontend_status_json") @implementation
package func vhushmem_frontend_status_json(
    _ frontend: OpaquePointer?, _ max_mappings: UInt64
) -> UnsafeMutablePointer<CChar>? {
    unsafe object(frontend, Frontend.self)?.status(max_mappings).finish()
}

@_cdecl("vhushmem_channel_status_json") @implementation
package func vhushmem_channel_status_json(
    _ channel: OpaquePointer?, _ max_mappings: UInt64
) -> UnsafeMutablePointer<CChar>? {
    unsafe object(channel, ShmemChannel.self)?.status(max_mappings).finish()
}

@_cdecl("vhushmem_backend_status_json") @implementation
package func vhushmem_backend_status_json(_ backend: OpaquePointer?) -> UnsafeMutablePointer<CChar>? {
    unsafe object(backend, Backend.self)?.statusText().finish()
}

@_cdecl("vhushmem_device_status_json") @implementation
package func vhushmem_device_status_json(
    _ device: OpaquePointer?, _ max_mappings: UInt64
) -> UnsafeMutablePointer<CChar>? {
    unsafe object(device, ShmemDevice.self)?.status(max_mappings).finish()
}

@_cdecl("vhushmem_region_status_json") @implementation
package func vhushmem_region_status_json(
    _ region: OpaquePointer?, _ max_mappings: UInt64
) -> UnsafeMutablePointer<CChar>? {
    unsafe object(region, Region.self)?.status(max_mappings).finish()
}

@_cdecl("vhushmem_protocol_features_to_strings") @implementation
package func vhushmem_protocol_features_to_strings(
    _ features: UInt64, _ unknown: UnsafeMutablePointer<UInt64>?
) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? {
    let features = ProtocolFeatures(rawValue: features)
    unsafe unknown?.pointee = features.unknown.rawValue
    // SAFETY: room for a string of each bit and for the NULL at the end; g_strfreev frees what g_malloc0 gave.
    let strings = unsafe g_malloc0_n(65, gsize(MemoryLayout<UnsafeMutablePointer<CChar>?>.stride))?
        .assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self)
    var count = 0
    features.forEachName { name, purpose in
        unsafe strings?[count] = unsafe vhushmem_glib_describe_feature(constant(name), constant(purpose))
        count &+= 1
    }
    return unsafe strings
}

@_cdecl("vhushmem_protocol_features_to_json") @implementation
package func vhushmem_protocol_features_to_json(_ features: UInt64) -> UnsafeMutablePointer<CChar>? {
    unsafe ProtocolFeatures(rawValue: features).description().finish()
}
