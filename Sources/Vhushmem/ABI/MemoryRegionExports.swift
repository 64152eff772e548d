// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/memory-region.h

extension UnsafeMutablePointer<MemoryRegion> {
    fileprivate func initialise(_ state: MemoryRegionState, owner: UnsafeMutableRawPointer?, size: UInt64) {
        unsafe initialize(to: MemoryRegion())
        unsafe pointee.vhushmem_state = unsafe Unmanaged.passRetained(state).toOpaque()
        unsafe pointee.owner = unsafe owner
        unsafe pointee.name = unsafe UnsafePointer(state.name)
        unsafe pointee.size = size
    }
}

@_cdecl("memory_region_init") @implementation
package func memory_region_init(
    _ mr: UnsafeMutablePointer<MemoryRegion>?, _ owner: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?, _ size: UInt64
) {
    unsafe mr?.initialise(MemoryRegionState(.container, name: name), owner: owner, size: size)
}

@_cdecl("memory_region_init_ram_ptr") @implementation
package func memory_region_init_ram_ptr(
    _ mr: UnsafeMutablePointer<MemoryRegion>?, _ owner: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?,
    _ size: UInt64, _ ptr: UnsafeMutableRawPointer?
) {
    guard let mr = unsafe mr, let ptr = unsafe ptr else { return Log.warning("memory_region_init_ram_ptr: a pointer is NULL") }
    unsafe mr.initialise(MemoryRegionState(.memory(ptr), name: name), owner: owner, size: size)
}

@_cdecl("memory_region_init_ram_device_ptr") @implementation
package func memory_region_init_ram_device_ptr(
    _ mr: UnsafeMutablePointer<MemoryRegion>?, _ owner: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?,
    _ size: UInt64, _ ptr: UnsafeMutableRawPointer?
) {
    unsafe memory_region_init_ram_ptr(mr, owner, name, size, ptr)
}

@_cdecl("memory_region_init_alias") @implementation
package func memory_region_init_alias(
    _ mr: UnsafeMutablePointer<MemoryRegion>?, _ owner: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?,
    _ orig: UnsafeMutablePointer<MemoryRegion>?, _ offset: hwaddr, _ size: UInt64
) {
    guard let mr = unsafe mr, let orig = unsafe orig, let base = unsafe orig.baseAddress, unsafe orig.sharedMapping == nil
    else {
        return Log.warning("memory_region_init_alias: the original is NULL, or has no address that stays")
    }
    guard let range = ByteRange(start: UInt64(offset), length: size), unsafe range.end <= orig.pointee.size else {
        return Log.warning(
            unsafe "memory_region_init_alias: \(hex(size)) bytes at \(hex(UInt64(offset))) are not inside of \(hex(orig.pointee.size))"
                + " bytes")
    }
    unsafe memory_region_ref(orig)
    unsafe mr.initialise(
        MemoryRegionState(.part(of: orig, at: base + Int(clamping: range.start)), name: name), owner: owner, size: size)
}

@_cdecl("memory_region_is_mapped") @implementation
package func memory_region_is_mapped(_ mr: UnsafeMutablePointer<MemoryRegion>?) -> Bool {
    guard let mr = unsafe mr else { return false }
    if let mapping = unsafe mr.sharedMapping { return unsafe mapping.baseAddress != nil }
    return unsafe mr.pointee.container != nil
}

@_cdecl("memory_region_is_ram") @implementation
package func memory_region_is_ram(_ mr: UnsafeMutablePointer<MemoryRegion>?) -> Bool {
    guard let mr = unsafe mr else { return false }
    return unsafe mr.sharedMapping != nil || mr.state?.isContainer == false
}

@_cdecl("memory_region_set_enabled") @implementation
package func memory_region_set_enabled(_ mr: UnsafeMutablePointer<MemoryRegion>?, _ enabled: Bool) {
    guard let mr = unsafe mr, unsafe mr.isDisabled == enabled else { return }
    unsafe mr.change { unsafe $0.setDisabled(!enabled) }
}

@_cdecl("memory_region_set_readonly") @implementation
package func memory_region_set_readonly(_ mr: UnsafeMutablePointer<MemoryRegion>?, _ readonly: Bool) {
    guard let mr = unsafe mr, unsafe mr.isMarkedReadOnly != readonly else { return }
    unsafe mr.change { unsafe $0.setMarkedReadOnly(readonly) }
}

