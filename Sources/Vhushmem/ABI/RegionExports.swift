// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/region.h

extension RegionOptions {
    init(_ options: UnsafePointer<vhushmem_region_options>?) throws(ShmemError) {
        self.init()
        guard let options = unsafe options else { return }
        let given = try unsafe growing(options, "vhushmem_region_options")
        guard let strategy = MappingStrategy(rawValue: given.strategy) else {
            throw ShmemError(EINVAL, "vhushmem_region_options.strategy \(given.strategy) is not known")
        }
        self.strategy = strategy
        guard let holes = HolePolicy(rawValue: given.holes) else {
            throw ShmemError(EINVAL, "vhushmem_region_options.holes \(given.holes) is not known")
        }
        guard given.fd_policy & ~FilePolicy.all.rawValue == 0 else {
            throw ShmemError(EINVAL, "vhushmem_region_options.fd_policy \(hex(UInt64(given.fd_policy))) has unknown bits")
        }
        let populate = UInt32(VHUSHMEM_REGION_POPULATE)
        let hugePage = UInt32(VHUSHMEM_REGION_HUGEPAGE)
        let keepFds = UInt32(VHUSHMEM_REGION_KEEP_FDS)
        let replace = UInt32(VHUSHMEM_REGION_REPLACE)
        let byOffset = UInt32(VHUSHMEM_REGION_UNMAP_BY_OFFSET)
        let dontFork = UInt32(VHUSHMEM_REGION_DONTFORK)
        let known = populate | hugePage | keepFds | replace | byOffset | dontFork
        guard given.flags & ~known == 0, given.reserved == 0 else {
            throw ShmemError(EINVAL, "vhushmem_region_options.flags \(hex(UInt64(given.flags))) or .reserved has unknown bits")
        }
        self.holes = holes
        filePolicy = FilePolicy(rawValue: given.fd_policy)
        self.populate = given.flags & populate != 0
        hugePages = given.flags & hugePage != 0
        keepsFiles = given.flags & keepFds != 0
        replaces = given.flags & replace != 0
        unmapsByOffset = given.flags & byOffset != 0
        isLeftOutOfForks = given.flags & dontFork != 0
        maximumMappings = given.max_mappings
        maximumBytes = given.max_bytes
        if given.populate_max != 0 { maximumPopulated = given.populate_max }
    }
}

extension vhushmem_mapping_info {
    mutating func fill(_ mapping: MappingDescription, host: UnsafeMutableRawPointer?) {
        unsafe shmid = mapping.shmid
        unsafe broken = mapping.isBroken ? 1 : 0
        unsafe reserved = (0, 0)
        unsafe shm_offset = mapping.offset
        unsafe len = mapping.length
        unsafe fd_offset = mapping.fileOffset
        unsafe flags = mapping.isWritable ? SharedMemoryMap.readWrite : 0
        unsafe self.host = unsafe host
    }
}

@_cdecl("vhushmem_region_options_for_dax") @implementation
package func vhushmem_region_options_for_dax(_ options: UnsafeMutablePointer<vhushmem_region_options>?) -> Int32 {
    guard let options = unsafe options else { return -EFAULT }
    let size = MemoryLayout<vhushmem_region_options>.size
    let given = unsafe options.pointee.struct_size == 0 ? size : Int(options.pointee.struct_size)
    guard given >= size else { return -EINVAL }
    // SAFETY: the caller says that the struct has so many bytes.
    unsafe memset(options, 0, given)
    let dax = RegionOptions.forDAX
    unsafe options.pointee.struct_size = UInt32(clamping: given)
    unsafe options.pointee.fd_policy = dax.filePolicy.rawValue
    unsafe options.pointee.flags = dax.replaces ? UInt32(VHUSHMEM_REGION_REPLACE) : 0
    return 0
}

@_cdecl("vhushmem_process_budget_set") @implementation
package func vhushmem_process_budget_set(_ max_mappings: UInt64, _ reserve: UInt64) -> Int32 {
    guard let most = Int(exactly: max_mappings), let left = Int(exactly: reserve),
        ProcessBudget.configure(most: most, reserve: left)
    else { return -EINVAL }
    return 0
}

