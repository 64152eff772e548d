// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/frontend.h

extension FrontendOptions {
    init(_ options: UnsafePointer<vhushmem_frontend_options>?) throws(ShmemError) {
        self.init()
        guard let options else { return }
        let given = try growing(options, "vhushmem_frontend_options")
        let server = UInt32(VHUSHMEM_FRONTEND_SERVER)
        let keep = UInt32(VHUSHMEM_FRONTEND_KEEP_MAPPINGS)
        let stateless = UInt32(VHUSHMEM_FRONTEND_STATELESS)
        guard given.flags & ~(server | keep | stateless) == 0 else {
            throw ShmemError(EINVAL, "vhushmem_frontend_options.flags \(hex(UInt64(given.flags))) has unknown bits")
        }
        if given.min_queue_num != 0 { leastQueueNumber = given.min_queue_num }
        isServer = given.flags & server != 0
        keepsMappings = given.flags & keep != 0
        isStateless = given.flags & stateless != 0
        if given.shmem_bit != 0 { shmemBit = given.shmem_bit }
        if given.num_queues != 0 { queues = given.num_queues }
        if given.request_timeout_ms != 0 { requestTimeoutLimit = Milliseconds(given.request_timeout_ms) }
        if given.message_timeout_ms != 0 { messageTimeoutLimit = Milliseconds(given.message_timeout_ms) }
        if given.protocol_features != 0 { protocolFeatures = ProtocolFeatures(rawValue: given.protocol_features) }
        if given.max_config_size != 0 { maximumConfigSize = given.max_config_size }
        reconnectIntervalLimit = Milliseconds(given.reconnect_ms)
        callTimeoutLimit = Milliseconds(given.call_timeout_ms)
        sharedObjects = object(given.shared_objects, SharedObjects.self)
        device = try DeviceOptions(given.device)
        region = try RegionOptions(given.region)
    }
}

extension vhushmem_event {
    @inline(never)
    fileprivate mutating func describe(_ mapping: MappingDescription, _ event: vhushmem_event_type) {
        type = event.rawValue
        shmid = mapping.shmid
        shm_offset = mapping.offset
        len = mapping.length
        fd_offset = mapping.fileOffset
        flags = mapping.isWritable ? SharedMemoryMap.readWrite : 0
    }
}

extension FrontendEvent {
    /// Calls `body` with the event as C sees it, good during the call only.
    @inline(__always)
    func withCEvent(_ body: (UnsafePointer<vhushmem_event>) -> Void) {
        var event = vhushmem_event()
        var failure: ShmemError?
        switch self {
        case .ready: event.type = VHUSHMEM_EVENT_READY.rawValue
        case .configChanged: event.type = VHUSHMEM_EVENT_CONFIG_CHANGE.rawValue
        case .reset: event.type = VHUSHMEM_EVENT_RESET.rawValue
        case .channelLost(let error):
            event.type = VHUSHMEM_EVENT_CHANNEL_LOST.rawValue
            failure = error
        case .disconnected(let error):
            event.type = VHUSHMEM_EVENT_DISCONNECT.rawValue
            failure = error
        case .broken(let mapping):
            event.describe(mapping, VHUSHMEM_EVENT_BROKEN)
            failure = mapping.lossError
        case .healed(let mapping): event.describe(mapping, VHUSHMEM_EVENT_HEALED)
        case .served(let served):
            switch served.request {
            case BackendRequest.shmemMap: event.type = VHUSHMEM_EVENT_MAP.rawValue
            case BackendRequest.shmemUnmap: event.type = VHUSHMEM_EVENT_UNMAP.rawValue
            default: event.type = VHUSHMEM_EVENT_OTHER_REQUEST.rawValue
            }
            event.request = served.request
            event.shmid = served.shmid
            event.shm_offset = served.offset
            event.len = served.length
            event.fd_offset = served.fileOffset
            event.flags = served.flags
            failure = served.error
        }
        guard let failure else { return body(&event) }
        event.result = -failure.code
        failure.message.withCString { text in
            event.message = text
            body(&event)
        }
    }
}

