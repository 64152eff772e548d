// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/queue.h

extension GuestMemory {
    /// `other`: a range of the same file, if there is one.
    fileprivate init(_ range: vhushmem_guest_memory, inFileOf other: GuestMemory?) throws(ShmemError) {
        if let other {
            unsafe try self.init(
                guestAddress: range.guest_addr, length: range.size, userAddress: UInt64(UInt(bitPattern: range.host)),
                fileOffset: range.fd_offset, inFileOf: other)
            return
        }
        unsafe try self.init(
            guestAddress: range.guest_addr, length: range.size, userAddress: UInt64(UInt(bitPattern: range.host)),
            fd: range.fd, fileOffset: range.fd_offset)
    }

    fileprivate static func all(
        _ ranges: UnsafePointer<vhushmem_guest_memory>?, _ count: UInt32
    ) throws(ShmemError) -> [GuestMemory] {
        guard count > 0 else { return [] }
        guard let ranges = unsafe ranges else { throw .null("ranges") }
        var all: [GuestMemory] = []
        var files: [(fd: Int32, first: Int)] = []
        for index in 0..<Int(count) {
            let range = try unsafe growing(element(of: ranges, index), "vhushmem_guest_memory")
            let known = files.first { unsafe $0.fd == range.fd }
            unsafe all.append(try GuestMemory(range, inFileOf: known.map { all[$0.first] }))
            if known == nil { unsafe files.append((range.fd, all.count &- 1)) }
        }
        return all
    }
}

extension FrontendQueue {
    fileprivate init(_ queue: vhushmem_queue) throws(ShmemError) {
        unsafe try self.init(
            size: queue.size, descriptors: UInt64(UInt(bitPattern: queue.desc)),
            available: UInt64(UInt(bitPattern: queue.avail)), used: UInt64(UInt(bitPattern: queue.used)), base: queue.base,
            kickFd: queue.kick_fd, callFd: queue.call_fd < 0 ? nil : queue.call_fd)
    }

    fileprivate static func one(_ queue: vhushmem_queue) throws(ShmemError) -> FrontendQueue {
        unsafe queue.size == 0 ? .unused : try FrontendQueue(queue)
    }

    fileprivate static func all(_ queues: UnsafePointer<vhushmem_queue>?, _ count: UInt32) throws(ShmemError) -> [FrontendQueue]
    {
        guard count > 0 else { return [] }
        guard let queues = unsafe queues else { throw .null("queues") }
        guard count <= 256 else { throw ShmemError(EINVAL, "a device has at most 256 queues, and not \(count)") }
        var all: [FrontendQueue] = []
        for index in 0..<Int(count) {
            unsafe all.append(try one(growing(element(of: queues, index), "vhushmem_queue")))
        }
        return all
    }
}

@_cdecl("vhushmem_frontend_set_memory") @implementation
package func vhushmem_frontend_set_memory(
    _ frontend: OpaquePointer?, _ ranges: UnsafePointer<vhushmem_guest_memory>?, _ count: UInt32,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try unsafe frontend.setMemory(GuestMemory.all(ranges, count))
    }
}

@_cdecl("vhushmem_frontend_set_memory_async") @implementation
package func vhushmem_frontend_set_memory_async(
    _ frontend: OpaquePointer?, _ ranges: UnsafePointer<vhushmem_guest_memory>?, _ count: UInt32, _ fn: vhushmem_reply_fn?,
    _ user_data: gpointer?, _ destroy: GDestroyNotify?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try unsafe callback.frontend.setMemory(GuestMemory.all(ranges, count), completion: callback.end)
    }
}

@_cdecl("vhushmem_frontend_share_mapping") @implementation
package func vhushmem_frontend_share_mapping(
    _ frontend: OpaquePointer?, _ mapping: OpaquePointer?, _ guest_addr: UInt64,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        guard let mapping = unsafe object(mapping, Mapping.self) else { throw .null("mapping") }
        try frontend.share(mapping, at: guest_addr)
    }
}

@_cdecl("vhushmem_frontend_share_mapping_async") @implementation
package func vhushmem_frontend_share_mapping_async(
    _ frontend: OpaquePointer?, _ mapping: OpaquePointer?, _ guest_addr: UInt64, _ fn: vhushmem_reply_fn?,
    _ user_data: gpointer?, _ destroy: GDestroyNotify?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        guard let mapping = unsafe object(mapping, Mapping.self) else { throw .null("mapping") }
        try callback.frontend.share(mapping, at: guest_addr, completion: callback.end)
    }
}

@_cdecl("vhushmem_frontend_unshare_mapping") @implementation
package func vhushmem_frontend_unshare_mapping(
    _ frontend: OpaquePointer?, _ mapping: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        guard let mapping = unsafe object(mapping, Mapping.self) else { throw .null("mapping") }
        try frontend.unshare(mapping)
    }
}

