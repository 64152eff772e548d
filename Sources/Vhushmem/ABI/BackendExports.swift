// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/backend.h but for the loop, and the blocking calls of vhushmem/backend-call.h

extension BackendOptions {
    init(_ options: UnsafePointer<vhushmem_backend_options>?) throws(ShmemError) {
        self.init()
        guard let options = unsafe options else { return }
        let given = try unsafe growing(options, "vhushmem_backend_options")
        if given.shmem_bit != 0 { shmemBit = given.shmem_bit }
        if given.num_queues != 0 { queues = given.num_queues }
        if given.answer_timeout_ms != 0 { answerTimeoutLimit = Milliseconds(given.answer_timeout_ms) }
        features = given.features
        let forQemu = UInt32(VHUSHMEM_BACKEND_FOR_QEMU)
        let (first, current) = (UInt32(VHUSHMEM_BACKEND_FIRST_MAP_FLAGS), UInt32(VHUSHMEM_BACKEND_CURRENT_MAP_FLAGS))
        guard given.flags & ~(forQemu | first | current) == 0 else {
            throw ShmemError(EINVAL, "vhushmem_backend_options.flags has unknown bits, \(hex(UInt64(given.flags)))")
        }
        guard given.reserved == 0 else { throw ShmemError(EINVAL, "vhushmem_backend_options.reserved is not 0") }
        isForQemu = given.flags & forQemu != 0
        mapFlags = try MapFlags.chosen(given.flags, first: first, current: current)
        if given.num_rings != 0 { rings = given.num_rings }
        configSize = given.config_size
        if given.protocol_features != 0 { protocolFeatures = ProtocolFeatures(rawValue: given.protocol_features) }
    }
}

@_cdecl("vhushmem_backend_new") @implementation
package func vhushmem_backend_new(
    _ options: UnsafePointer<vhushmem_backend_options>?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> OpaquePointer? {
    unsafe reportNil(to: errp) { () throws(ShmemError) in unsafe handle(owning: try Backend(BackendOptions(options)).forC()) }
}

@_cdecl("vhushmem_backend_free") @implementation
package func vhushmem_backend_free(_ backend: OpaquePointer?) {
    unsafe object(backend, Backend.self)?.close()
    unsafe release(backend, Backend.self)
}

@_cdecl("vhushmem_backend_set_callback") @implementation
package func vhushmem_backend_set_callback(
    _ backend: OpaquePointer?, _ fn: vhushmem_backend_event_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?
) -> Int32 {
    let data = unsafe CallbackData(user_data, destroy)
    guard let backend = unsafe object(backend, Backend.self) else { return -EFAULT }
    guard let fn = unsafe fn else {
        backend.onEvent = nil
        return 0
    }
    backend.onEvent = { backend, event in
        let type: vhushmem_backend_event_type
        switch event {
        case .connected: type = VHUSHMEM_BACKEND_CONNECTED
        case .negotiated: type = VHUSHMEM_BACKEND_NEGOTIATED
        case .reset: type = VHUSHMEM_BACKEND_RESET
        case .disconnected: type = VHUSHMEM_BACKEND_DISCONNECT
        }
        var told = unsafe vhushmem_backend_event(type: type.rawValue, result: 0, message: nil)
        guard case .disconnected(let error) = event else {
            unsafe fn(handle(borrowing: backend), &told, data.userData)
            return
        }
        unsafe told.result = 0 &- error.code
        unsafe error.message.withCString {
            unsafe told.message = unsafe $0
            unsafe fn(handle(borrowing: backend), &told, data.userData)
        }
    }
    return 0
}

/// The result of a C handler: 0, or the refusal of the request. The number is kept, whatever it is.
private func check(_ result: Int32) throws(ShmemError) {
    if result != 0 { throw ShmemError(0 &- result, "the device") }
}

extension BackendHandlers {
    fileprivate init(_ given: vhushmem_backend_handlers, _ data: CallbackData) {
        self.init()
        if let fn = unsafe given.queue {
            queue = { backend, queue, event in
                let handle = unsafe handle(borrowing: backend)
                let queue = UInt32(clamping: queue)
                switch event {
                case .started: unsafe fn(handle, queue, VHUSHMEM_QUEUE_STARTED, nil, data.userData)
                case .kicked: unsafe fn(handle, queue, VHUSHMEM_QUEUE_KICKED, nil, data.userData)
                case .stopped: unsafe fn(handle, queue, VHUSHMEM_QUEUE_STOPPED, nil, data.userData)
                case .broken(let error):
                    unsafe error.message.withCString { unsafe fn(handle, queue, VHUSHMEM_QUEUE_BROKEN, $0, data.userData) }
                }
            }
        }
        if let fn = unsafe given.get_config {
            unsafe readConfig = { backend, offset, bytes throws(ShmemError) in
                let count = UInt32(clamping: bytes.count)
                try unsafe check(fn(handle(borrowing: backend), offset, bytes.baseAddress, count, data.userData))
            }
        }
        if let fn = unsafe given.set_config {
            unsafe writeConfig = { backend, offset, bytes, isMigration throws(ShmemError) in
                let count = UInt32(clamping: bytes.count)
                try unsafe check(
                    fn(handle(borrowing: backend), offset, bytes.baseAddress, count, isMigration ? 1 : 0, data.userData))
            }
        }
        if let fn = unsafe given.set_status {
            status = { backend, status throws(ShmemError) in
                try unsafe check(fn(handle(borrowing: backend), status, data.userData))
            }
        }
        if let fn = unsafe given.get_shared_object {
            unsafe sharedObject = { backend, uuid in
                let id = unsafe uuid.baseAddress?.assumingMemoryBound(to: UInt8.self)
                let fd = unsafe fn(handle(borrowing: backend), id, data.userData)
                return fd < 0 ? nil : OwnedDescriptor(owning: fd)
            }
        }
        if let fn = unsafe given.transfer_state {
            transferState = { backend, direction, pipe throws(ShmemError) in
                try unsafe check(fn(handle(borrowing: backend), direction == .load ? 1 : 0, pipe.release(), data.userData))
            }
        }
        if let fn = unsafe given.check_state {
            checkState = { backend throws(ShmemError) in try unsafe check(fn(handle(borrowing: backend), data.userData)) }
        }
    }
}

@_cdecl("vhushmem_backend_set_handlers") @implementation
package func vhushmem_backend_set_handlers(
    _ backend: OpaquePointer?, _ handlers: UnsafePointer<vhushmem_backend_handlers>?, _ user_data: gpointer?,
    _ destroy: GDestroyNotify?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    let data = unsafe CallbackData(user_data, destroy)
    return unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        guard let handlers = unsafe handlers else { return try backend.setHandlers(BackendHandlers()) }
        let given = try unsafe growing(handlers, "vhushmem_backend_handlers")
        guard given.reserved == 0 else { throw ShmemError(EINVAL, "vhushmem_backend_handlers.reserved is not 0") }
        try backend.setHandlers(BackendHandlers(given, data))
    }
}