@_cdecl("vhushmem_frontend_new") @implementation
package func vhushmem_frontend_new(
    _ socket_path: UnsafePointer<CChar>?, _ options: UnsafePointer<vhushmem_frontend_options>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> OpaquePointer? {
    reportNil(to: errp) { () throws(ShmemError) in
        guard let socket_path else { throw .null("socket_path") }
        return handle(owning: try Frontend(path: SocketPath(socket_path), options: FrontendOptions(options)).forC())
    }
}

@_cdecl("vhushmem_frontend_new_fd") @implementation
package func vhushmem_frontend_new_fd(
    _ fd: Int32, _ options: UnsafePointer<vhushmem_frontend_options>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> OpaquePointer? {
    reportNil(to: errp) { () throws(ShmemError) in
        handle(owning: try Frontend(socket: fd, options: FrontendOptions(options)).forC())
    }
}

@_cdecl("vhushmem_frontend_free") @implementation
package func vhushmem_frontend_free(_ frontend: OpaquePointer?) {
    object(frontend, Frontend.self)?.close()
    release(frontend, Frontend.self)
}

@_cdecl("vhushmem_frontend_set_callback") @implementation
package func vhushmem_frontend_set_callback(
    _ frontend: OpaquePointer?, _ fn: vhushmem_event_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?
) -> Int32 {
    let data = CallbackData(user_data, destroy)
    guard let frontend = object(frontend, Frontend.self) else { return -EFAULT }
    guard let fn else {
        frontend.onEvent = nil
        return 0
    }
    frontend.onEvent = { frontend, event in
        event.withCEvent { fn(handle(borrowing: frontend), $0, data.userData) }
    }
    return 0
}

@_cdecl("vhushmem_frontend_set_request_callback") @implementation
package func vhushmem_frontend_set_request_callback(
    _ frontend: OpaquePointer?, _ fn: vhushmem_request_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?
) -> Int32 {
    let data = CallbackData(user_data, destroy)
    guard let frontend = object(frontend, Frontend.self) else { return -EFAULT }
    guard let fn else {
        frontend.onRequest = nil
        return 0
    }
    frontend.onRequest = { frontend, request throws(ShmemError) in
        try request.answer { fn(handle(borrowing: frontend), $0, data.userData) }
    }
    return 0
}

@_cdecl("vhushmem_frontend_add_region") @implementation
package func vhushmem_frontend_add_region(
    _ frontend: OpaquePointer?, _ shmid: UInt8, _ size: UInt64, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    report(to: errp) { () throws(ShmemError) in
        guard let frontend = object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.addRegion(shmid: shmid, size: size)
    }
}

@_cdecl("vhushmem_frontend_start") @implementation
package func vhushmem_frontend_start(
    _ frontend: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    report(to: errp) { () throws(ShmemError) in
        guard let frontend = object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.start()
    }
}

@_cdecl("vhushmem_frontend_connect") @implementation
package func vhushmem_frontend_connect(
    _ frontend: OpaquePointer?, _ timeout_ms: Int32, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    report(to: errp) { () throws(ShmemError) in
        guard let frontend = object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.connect(limit: timeout_ms < 0 ? nil : Milliseconds(UInt32(timeout_ms)))
    }
}

@_cdecl("vhushmem_frontend_get_fd") @implementation
package func vhushmem_frontend_get_fd(_ frontend: OpaquePointer?) -> Int32 {
    guard let frontend = object(frontend, Frontend.self) else { return -EFAULT }
    do throws(ShmemError) {
        return try frontend.pollDescriptor()
    } catch {
        return -error.code
    }
}

@_cdecl("vhushmem_frontend_get_events") @implementation
package func vhushmem_frontend_get_events(_ frontend: OpaquePointer?) -> Int32 {
    frontend == nil ? -EFAULT : POLLIN
}

@_cdecl("vhushmem_frontend_dispatch") @implementation
package func vhushmem_frontend_dispatch(_ frontend: OpaquePointer?) -> Int32 {
    guard let frontend = object(frontend, Frontend.self) else { return -EFAULT }
    // A callback may free the front-end: it goes when this call is over.
    return withExtendedLifetime(frontend) { frontend.dispatch(.both) }
}

@_cdecl("vhushmem_frontend_source_new") @implementation
package func vhushmem_frontend_source_new(_ frontend: OpaquePointer?) -> UnsafeMutablePointer<GSource>? {
    object(frontend, Frontend.self).flatMap { SessionSource.make(for: $0, name: "vhushmem front-end") }
}

@_cdecl("vhushmem_frontend_device") @implementation
package func vhushmem_frontend_device(_ frontend: OpaquePointer?) -> OpaquePointer? {
    object(frontend, Frontend.self).map { handle(borrowing: $0.device) }
}

@_cdecl("vhushmem_frontend_is_ready") @implementation
package func vhushmem_frontend_is_ready(_ frontend: OpaquePointer?) -> Bool {
    object(frontend, Frontend.self)?.isReady ?? false
}

@_cdecl("vhushmem_frontend_features") @implementation
package func vhushmem_frontend_features(_ frontend: OpaquePointer?) -> UInt64 {
    object(frontend, Frontend.self)?.features ?? 0
}

@_cdecl("vhushmem_frontend_protocol_features") @implementation
package func vhushmem_frontend_protocol_features(_ frontend: OpaquePointer?) -> UInt64 {
    object(frontend, Frontend.self)?.protocolFeatures.rawValue ?? 0
}

@_cdecl("vhushmem_frontend_max_queues") @implementation
package func vhushmem_frontend_max_queues(_ frontend: OpaquePointer?) -> UInt64 {
    object(frontend, Frontend.self)?.maximumQueues ?? 0
}

@_cdecl("vhushmem_frontend_call_fd") @implementation
package func vhushmem_frontend_call_fd(_ frontend: OpaquePointer?, _ queue: UInt32) -> Int32 {
    guard let frontend = object(frontend, Frontend.self) else { return -EFAULT }
    guard queue < frontend.options.queues else { return -EINVAL }
    return frontend.callDescriptor(queue: Int(queue)) ?? -ENOTCONN
}

@_cdecl("vhushmem_protocol_feature_name") @implementation
package func vhushmem_protocol_feature_name(_ bit: UInt32) -> UnsafePointer<CChar>? {
    ProtocolFeatures.name(ofBit: bit).map(constant)
}

@_cdecl("vhushmem_frontend_reset") @implementation
package func vhushmem_frontend_reset(
    _ frontend: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    report(to: errp) { () throws(ShmemError) in
        guard let frontend = object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.reset()
    }
}
