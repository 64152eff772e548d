// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/frontend.h

extension FrontendOptions {
    init(_ options: UnsafePointer<vhushmem_frontend_options>?) throws(ShmemError) {
        self.init()
        guard let options = unsafe options else { return }
        let given = try unsafe growing(options, "vhushmem_frontend_options")
        let server = UInt32(VHUSHMEM_FRONTEND_SERVER)
        let keep = UInt32(VHUSHMEM_FRONTEND_KEEP_MAPPINGS)
        let stateless = UInt32(VHUSHMEM_FRONTEND_STATELESS)
        let (first, current) = (UInt32(VHUSHMEM_FRONTEND_FIRST_MAP_FLAGS), UInt32(VHUSHMEM_FRONTEND_CURRENT_MAP_FLAGS))
        guard unsafe given.flags & ~(server | keep | stateless | first | current) == 0 else {
            throw ShmemError(EINVAL, unsafe "vhushmem_frontend_options.flags \(hex(UInt64(given.flags))) has unknown bits")
        }
        if unsafe given.min_queue_num != 0 { leastQueueNumber = unsafe given.min_queue_num }
        isServer = unsafe given.flags & server != 0
        keepsMappings = unsafe given.flags & keep != 0
        isStateless = unsafe given.flags & stateless != 0
        mapFlags = try unsafe MapFlags.chosen(given.flags, first: first, current: current)
        if unsafe given.shmem_bit != 0 { shmemBit = unsafe given.shmem_bit }
        if unsafe given.num_queues != 0 { queues = unsafe given.num_queues }
        if unsafe given.request_timeout_ms != 0 { requestTimeoutLimit = unsafe Milliseconds(given.request_timeout_ms) }
        if unsafe given.message_timeout_ms != 0 { messageTimeoutLimit = unsafe Milliseconds(given.message_timeout_ms) }
        if unsafe given.protocol_features != 0 { protocolFeatures = unsafe ProtocolFeatures(rawValue: given.protocol_features) }
        if unsafe given.max_config_size != 0 { maximumConfigSize = unsafe given.max_config_size }
        reconnectIntervalLimit = unsafe Milliseconds(given.reconnect_ms)
        callTimeoutLimit = unsafe Milliseconds(given.call_timeout_ms)
        sharedObjects = unsafe object(given.shared_objects, SharedObjects.self)
        device = try unsafe DeviceOptions(given.device)
        region = try unsafe RegionOptions(given.region)
    }
}

extension vhushmem_event {
    @inline(never)
    fileprivate mutating func describe(_ mapping: MappingDescription, _ event: vhushmem_event_type) {
        unsafe type = event.rawValue
        unsafe shmid = mapping.shmid
        unsafe shm_offset = mapping.offset
        unsafe len = mapping.length
        unsafe fd_offset = mapping.fileOffset
        unsafe flags = mapping.isWritable ? SharedMemoryMap.readWrite : 0
    }
}

