// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import CVhushmem

// vhushmem/fault.h

@_cdecl("vhushmem_resolve_guest_fault") @implementation
package func vhushmem_resolve_guest_fault(
    _ region: OpaquePointer?, _ shm_offset: UInt64, _ len: UInt64, _ access: UInt32, _ data: UnsafeMutableRawPointer?
) -> Int32 {
    guard let region = unsafe object(region, Region.self) else { return -EFAULT }
    guard let access = GuestAccess(rawValue: access), let length = Int(exactly: max(len, 1)) else { return -EINVAL }
    return report(to: nil) { () throws(ShmemError) in
        if let data = unsafe data {
            guard access != .unknown else { throw ShmemError(EINVAL, "data needs a known access (read or write)") }
            try unsafe region.emulateGuestAccess(
                at: shm_offset, data: UnsafeMutableRawBufferPointer(start: data, count: length), isWrite: access == .write)
        } else {
            let offset = shm_offset == UInt64.max ? nil : shm_offset
            try region.resolveGuestFault(at: offset, length: UInt64(length), access: access)
        }
    }
}