@_cdecl("memory_region_init_ram_from_fd") @implementation
package func memory_region_init_ram_from_fd(
    _ mr: UnsafeMutablePointer<MemoryRegion>?, _ owner: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?,
    _ size: UInt64, _ ram_flags: UInt32, _ fd: Int32, _ offset: ram_addr_t,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Bool {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let mr = unsafe mr else { throw .null("mr") }
        guard ram_flags & ~(RAM_SHARED | RAM_READONLY | RAM_READONLY_FD) == 0 else {
            throw ShmemError(EINVAL, .memory(size: size), .unknownFlags(UInt64(ram_flags)))
        }
        let memory = try FileMemory.map(
            fd: fd, offset: UInt64(offset), size: size, isShared: ram_flags & RAM_SHARED != 0,
            isReadOnly: ram_flags & RAM_READONLY != 0)
        unsafe mr.initialise(MemoryRegionState(.file(memory), name: name), owner: owner, size: size)
    } == 0
}

@_cdecl("memory_region_size") @implementation
package func memory_region_size(_ mr: UnsafeMutablePointer<MemoryRegion>?) -> UInt64 {
    unsafe mr?.pointee.size ?? 0
}

@_cdecl("memory_region_get_ram_ptr") @implementation
package func memory_region_get_ram_ptr(_ mr: UnsafeMutablePointer<MemoryRegion>?) -> UnsafeMutableRawPointer? {
    unsafe mr?.baseAddress
}

@_cdecl("memory_region_get_fd") @implementation
package func memory_region_get_fd(_ mr: UnsafeMutablePointer<MemoryRegion>?) -> Int32 {
    if let mapping = unsafe mr?.sharedMapping { return mapping.fd }
    guard case .file(let memory)? = unsafe mr?.state?.backing else { return -1 }
    return memory.file.raw
}

@_cdecl("memory_region_add_subregion") @implementation
package func memory_region_add_subregion(
    _ mr: UnsafeMutablePointer<MemoryRegion>?, _ offset: hwaddr, _ subregion: UnsafeMutablePointer<MemoryRegion>?
) {
    guard let mr = unsafe mr, let subregion = unsafe subregion else {
        return Log.warning("memory_region_add_subregion: a region is NULL")
    }
    if let region = unsafe mr.sharedRegion { return unsafe add(subregion, at: UInt64(offset), to: region) }
    guard let state = unsafe mr.state, state.isContainer else {
        return Log.warning("memory_region_add_subregion: only a region of memory_region_init can hold others")
    }
    guard unsafe subregion.sharedMapping == nil else {
        return Log.warning("memory_region_add_subregion: a mapping can be in the container of its region alone")
    }
    guard unsafe subregion.pointee.container == nil, unsafe !mr.isInside(subregion) else {
        return Log.warning("memory_region_add_subregion: the region is part of a container already")
    }
    guard let range = unsafe ByteRange(start: UInt64(offset), length: subregion.pointee.size),
        unsafe range.end <= mr.pointee.size
    else {
        return Log.warning(
            unsafe "memory_region_add_subregion: \(hex(subregion.pointee.size)) bytes at \(hex(UInt64(offset))) do not fit into a"
                + " container of \(hex(mr.pointee.size)) bytes")
    }
    // swift-format-ignore
    for unsafe other in unsafe state.children {
        if unsafe ByteRange(start: other.pointee.addr, length: other.pointee.size)?.overlaps(range) == true {
            return unsafe Log.warning(
                "memory_region_add_subregion: \(hex(range.length)) bytes at \(hex(range.start)) overlap what is at"
                    + " \(hex(other.pointee.addr))")
        }
    }
    unsafe memory_region_ref(subregion)
    unsafe subregion.pointee.container = unsafe mr
    unsafe subregion.pointee.addr = UInt64(offset)
    unsafe state.add(subregion)
    unsafe subregion.wasPlaced()
}

/// Adds a mapping: it goes into a region's container.
private func add(_ subregion: UnsafeMutablePointer<MemoryRegion>, at offset: UInt64, to region: Region) {
    guard let mapping = unsafe subregion.sharedMapping else {
        return Log.warning(
            "memory_region_add_subregion: region \(region.shmid) shows files in its window, and takes the regions of mappings alone"
                + " (virtio_shared_memory_mapping_new)")
    }
    guard mapping.description.offset == offset else {
        return Log.warning(
            "memory_region_add_subregion: the mapping was made for \(hex(mapping.description.offset)), not for \(hex(offset))")
    }
    region.listMappings()
    do throws(ShmemError) {
        try region.add(mapping)
    } catch {
        Log.warning("\(error.message)")
    }
}