extension FrontendEvent {
    /// Calls `body` with the event as C sees it, valid during the call only.
    @inline(__always)
    func withCEvent(_ body: (UnsafePointer<vhushmem_event>) -> Void) {
        var event = unsafe vhushmem_event()
        var failure: ShmemError?
        switch self {
        case .ready: unsafe event.type = VHUSHMEM_EVENT_READY.rawValue
        case .configChanged: unsafe event.type = VHUSHMEM_EVENT_CONFIG_CHANGE.rawValue
        case .reset: unsafe event.type = VHUSHMEM_EVENT_RESET.rawValue
        case .channelLost(let error):
            unsafe event.type = VHUSHMEM_EVENT_CHANNEL_LOST.rawValue
            failure = error
        case .disconnected(let error):
            unsafe event.type = VHUSHMEM_EVENT_DISCONNECT.rawValue
            failure = error
        case .broken(let mapping):
            unsafe event.describe(mapping, VHUSHMEM_EVENT_BROKEN)
            failure = mapping.lossError
        case .healed(let mapping): unsafe event.describe(mapping, VHUSHMEM_EVENT_HEALED)
        case .served(let served):
            switch served.request {
            case BackendRequest.shmemMap: unsafe event.type = VHUSHMEM_EVENT_MAP.rawValue
            case BackendRequest.shmemUnmap: unsafe event.type = VHUSHMEM_EVENT_UNMAP.rawValue
            default: unsafe event.type = VHUSHMEM_EVENT_OTHER_REQUEST.rawValue
            }
            unsafe event.request = served.request
            unsafe event.shmid = served.shmid
            unsafe event.shm_offset = served.offset
            unsafe event.len = served.length
            unsafe event.fd_offset = served.fileOffset
            unsafe event.flags = served.flags
            failure = served.error
        }
        guard let failure else { return unsafe body(&event) }
        unsafe event.result = -failure.code
        unsafe failure.message.withCString { text in
            unsafe event.message = unsafe text
            unsafe body(&event)
        }
    }
}

@_cdecl("vhushmem_frontend_new") @implementation
package func vhushmem_frontend_new(
    _ socket_path: UnsafePointer<CChar>?, _ options: UnsafePointer<vhushmem_frontend_options>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> OpaquePointer? {
    unsafe reportNil(to: errp) { () throws(ShmemError) in
        guard let socket_path = unsafe socket_path else { throw .null("socket_path") }
        return unsafe handle(owning: try Frontend(path: SocketPath(socket_path), options: FrontendOptions(options)).forC())
    }
}

@_cdecl("vhushmem_frontend_new_fd") @implementation
package func vhushmem_frontend_new_fd(
    _ fd: Int32, _ options: UnsafePointer<vhushmem_frontend_options>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> OpaquePointer? {
    unsafe reportNil(to: errp) { () throws(ShmemError) in
        unsafe handle(owning: try Frontend(socket: fd, options: FrontendOptions(options)).forC())
    }
}

@_cdecl("vhushmem_frontend_free") @implementation
package func vhushmem_frontend_free(_ frontend: OpaquePointer?) {
    unsafe object(frontend, Frontend.self)?.close(isLast: true)
    unsafe release(frontend, Frontend.self)
}

@_cdecl("vhushmem_frontend_set_callback") @implementation
package func vhushmem_frontend_set_callback(
    _ frontend: OpaquePointer?, _ fn: vhushmem_event_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?
) -> Int32 {
    let data = unsafe CallbackData(user_data, destroy)
    guard let frontend = unsafe object(frontend, Frontend.self) else { return -EFAULT }
    guard let fn = unsafe fn else {
        frontend.onEvent = nil
        return 0
    }
    frontend.onEvent = { frontend, event in
        unsafe event.withCEvent { unsafe fn(handle(borrowing: frontend), $0, data.userData) }
    }
    return 0
}

@_cdecl("vhushmem_frontend_set_request_callback") @implementation
package func vhushmem_frontend_set_request_callback(
    _ frontend: OpaquePointer?, _ fn: vhushmem_request_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?
) -> Int32 {
    let data = unsafe CallbackData(user_data, destroy)
    guard let frontend = unsafe object(frontend, Frontend.self) else { return -EFAULT }
    guard let fn = unsafe fn else {
        frontend.onRequest = nil
        return 0
    }
    frontend.onRequest = { frontend, request throws(ShmemError) in
        try unsafe request.answer { unsafe fn(handle(borrowing: frontend), $0, data.userData) }
    }
    return 0
}

@_cdecl("vhushmem_frontend_add_region") @implementation
package func vhushmem_frontend_add_region(
    _ frontend: OpaquePointer?, _ shmid: UInt8, _ size: UInt64, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.addRegion(shmid: shmid, size: size)
    }
}

@_cdecl("vhushmem_frontend_start") @implementation
package func vhushmem_frontend_start(
    _ frontend: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.start()
    }
}