@_cdecl("vhushmem_backend_add_region") @implementation
package func vhushmem_backend_add_region(
    _ backend: OpaquePointer?, _ shmid: UInt8, _ size: UInt64, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        try backend.addRegion(shmid: shmid, size: size)
    }
}

@_cdecl("vhushmem_backend_listen") @implementation
package func vhushmem_backend_listen(
    _ backend: OpaquePointer?, _ socket_path: UnsafePointer<CChar>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        guard let socket_path = unsafe socket_path else { throw .null("socket_path") }
        try unsafe backend.listen(at: SocketPath(socket_path))
    }
}

@_cdecl("vhushmem_backend_listen_fd") @implementation
package func vhushmem_backend_listen_fd(
    _ backend: OpaquePointer?, _ fd: Int32, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        try backend.listen(socket: fd)
    }
}

@_cdecl("vhushmem_backend_connect") @implementation
package func vhushmem_backend_connect(
    _ backend: OpaquePointer?, _ socket_path: UnsafePointer<CChar>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        guard let socket_path = unsafe socket_path else { throw .null("socket_path") }
        try unsafe backend.connect(to: SocketPath(socket_path))
    }
}

@_cdecl("vhushmem_backend_attach") @implementation
package func vhushmem_backend_attach(
    _ backend: OpaquePointer?, _ fd: Int32, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        try backend.attach(socket: fd)
    }
}

@_cdecl("vhushmem_backend_is_negotiated") @implementation
package func vhushmem_backend_is_negotiated(_ backend: OpaquePointer?) -> Bool {
    unsafe object(backend, Backend.self)?.isNegotiated ?? false
}

@_cdecl("vhushmem_backend_features") @implementation
package func vhushmem_backend_features(_ backend: OpaquePointer?) -> UInt64 {
    unsafe object(backend, Backend.self)?.features ?? 0
}

@_cdecl("vhushmem_backend_protocol_features") @implementation
package func vhushmem_backend_protocol_features(_ backend: OpaquePointer?) -> UInt64 {
    unsafe object(backend, Backend.self)?.protocolFeatures.rawValue ?? 0
}

