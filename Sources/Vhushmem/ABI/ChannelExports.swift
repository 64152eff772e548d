// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/channel.h

extension ChannelOptions {
    fileprivate init(_ options: UnsafePointer<vhushmem_channel_options>?) throws(ShmemError) {
        self.init()
        guard let options = unsafe options else { return }
        let given = try unsafe growing(options, "vhushmem_channel_options")
        let (keep, first) = (UInt32(VHUSHMEM_CHANNEL_KEEP_MAPPINGS), UInt32(VHUSHMEM_CHANNEL_FIRST_MAP_FLAGS))
        guard given.flags & ~(keep | first) == 0 else {
            throw ShmemError(EINVAL, "vhushmem_channel_options.flags \(hex(UInt64(given.flags))) has unknown bits")
        }
        guard given.reserved == 0 else { throw ShmemError(EINVAL, "vhushmem_channel_options.reserved is not 0") }
        keepsMappings = given.flags & keep != 0
        mapFlags = given.flags & first != 0 ? .first : .current
        if given.message_timeout_ms != 0 { messageTimeoutLimit = Milliseconds(given.message_timeout_ms) }
    }
}

extension OtherRequest {
    /// Calls `body` with the request as C sees it, valid during the call only.
    func answer(_ body: (UnsafePointer<vhushmem_other_request>) -> Int32) throws(ShmemError) -> RequestAnswer {
        var replyDescriptor: Int32 = -1
        let result = unsafe withUnsafeMutablePointer(to: &replyDescriptor) { place in
            var request = unsafe vhushmem_other_request()
            unsafe request.request = id
            unsafe request.flags = flags
            unsafe request.payload = unsafe payload.baseAddress
            unsafe request.size = unsafe payload.count
            unsafe request.fds = unsafe descriptors.baseAddress
            unsafe request.nfds = unsafe UInt32(clamping: descriptors.count)
            unsafe request.reply_fd = unsafe place
            return unsafe body(&request)
        }
        if result == 0 { return replyDescriptor < 0 ? .done : .descriptor(OwnedDescriptor(owning: replyDescriptor)) }
        // A refusal goes alone, and the library owns the descriptor on every path.
        if replyDescriptor >= 0 { OwnedDescriptor.close(replyDescriptor) }
        throw ShmemError(result > -4096 && result < 0 ? -result : EIO, "the VMM")
    }
}

