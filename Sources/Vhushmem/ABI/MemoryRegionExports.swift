// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/series.h: memory regions and listeners.

extension UnsafeMutablePointer<MemoryRegion> {
    fileprivate func initialise(_ state: MemoryRegionState, owner: UnsafeMutableRawPointer?, size: UInt64) {
        initialize(to: MemoryRegion())
        pointee.vhushmem_state = Unmanaged.passRetained(state).toOpaque()
        pointee.owner = owner
        pointee.name = UnsafePointer(state.name)
        pointee.size = size
    }
}

@_cdecl("memory_region_init") @implementation
package func memory_region_init(
    _ mr: UnsafeMutablePointer<MemoryRegion>?, _ owner: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?, _ size: UInt64
) {
    mr?.initialise(MemoryRegionState(.container, name: name), owner: owner, size: size)
}

@_cdecl("memory_region_init_ram_from_fd") @implementation
package func memory_region_init_ram_from_fd(
    _ mr: UnsafeMutablePointer<MemoryRegion>?, _ owner: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?,
    _ size: UInt64, _ ram_flags: UInt32, _ fd: Int32, _ offset: ram_addr_t,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Bool {
    report(to: errp) { () throws(ShmemError) in
        guard let mr else { throw .null("mr") }
        guard ram_flags & ~(RAM_SHARED | RAM_READONLY | RAM_READONLY_FD) == 0 else {
            throw ShmemError(EINVAL, .memory(size: size), .unknownFlags(UInt64(ram_flags)))
        }
        let memory = try FileMemory.map(
            fd: fd, offset: UInt64(offset), size: size, isShared: ram_flags & RAM_SHARED != 0,
            isReadOnly: ram_flags & RAM_READONLY != 0)
        mr.initialise(MemoryRegionState(.file(memory), name: name), owner: owner, size: size)
    } == 0
}

@_cdecl("memory_region_size") @implementation
package func memory_region_size(_ mr: UnsafeMutablePointer<MemoryRegion>?) -> UInt64 {
    mr?.pointee.size ?? 0
}

@_cdecl("memory_region_get_ram_ptr") @implementation
package func memory_region_get_ram_ptr(_ mr: UnsafeMutablePointer<MemoryRegion>?) -> UnsafeMutableRawPointer? {
    mr?.baseAddress
}

@_cdecl("memory_region_get_fd") @implementation
package func memory_region_get_fd(_ mr: UnsafeMutablePointer<MemoryRegion>?) -> Int32 {
    guard case .file(let memory)? = mr?.state?.backing else { return -1 }
    return memory.file.raw
}

@_cdecl("memory_region_add_subregion") @implementation
package func memory_region_add_subregion(
    _ mr: UnsafeMutablePointer<MemoryRegion>?, _ offset: hwaddr, _ subregion: UnsafeMutablePointer<MemoryRegion>?
) {
    guard let mr, let subregion else { return Log.warning("memory_region_add_subregion: a region is NULL") }
    guard let state = mr.state, case .container = state.backing else {
        return Log.warning("memory_region_add_subregion: only a region of memory_region_init can hold others")
    }
    guard subregion.pointee.container == nil, subregion != mr else {
        return Log.warning("memory_region_add_subregion: the region is part of a container already")
    }
    guard let range = ByteRange(start: UInt64(offset), length: subregion.pointee.size), range.end <= mr.pointee.size else {
        return Log.warning(
            "memory_region_add_subregion: \(hex(subregion.pointee.size)) bytes at \(hex(UInt64(offset))) do not fit into a"
                + " container of \(hex(mr.pointee.size)) bytes")
    }
    for other in state.children {
        if ByteRange(start: other.pointee.addr, length: other.pointee.size)?.overlaps(range) == true {
            return Log.warning(
                "memory_region_add_subregion: \(hex(range.length)) bytes at \(hex(range.start)) overlap what is at"
                    + " \(hex(other.pointee.addr))")
        }
    }
    memory_region_ref(subregion)
    subregion.pointee.container = mr
    subregion.pointee.addr = UInt64(offset)
    state.add(subregion, to: mr)
}

@_cdecl("memory_region_del_subregion") @implementation
package func memory_region_del_subregion(
    _ mr: UnsafeMutablePointer<MemoryRegion>?, _ subregion: UnsafeMutablePointer<MemoryRegion>?
) {
    guard let mr, let subregion, let state = mr.state, subregion.pointee.container == mr else {
        return Log.warning("memory_region_del_subregion: the region is not part of the container")
    }
    state.remove(subregion, from: mr)
    subregion.pointee.container = nil
    subregion.pointee.addr = 0
    memory_region_unref(subregion)
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
    if let container = mr?.regionContainer {
        retain(handle(borrowing: container.region), Region.self)
    } else {
        mr?.state?.retainOnce()
    }
}

@_cdecl("memory_region_unref") @implementation
package func memory_region_unref(_ mr: UnsafeMutablePointer<MemoryRegion>?) {
    guard let mr else { return }
    if let container = mr.regionContainer { return release(handle(borrowing: container.region), Region.self) }
    guard let state = mr.state, state.releaseOnce() else { return }
    for child in state.children { memory_region_del_subregion(mr, child) }
    mr.pointee.vhushmem_state = nil
    mr.pointee.name = nil
    // SAFETY: the reference that `initialise` took; nothing finds the state through the region any more.
    Unmanaged.passUnretained(state).release()
}

@_cdecl("memory_listener_register") @implementation
package func memory_listener_register(
    _ listener: UnsafeMutablePointer<MemoryListener>?, _ root: UnsafeMutablePointer<MemoryRegion>?
) {
    guard let listener, let root, listener.pointee.vhushmem_state == nil else {
        return Log.warning("memory_listener_register: NULL, or a listener that is registered already")
    }
    listener.pointee.vhushmem_state = UnsafeMutableRawPointer(root)
    // Until it is unregistered: the front-end, and the device with it, may go before.
    memory_region_ref(root)
    if let container = root.regionContainer {
        container.add(listener)
    } else if let state = root.state {
        state.listeners.add(listener, existing: state.sections(in: root))
    }
}

@_cdecl("memory_listener_unregister") @implementation
package func memory_listener_unregister(_ listener: UnsafeMutablePointer<MemoryListener>?) {
    guard let listener, let raw = listener.pointee.vhushmem_state else { return }
    listener.pointee.vhushmem_state = nil
    // SAFETY: memory_listener_register put the root there, and took a reference that is given back below.
    let root = raw.assumingMemoryBound(to: MemoryRegion.self)
    if let container = root.regionContainer {
        container.remove(listener)
    } else if let state = root.state {
        state.listeners.remove(listener, existing: state.sections(in: root))
    }
    memory_region_unref(root)
}