@_cdecl("vhushmem_backend_device_status") @implementation
package func vhushmem_backend_device_status(_ backend: OpaquePointer?) -> Int32 {
    unsafe object(backend, Backend.self).map { Int32($0.status) } ?? -EFAULT
}

@_cdecl("vhushmem_backend_map") @implementation
package func vhushmem_backend_map(
    _ backend: OpaquePointer?, _ shmid: UInt8, _ fd: Int32, _ fd_offset: UInt64, _ shm_offset: UInt64, _ len: UInt64,
    _ flags: UInt64, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        try backend.ask(.map(shmid: shmid, fd: fd, fileOffset: fd_offset, at: shm_offset, length: len, flags: flags))
    }
}

@_cdecl("vhushmem_backend_unmap") @implementation
package func vhushmem_backend_unmap(
    _ backend: OpaquePointer?, _ shmid: UInt8, _ shm_offset: UInt64, _ len: UInt64,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        try backend.unmap(shmid: shmid, at: shm_offset, length: len)
    }
}

@_cdecl("vhushmem_backend_perform") @implementation
package func vhushmem_backend_perform(
    _ backend: OpaquePointer?, _ requests: UnsafeMutablePointer<vhushmem_shmem_request>?, _ count: Int, _ flags: UInt32,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    let oneAnswer = UInt32(bitPattern: Int32(VHUSHMEM_PERFORM_ONE_ANSWER))
    var areSet = false
    let result = unsafe reportCount(to: errp) { () throws(ShmemError) -> Int32 in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        guard unsafe requests != nil || count == 0 else { throw .null("requests") }
        guard count >= 0 else { throw ShmemError(EINVAL, "no array has \(UInt64(UInt(bitPattern: count))) requests") }
        guard flags & ~oneAnswer == 0 else { throw ShmemError(EINVAL, "the flags \(hex(UInt64(flags))) are unknown") }
        var all: [MappingRequest] = []
        if let requests = unsafe requests {
            for index in 0..<count {
                let request = try unsafe growing(element(of: requests, index), "vhushmem_shmem_request")
                all.append(try MappingRequest(request))
            }
        }
        defer {
            if let requests = unsafe requests {
                for index in all.indices { unsafe mutableElement(of: requests, index).pointee.result = all[index].result }
            }
            areSet = true
        }
        return Int32(clamping: try backend.perform(&all, oneAnswer: flags != 0))
    }
    if !areSet, count > 0, let requests = unsafe requests, unsafe hasRoom(requests) {
        for index in 0..<count { unsafe mutableElement(of: requests, index).pointee.result = result }
    }
    return result
}

extension MappingRequest {
    fileprivate init(_ request: vhushmem_shmem_request) throws(ShmemError) {
        guard unsafe withUnsafeBytes(of: request.reserved, { unsafe $0.allSatisfy { $0 == 0 } }) else {
            throw ShmemError(EINVAL, "vhushmem_shmem_request.reserved is not 0")
        }
        switch request.request {
        case BackendRequest.shmemMap:
            self = .map(
                shmid: request.shmid, fd: request.fd, fileOffset: request.fd_offset, at: request.shm_offset,
                length: request.len, flags: request.flags)
        case BackendRequest.shmemUnmap:
            self = .unmap(shmid: request.shmid, at: request.shm_offset, length: request.len)
        default: throw ShmemError(EINVAL, "request \(request.request) is neither a map nor an unmap")
        }
    }
}

@_cdecl("vhushmem_backend_config_changed") @implementation
package func vhushmem_backend_config_changed(
    _ backend: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        try backend.configChanged()
    }
}

@_cdecl("vhushmem_backend_request") @implementation
package func vhushmem_backend_request(
    _ backend: OpaquePointer?, _ request: UInt32, _ payload: UnsafeRawPointer?, _ size: Int, _ fd: Int32,
    _ reply: UnsafeMutablePointer<UInt64>?, _ reply_fd: UnsafeMutablePointer<Int32>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let backend = unsafe object(backend, Backend.self) else { throw .null("backend") }
        guard unsafe payload != nil || size == 0 else { throw .null("payload") }
        guard unsafe reply != nil || reply_fd == nil else { throw .null("reply") }
        // SAFETY: the caller says that there are `size` bytes.
        let bytes = unsafe UnsafeRawBufferPointer(start: payload, count: count(size))
        let answer = try unsafe backend.request(request, bytes, fd: fd < 0 ? nil : fd, hasReply: reply != nil)
        unsafe reply?.pointee = answer.value
        if let reply_fd = unsafe reply_fd {
            unsafe reply_fd.pointee = answer.takeDescriptor()?.release() ?? -1
        }
    }
}
