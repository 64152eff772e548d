// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/series.h: regions, mappings and the wire. A void function logs what it cannot return.

extension ShmemDevice {
    /// As in the series, the guest has each mapping by itself.
    fileprivate func addSeriesRegion(shmid: UInt8, size: UInt64) throws(ShmemError) -> Region {
        var options = RegionOptions()
        options.strategy = .slots
        return try addRegion(shmid: shmid, size: size, options: options)
    }
}

@_cdecl("virtio_add_shmem") @implementation
package func virtio_add_shmem(
    _ vdev: OpaquePointer?, _ shmid: UInt8, _ size: UInt64, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let device = unsafe object(vdev, ShmemDevice.self) else { throw .null("vdev") }
        try device.addSeriesRegion(shmid: shmid, size: size).listMappings()
    }
}

@_cdecl("virtio_new_shmem_region") @implementation
package func virtio_new_shmem_region(_ vdev: OpaquePointer?, _ shmid: UInt8, _ size: UInt64) -> OpaquePointer? {
    guard let device = unsafe object(vdev, ShmemDevice.self) else { return nil }
    do throws(ShmemError) {
        if let region = device.claimRegion(shmid: shmid, size: size) {
            region.listMappings()
            return unsafe handle(borrowing: region)
        }
        let region = try device.addSeriesRegion(shmid: shmid, size: size)
        region.listMappings()
        return unsafe handle(borrowing: region)
    } catch {
        Log.debug("\(error.message)")
        return nil
    }
}

@_cdecl("virtio_find_shmem_region") @implementation
package func virtio_find_shmem_region(_ vdev: OpaquePointer?, _ shmid: UInt8) -> OpaquePointer? {
    guard let region = unsafe object(vdev, ShmemDevice.self)?.region(shmid: shmid) else { return nil }
    region.listMappings()
    return unsafe handle(borrowing: region)
}

@_cdecl("virtio_shmem_memory_region") @implementation
package func virtio_shmem_memory_region(_ shmem: OpaquePointer?) -> UnsafeMutablePointer<MemoryRegion>? {
    unsafe object(shmem, Region.self)?.memoryRegion
}

@_cdecl("virtio_shared_memory_mapping_new") @implementation
package func virtio_shared_memory_mapping_new(
    _ shmid: UInt8, _ fd: Int32, _ fd_offset: UInt64, _ shm_offset: UInt64, _ len: UInt64, _ allow_write: Bool
) -> OpaquePointer? {
    do throws(ShmemError) {
        // As in the series, which maps here.
        try FileMemory.check(fd: fd, offset: fd_offset, size: len, isWritable: allow_write)
        return unsafe handle(
            owning: try Mapping(
                shmid: shmid, fd: fd, fileOffset: fd_offset, offset: shm_offset, length: len, writable: allow_write))
    } catch {
        Log.debug("\(error.message)")
        return nil
    }
}

@_cdecl("virtio_add_shmem_map") @implementation
package func virtio_add_shmem_map(_ shmem: OpaquePointer?, _ mapping: OpaquePointer?) -> Int32 {
    guard let region = unsafe object(shmem, Region.self), let described = unsafe object(mapping, Mapping.self) else {
        return -EFAULT
    }
    region.listMappings()
    do throws(ShmemError) {
        try region.add(described)
    } catch {
        Log.debug("\(error.message)")
        return -error.code
    }
    // The region has a reference of its own, so the caller's is released.
    unsafe release(mapping, Mapping.self)
    return 0
}

@_cdecl("virtio_alloc_shmem_map") @implementation
package func virtio_alloc_shmem_map(
    _ shmem: OpaquePointer?, _ fd: Int32, _ fd_offset: UInt64, _ len: UInt64, _ align: UInt64, _ allow_write: Bool,
    _ shm_offset: UnsafeMutablePointer<UInt64>?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> OpaquePointer? {
    unsafe reportNil(to: errp) { () throws(ShmemError) in
        guard let region = unsafe object(shmem, Region.self) else { throw .null("shmem") }
        guard let shm_offset = unsafe shm_offset else { throw .null("shm_offset") }
        region.listMappings()
        let offset = try region.allocate(fd: fd, fileOffset: fd_offset, length: len, alignment: align, writable: allow_write)
        guard let mapping = region.mapping(at: offset, length: len) else {
            throw ShmemError(ENOENT, .map(shmid: region.shmid, offset: offset, length: len), .text("it was undone meanwhile"))
        }
        unsafe shm_offset.pointee = offset
        return unsafe handle(borrowing: mapping)
    }
}

@_cdecl("virtio_find_shmem_map") @implementation
package func virtio_find_shmem_map(_ shmem: OpaquePointer?, _ offset: hwaddr, _ size: UInt64) -> OpaquePointer? {
    // The region's record holds the mapping, which lives until it is undone.
    unsafe object(shmem, Region.self)?.mapping(at: UInt64(offset), length: size).map { unsafe handle(borrowing: $0) }
}

@_cdecl("virtio_del_shmem_map") @implementation
package func virtio_del_shmem_map(_ shmem: OpaquePointer?, _ offset: hwaddr, _ size: UInt64) {
    guard let region = unsafe object(shmem, Region.self) else { return }
    do throws(ShmemError) {
        try region.unmap(at: UInt64(offset), length: size)
    } catch {
        Log.warning("\(error.message)")
    }
}

@_cdecl("vhost_get_shmem_config") @implementation
package func vhost_get_shmem_config(
    _ dev: OpaquePointer?, _ nregions: UnsafeMutablePointer<Int32>?, _ memory_sizes: UnsafeMutablePointer<UInt64>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(dev, Frontend.self) else { throw .null("dev") }
        guard let nregions = unsafe nregions else { throw .null("nregions") }
        guard let memory_sizes = unsafe memory_sizes else { throw .null("memory_sizes") }
        guard frontend.isReady else { throw ShmemError(ENOTCONN, "the handshake with the back-end is not done") }
        // The back-end was not asked if SHMEM was not negotiated, or if the program gave the regions.
        let said = frontend.config ?? SharedMemoryConfig()
        for shmid in 0...UInt8.max { unsafe memory_sizes[Int(shmid)] = said[shmid] }
        unsafe nregions.pointee = Int32(clamping: said.regionCount)
    }
}

@_cdecl("vu_shmem_map") @implementation
package func vu_shmem_map(
    _ dev: OpaquePointer?, _ shmid: UInt8, _ fd_offset: UInt64, _ shm_offset: UInt64, _ len: UInt64, _ flags: UInt64,
    _ fd: Int32
) -> Bool {
    guard let backend = unsafe object(dev, Backend.self) else { return false }
    do throws(ShmemError) {
        try backend.ask(.map(shmid: shmid, fd: fd, fileOffset: fd_offset, at: shm_offset, length: len, flags: flags))
        return true
    } catch {
        Log.debug("\(error.message)")
        return false
    }
}

@_cdecl("vu_shmem_unmap") @implementation
package func vu_shmem_unmap(_ dev: OpaquePointer?, _ shmid: UInt8, _ shm_offset: UInt64, _ len: UInt64) -> Bool {
    guard let backend = unsafe object(dev, Backend.self) else { return false }
    do throws(ShmemError) {
        try backend.unmap(shmid: shmid, at: shm_offset, length: len)
        return true
    } catch {
        Log.debug("\(error.message)")
        return false
    }
}