@_cdecl("vhushmem_frontend_connect") @implementation
package func vhushmem_frontend_connect(
    _ frontend: OpaquePointer?, _ timeout_ms: Int32, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.connect(limit: timeout_ms < 0 ? nil : Milliseconds(UInt32(timeout_ms)))
    }
}

@_cdecl("vhushmem_frontend_get_fd") @implementation
package func vhushmem_frontend_get_fd(_ frontend: OpaquePointer?) -> Int32 {
    guard let frontend = unsafe object(frontend, Frontend.self) else { return -EFAULT }
    do throws(ShmemError) {
        return try frontend.pollDescriptor()
    } catch {
        return -error.code
    }
}

@_cdecl("vhushmem_frontend_get_events") @implementation
package func vhushmem_frontend_get_events(_ frontend: OpaquePointer?) -> Int32 {
    unsafe frontend == nil ? -EFAULT : POLLIN
}

@_cdecl("vhushmem_frontend_dispatch") @implementation
package func vhushmem_frontend_dispatch(_ frontend: OpaquePointer?) -> Int32 {
    guard let frontend = unsafe object(frontend, Frontend.self) else { return -EFAULT }
    // A callback may free the front-end: it goes when this call is over.
    return withExtendedLifetime(frontend) { frontend.dispatch(.both) }
}

@_cdecl("vhushmem_frontend_source_new") @implementation
package func vhushmem_frontend_source_new(_ frontend: OpaquePointer?) -> UnsafeMutablePointer<GSource>? {
    unsafe object(frontend, Frontend.self).flatMap { unsafe SessionSource.make(for: $0, name: "vhushmem front-end") }
}

@_cdecl("vhushmem_frontend_device") @implementation
package func vhushmem_frontend_device(_ frontend: OpaquePointer?) -> OpaquePointer? {
    unsafe object(frontend, Frontend.self).map { unsafe handle(borrowing: $0.device) }
}

@_cdecl("vhushmem_frontend_is_ready") @implementation
package func vhushmem_frontend_is_ready(_ frontend: OpaquePointer?) -> Bool {
    unsafe object(frontend, Frontend.self)?.isReady ?? false
}

@_cdecl("vhushmem_frontend_features") @implementation
package func vhushmem_frontend_features(_ frontend: OpaquePointer?) -> UInt64 {
    unsafe object(frontend, Frontend.self)?.features ?? 0
}

@_cdecl("vhushmem_frontend_protocol_features") @implementation
package func vhushmem_frontend_protocol_features(_ frontend: OpaquePointer?) -> UInt64 {
    unsafe object(frontend, Frontend.self)?.protocolFeatures.rawValue ?? 0
}

@_cdecl("vhushmem_frontend_max_queues") @implementation
package func vhushmem_frontend_max_queues(_ frontend: OpaquePointer?) -> UInt64 {
    unsafe object(frontend, Frontend.self)?.maximumQueues ?? 0
}

@_cdecl("vhushmem_frontend_call_fd") @implementation
package func vhushmem_frontend_call_fd(_ frontend: OpaquePointer?, _ queue: UInt32) -> Int32 {
    guard let frontend = unsafe object(frontend, Frontend.self) else { return -EFAULT }
    do throws(Errno) {
        return try frontend.makeCall(ofQueue: Int(queue)) ?? -ENOTCONN
    } catch {
        return -error.code
    }
}

@_cdecl("vhushmem_protocol_feature_name") @implementation
package func vhushmem_protocol_feature_name(_ bit: UInt32) -> UnsafePointer<CChar>? {
    unsafe ProtocolFeatures.name(ofBit: bit).map(constant)
}

@_cdecl("vhushmem_frontend_reset") @implementation
package func vhushmem_frontend_reset(
    _ frontend: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.reset()
    }
}