@_cdecl("vhushmem_frontend_unshare_mapping_async") @implementation
package func vhushmem_frontend_unshare_mapping_async(
    _ frontend: OpaquePointer?, _ mapping: OpaquePointer?, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?,
    _ destroy: GDestroyNotify?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        guard let mapping = unsafe object(mapping, Mapping.self) else { throw .null("mapping") }
        try callback.frontend.unshare(mapping, completion: callback.end)
    }
}

@_cdecl("vhushmem_frontend_share_region") @implementation
package func vhushmem_frontend_share_region(
    _ frontend: OpaquePointer?, _ region: OpaquePointer?, _ guest_addr: UInt64, _ flags: UInt32,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        guard let region = unsafe object(region, Region.self) else { throw .null("region") }
        guard flags & ~VHUSHMEM_SHARE_WRITABLE_ONLY == 0 else {
            throw ShmemError(EINVAL, "unknown flags \(hex(UInt64(flags)))")
        }
        try frontend.shareRegion(region, at: guest_addr, writableOnly: flags & VHUSHMEM_SHARE_WRITABLE_ONLY != 0)
    }
}

@_cdecl("vhushmem_frontend_unshare_region") @implementation
package func vhushmem_frontend_unshare_region(
    _ frontend: OpaquePointer?, _ region: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        guard let region = unsafe object(region, Region.self) else { throw .null("region") }
        try frontend.unshareRegion(region)
    }
}

@_cdecl("vhushmem_frontend_shared_mappings") @implementation
package func vhushmem_frontend_shared_mappings(
    _ frontend: OpaquePointer?, _ region: OpaquePointer?, _ left_out: UnsafeMutablePointer<UInt64>?
) -> Int64 {
    guard let frontend = unsafe object(frontend, Frontend.self), let region = unsafe object(region, Region.self) else {
        return -Int64(EFAULT)
    }
    guard let share = frontend.share(of: region) else { return -Int64(ENOENT) }
    unsafe left_out?.pointee = share.leftOutCount
    return Int64(share.toldCount)
}

@_cdecl("vhushmem_frontend_start_device") @implementation
package func vhushmem_frontend_start_device(
    _ frontend: OpaquePointer?, _ features: UInt64, _ queues: UnsafePointer<vhushmem_queue>?, _ count: UInt32,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try unsafe frontend.startDevice(features: features, queues: FrontendQueue.all(queues, count))
    }
}

@_cdecl("vhushmem_frontend_start_device_async") @implementation
package func vhushmem_frontend_start_device_async(
    _ frontend: OpaquePointer?, _ features: UInt64, _ queues: UnsafePointer<vhushmem_queue>?, _ count: UInt32,
    _ fn: vhushmem_reply_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try unsafe callback.frontend.startDevice(
            features: features, queues: FrontendQueue.all(queues, count), completion: callback.end)
    }
}

@_cdecl("vhushmem_frontend_stop_device") @implementation
package func vhushmem_frontend_stop_device(
    _ frontend: OpaquePointer?, _ bases: UnsafeMutablePointer<UInt16>?, _ room: UInt32,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe reportCount(to: errp) { () throws(ShmemError) -> Int32 in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        let stopped = try frontend.stopDevice()
        if let bases = unsafe bases {
            // SAFETY: the caller says that bases has room for so many.
            for (index, base) in stopped.prefix(Int(room)).enumerated() { unsafe bases[index] = base }
        }
        return Int32(clamping: stopped.count)
    }
}

@_cdecl("vhushmem_frontend_stop_device_async") @implementation
package func vhushmem_frontend_stop_device_async(
    _ frontend: OpaquePointer?, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try callback.frontend.stopDevice { result in
            callback.finish(result) { bases in
                unsafe callback.succeed(payload: bases.withUnsafeBytes { unsafe Array($0) })
            }
        }
    }
}

@_cdecl("vhushmem_frontend_is_started") @implementation
package func vhushmem_frontend_is_started(_ frontend: OpaquePointer?) -> Bool {
    unsafe object(frontend, Frontend.self)?.isStarted ?? false
}

@_cdecl("vhushmem_frontend_enable_queue") @implementation
package func vhushmem_frontend_enable_queue(
    _ frontend: OpaquePointer?, _ queue: UInt32, _ enabled: Bool,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.setQueueEnabled(Int(queue), enabled)
    }
}

@_cdecl("vhushmem_frontend_enable_queue_async") @implementation
package func vhushmem_frontend_enable_queue_async(
    _ frontend: OpaquePointer?, _ queue: UInt32, _ enabled: Bool, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?,
    _ destroy: GDestroyNotify?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try callback.frontend.setQueueEnabled(Int(queue), enabled) { callback.end($0) }
    }
}