@_cdecl("vhushmem_region_advise") @implementation
package func vhushmem_region_advise(_ region: OpaquePointer?, _ advice: Int32) -> Int32 {
    guard let region = unsafe object(region, Region.self) else { return -EFAULT }
    do throws(ShmemError) {
        try region.advise(advice)
        return 0
    } catch {
        return -error.code
    }
}

@_cdecl("vhushmem_region_heal") @implementation
package func vhushmem_region_heal(_ region: OpaquePointer?) -> Int32 {
    unsafe object(region, Region.self).map { Int32(clamping: $0.heal()) } ?? -EFAULT
}

@_cdecl("vhushmem_region_new") @implementation
package func vhushmem_region_new(
    _ device: OpaquePointer?, _ shmid: UInt8, _ size: UInt64, _ options: UnsafePointer<vhushmem_region_options>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> OpaquePointer? {
    unsafe reportNil(to: errp) { () throws(ShmemError) in
        guard let device = unsafe object(device, ShmemDevice.self) else { throw .null("device") }
        return unsafe handle(borrowing: try device.addRegion(shmid: shmid, size: size, options: RegionOptions(options)))
    }
}

@_cdecl("vhushmem_region_ref") @implementation
package func vhushmem_region_ref(_ region: OpaquePointer?) -> OpaquePointer? {
    unsafe retain(region, Region.self)
    return unsafe region
}

@_cdecl("vhushmem_region_unref") @implementation
package func vhushmem_region_unref(_ region: OpaquePointer?) {
    unsafe release(region, Region.self)
}

@_cdecl("vhushmem_region_id") @implementation
package func vhushmem_region_id(_ region: OpaquePointer?) -> Int32 {
    unsafe object(region, Region.self).map { Int32($0.shmid) } ?? -EFAULT
}

@_cdecl("vhushmem_region_size") @implementation
package func vhushmem_region_size(_ region: OpaquePointer?) -> UInt64 {
    unsafe object(region, Region.self)?.size ?? 0
}

@_cdecl("vhushmem_region_window") @implementation
package func vhushmem_region_window(_ region: OpaquePointer?) -> UnsafeMutableRawPointer? {
    unsafe object(region, Region.self)?.window.baseAddress
}

@_cdecl("vhushmem_region_mapping_count") @implementation
package func vhushmem_region_mapping_count(_ region: OpaquePointer?) -> UInt64 {
    unsafe object(region, Region.self)?.mappingCount ?? 0
}

@_cdecl("vhushmem_region_mapped_bytes") @implementation
package func vhushmem_region_mapped_bytes(_ region: OpaquePointer?) -> UInt64 {
    unsafe object(region, Region.self)?.mappedBytes ?? 0
}

@_cdecl("vhushmem_region_map") @implementation
package func vhushmem_region_map(
    _ region: OpaquePointer?, _ fd: Int32, _ fd_offset: UInt64, _ shm_offset: UInt64, _ len: UInt64, _ flags: UInt64,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let region = unsafe object(region, Region.self) else { throw .null("region") }
        let request = SharedMemoryMap(shmid: region.shmid, fileOffset: fd_offset, offset: shm_offset, length: len, flags: flags)
        try region.mapForProgram(request, fd: fd)
    }
}

@_cdecl("vhushmem_region_alloc") @implementation
package func vhushmem_region_alloc(
    _ region: OpaquePointer?, _ fd: Int32, _ fd_offset: UInt64, _ len: UInt64, _ align: UInt64, _ flags: UInt64,
    _ shm_offset: UnsafeMutablePointer<UInt64>?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let region = unsafe object(region, Region.self) else { throw .null("region") }
        guard let shm_offset = unsafe shm_offset else { throw .null("shm_offset") }
        unsafe shm_offset.pointee = try region.allocate(
            fd: fd, fileOffset: fd_offset, length: len, alignment: align, flags: flags)
    }
}