@_cdecl("vhushmem_channel_new") @implementation
package func vhushmem_channel_new(
    _ fd: Int32, _ device: OpaquePointer?, _ options: UnsafePointer<vhushmem_channel_options>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> OpaquePointer? {
    unsafe reportNil(to: errp) { () throws(ShmemError) in
        guard let device = unsafe object(device, ShmemDevice.self) else { throw .null("device") }
        return unsafe handle(owning: try ShmemChannel(socket: fd, device: device, options: ChannelOptions(options)).forC())
    }
}

@_cdecl("vhushmem_channel_free") @implementation
package func vhushmem_channel_free(_ channel: OpaquePointer?) {
    unsafe object(channel, ShmemChannel.self)?.close(isLast: true)
    unsafe release(channel, ShmemChannel.self)
}

@_cdecl("vhushmem_channel_set_callback") @implementation
package func vhushmem_channel_set_callback(
    _ channel: OpaquePointer?, _ fn: vhushmem_channel_event_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?
) -> Int32 {
    let data = unsafe CallbackData(user_data, destroy)
    guard let channel = unsafe object(channel, ShmemChannel.self) else { return -EFAULT }
    guard let fn = unsafe fn else {
        channel.onEvent = nil
        return 0
    }
    channel.onEvent = { channel, event in
        let event: FrontendEvent =
            switch event {
            case .served(let served): .served(served)
            case .broken(let mapping): .broken(mapping)
            case .healed(let mapping): .healed(mapping)
            case .lost(let error): .channelLost(error)
            }
        unsafe event.withCEvent { unsafe fn(handle(borrowing: channel), $0, data.userData) }
    }
    return 0
}

@_cdecl("vhushmem_channel_set_request_callback") @implementation
package func vhushmem_channel_set_request_callback(
    _ channel: OpaquePointer?, _ fn: vhushmem_channel_request_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?
) -> Int32 {
    let data = unsafe CallbackData(user_data, destroy)
    guard let channel = unsafe object(channel, ShmemChannel.self) else { return -EFAULT }
    guard let fn = unsafe fn else {
        channel.onRequest = nil
        return 0
    }
    channel.onRequest = { channel, request throws(ShmemError) in
        try unsafe request.answer { unsafe fn(handle(borrowing: channel), $0, data.userData) }
    }
    return 0
}

@_cdecl("vhushmem_channel_get_fd") @implementation
package func vhushmem_channel_get_fd(_ channel: OpaquePointer?) -> Int32 {
    guard let channel = unsafe object(channel, ShmemChannel.self) else { return -EFAULT }
    do throws(ShmemError) {
        return try channel.pollDescriptor()
    } catch {
        return -error.code
    }
}

@_cdecl("vhushmem_channel_get_events") @implementation
package func vhushmem_channel_get_events(_ channel: OpaquePointer?) -> Int32 {
    unsafe channel == nil ? -EFAULT : POLLIN
}

@_cdecl("vhushmem_channel_dispatch") @implementation
package func vhushmem_channel_dispatch(_ channel: OpaquePointer?) -> Int32 {
    guard let channel = unsafe object(channel, ShmemChannel.self) else { return -EFAULT }
    // A callback may free the channel: it goes when this call is over.
    return withExtendedLifetime(channel) { channel.dispatch(.both) }
}

@_cdecl("vhushmem_channel_source_new") @implementation
package func vhushmem_channel_source_new(_ channel: OpaquePointer?) -> UnsafeMutablePointer<GSource>? {
    unsafe object(channel, ShmemChannel.self).flatMap { unsafe SessionSource.make(for: $0, name: "vhushmem channel") }
}

@_cdecl("vhushmem_channel_is_open") @implementation
package func vhushmem_channel_is_open(_ channel: OpaquePointer?) -> Bool {
    unsafe object(channel, ShmemChannel.self)?.isOpen ?? false
}

@_cdecl("vhushmem_channel_begin_reset") @implementation
package func vhushmem_channel_begin_reset(_ channel: OpaquePointer?) -> Int32 {
    guard let channel = unsafe object(channel, ShmemChannel.self) else { return -EFAULT }
    channel.beginReset()
    return 0
}

@_cdecl("vhushmem_channel_end_reset") @implementation
package func vhushmem_channel_end_reset(_ channel: OpaquePointer?) -> Int32 {
    guard let channel = unsafe object(channel, ShmemChannel.self) else { return -EFAULT }
    channel.endReset()
    return 0
}

// MARK: Single messages

/// The payload of a message that the VMM has read, at any address.
private func payload(_ map: UnsafeRawPointer?) throws(ShmemError) -> UnsafeRawBufferPointer {
    guard let map = unsafe map else { throw .null("map") }
    // SAFETY: the caller says that the 40 bytes of a VhostUserMMap are there.
    return unsafe UnsafeRawBufferPointer(start: map, count: SharedMemoryMap.size)
}

@_cdecl("vhushmem_handle_map") @implementation
package func vhushmem_handle_map(
    _ device: OpaquePointer?, _ map: UnsafeRawPointer?, _ fd: Int32,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let device = unsafe object(device, ShmemDevice.self) else { throw .null("device") }
        try unsafe device.handleMap(payload: payload(map), fd: fd)
    }
}

@_cdecl("vhushmem_handle_unmap") @implementation
package func vhushmem_handle_unmap(
    _ device: OpaquePointer?, _ map: UnsafeRawPointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let device = unsafe object(device, ShmemDevice.self) else { throw .null("device") }
        try unsafe device.handleUnmap(payload: payload(map))
    }
}

@_cdecl("vhushmem_device_commit") @implementation
package func vhushmem_device_commit(_ device: OpaquePointer?) -> Int32 {
    guard let device = unsafe object(device, ShmemDevice.self) else { return -EFAULT }
    device.commit()
    return 0
}