@_cdecl("memory_region_del_subregion") @implementation
package func memory_region_del_subregion(
    _ mr: UnsafeMutablePointer<MemoryRegion>?, _ subregion: UnsafeMutablePointer<MemoryRegion>?
) {
    if let region = unsafe mr?.sharedRegion, let mapping = unsafe subregion?.sharedMapping {
        let range = mapping.description
        guard region.mapping(at: range.offset, length: range.length) === mapping else {
            return Log.warning("memory_region_del_subregion: the mapping is not part of region \(region.shmid)")
        }
        return unsafe virtio_del_shmem_map(handle(borrowing: region), hwaddr(range.offset), range.length)
    }
    guard let mr = unsafe mr, let subregion = unsafe subregion, let state = unsafe mr.state,
        unsafe subregion.pointee.container == mr
    else {
        return Log.warning("memory_region_del_subregion: the region is not part of the container")
    }
    unsafe subregion.willBeTaken()
    unsafe state.remove(subregion)
    unsafe subregion.pointee.container = nil
    unsafe subregion.pointee.addr = 0
    unsafe mr.commitUpwards()
    unsafe memory_region_unref(subregion)
}

@_cdecl("memory_region_transaction_begin") @implementation
package func memory_region_transaction_begin() {
    MemoryTransaction.begin()
}

@_cdecl("memory_region_transaction_commit") @implementation
package func memory_region_transaction_commit() {
    MemoryTransaction.commit()
}

@_cdecl("memory_region_ref") @implementation
package func memory_region_ref(_ mr: UnsafeMutablePointer<MemoryRegion>?) {
    if let region = unsafe mr?.sharedRegion {
        unsafe retain(handle(borrowing: region), Region.self)
    } else if let mapping = unsafe mr?.sharedMapping {
        unsafe retain(handle(borrowing: mapping), Mapping.self)
    } else {
        unsafe mr?.state?.retainOnce()
    }
}

@_cdecl("memory_region_unref") @implementation
package func memory_region_unref(_ mr: UnsafeMutablePointer<MemoryRegion>?) {
    guard let mr = unsafe mr else { return }
    if let region = unsafe mr.sharedRegion { return unsafe release(handle(borrowing: region), Region.self) }
    if let mapping = unsafe mr.sharedMapping { return unsafe release(handle(borrowing: mapping), Mapping.self) }
    guard let state = unsafe mr.state, state.releaseOnce() else { return }
    // swift-format-ignore
    for unsafe child in unsafe state.children { unsafe memory_region_del_subregion(mr, child) }
    if case .part(let original, _) = state.backing { unsafe memory_region_unref(original) }
    unsafe mr.pointee.vhushmem_state = nil
    unsafe mr.pointee.name = nil
    // SAFETY: the reference that `initialise` took; nothing finds the state through the region any more.
    unsafe Unmanaged.passUnretained(state).release()
}

@_cdecl("memory_listener_register") @implementation
package func memory_listener_register(
    _ listener: UnsafeMutablePointer<MemoryListener>?, _ root: UnsafeMutablePointer<MemoryRegion>?
) {
    guard let listener = unsafe listener, let root = unsafe root, unsafe listener.pointee.vhushmem_state == nil else {
        return Log.warning("memory_listener_register: NULL, or a listener that is registered already")
    }
    guard unsafe root.sharedRegion != nil || root.state?.isContainer == true else {
        return Log.warning("memory_listener_register: only a container, of memory_region_init or of a region, can be watched")
    }
    unsafe listener.pointee.vhushmem_state = UnsafeMutableRawPointer(root)
    // The reference ends with the registration: the front-end, and the device with it, may go before.
    unsafe memory_region_ref(root)
    if let region = unsafe root.sharedRegion {
        unsafe region.memoryContainer.add(listener)
    } else if let state = unsafe root.state {
        unsafe state.listeners.add(listener, existing: root.sections)
    }
}

@_cdecl("memory_listener_unregister") @implementation
package func memory_listener_unregister(_ listener: UnsafeMutablePointer<MemoryListener>?) {
    guard let listener = unsafe listener, let raw = unsafe listener.pointee.vhushmem_state else { return }
    unsafe listener.pointee.vhushmem_state = nil
    // SAFETY: memory_listener_register put the root there, and took a reference that is given back below.
    let root = unsafe raw.assumingMemoryBound(to: MemoryRegion.self)
    if let region = unsafe root.sharedRegion {
        unsafe region.memoryContainer.remove(listener)
    } else if let state = unsafe root.state {
        unsafe state.listeners.remove(listener, existing: root.sections)
    }
    unsafe memory_region_unref(root)
}