@_cdecl("vhushmem_region_add_mapping") @implementation
package func vhushmem_region_add_mapping(
    _ region: OpaquePointer?, _ mapping: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    let result = unsafe report(to: errp) { () throws(ShmemError) in
        guard let region = unsafe object(region, Region.self) else { throw .null("region") }
        guard let mapping = unsafe object(mapping, Mapping.self) else { throw .null("mapping") }
        try region.add(mapping)
    }
    // The region has a reference of its own, so the caller's is released.
    if result == 0 { unsafe release(mapping, Mapping.self) }
    return result
}

@_cdecl("vhushmem_region_unmap") @implementation
package func vhushmem_region_unmap(
    _ region: OpaquePointer?, _ shm_offset: UInt64, _ len: UInt64, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let region = unsafe object(region, Region.self) else { throw .null("region") }
        try region.unmap(at: shm_offset, length: len)
    }
}

@_cdecl("vhushmem_region_unmap_all") @implementation
package func vhushmem_region_unmap_all(_ region: OpaquePointer?) -> Int32 {
    guard let region = unsafe object(region, Region.self) else { return -EFAULT }
    return Int32(clamping: region.unmapAll())
}

@_cdecl("vhushmem_region_find_mapping") @implementation
package func vhushmem_region_find_mapping(_ region: OpaquePointer?, _ shm_offset: UInt64, _ len: UInt64) -> OpaquePointer? {
    unsafe object(region, Region.self)?.mapping(at: shm_offset, length: len).map { unsafe handle(owning: $0) }
}

@_cdecl("vhushmem_region_next_mapping") @implementation
package func vhushmem_region_next_mapping(
    _ region: OpaquePointer?, _ from: UInt64, _ info: UnsafeMutablePointer<vhushmem_mapping_info>?
) -> Int32 {
    guard let region = unsafe object(region, Region.self), let info = unsafe info else { return -EFAULT }
    guard unsafe hasRoom(info) else { return -EINVAL }
    guard let mapping = region.nextMapping(from: from) else { return -ENOENT }
    unsafe info.pointee.fill(mapping, host: region.window.baseAddress + Int(clamping: mapping.offset))
    unsafe clearBeyondKnown(info)
    return 0
}

@_cdecl("vhushmem_region_translate") @implementation @_optimize(speed)
package func vhushmem_region_translate(
    _ region: OpaquePointer?, _ shm_offset: UInt64, _ len: UInt64, _ write: Bool
) -> UnsafeMutableRawPointer? {
    guard let region = unsafe region else { return nil }
    // SAFETY: the caller holds a reference during the call. On a vCPU's path another one, for which threads would contend,
    // costs as much as the look-up.
    return unsafe Unmanaged<Region>.fromOpaque(UnsafeRawPointer(region))._withUnsafeGuaranteedRef {
        unsafe $0.translate(shm_offset, length: len, forWriting: write)
    }
}

@_cdecl("vhushmem_region_read") @implementation
package func vhushmem_region_read(
    _ region: OpaquePointer?, _ shm_offset: UInt64, _ buf: UnsafeMutableRawPointer?, _ len: Int,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let region = unsafe object(region, Region.self) else { throw .null("region") }
        guard unsafe buf != nil || len == 0 else { throw .null("buf") }
        // SAFETY: the caller says that buf has len bytes.
        try unsafe region.read(at: shm_offset, into: UnsafeMutableRawBufferPointer(start: buf, count: count(len)))
    }
}

@_cdecl("vhushmem_region_write") @implementation
package func vhushmem_region_write(
    _ region: OpaquePointer?, _ shm_offset: UInt64, _ buf: UnsafeRawPointer?, _ len: Int,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let region = unsafe object(region, Region.self) else { throw .null("region") }
        guard unsafe buf != nil || len == 0 else { throw .null("buf") }
        // SAFETY: as above.
        try unsafe region.write(at: shm_offset, from: UnsafeRawBufferPointer(start: buf, count: count(len)))
    }
}
