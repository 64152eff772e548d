// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/request.h

/// The callback at the end of an asynchronous request.
@safe struct ReplyCallback {
    let fn: vhushmem_reply_fn
    let data: CallbackData
    /// Not retained: a completion is called while something holds the front-end, or by its deinit.
    fileprivate let unmanaged: Unmanaged<Frontend>
    var frontend: Frontend { unsafe unmanaged.takeUnretainedValue() }

    /// `destroy` runs on every path, so this is made before any check.
    static func make(
        _ frontend: OpaquePointer?, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?
    ) throws(ShmemError) -> ReplyCallback {
        let data = unsafe CallbackData(user_data, destroy)
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        guard let fn = unsafe fn else { throw .null("fn") }
        return unsafe ReplyCallback(fn: fn, data: data, unmanaged: .passUnretained(frontend))
    }

    func fail(_ error: ShmemError) {
        var reply = unsafe vhushmem_reply()
        unsafe reply.result = -error.code
        unsafe reply.fd = -1
        unsafe error.message.withCString { text in
            unsafe reply.message = unsafe text
            unsafe call(&reply)
        }
    }

    func succeed(value: UInt64 = 0, payload: [UInt8] = [], fd: Int32? = nil) {
        var reply = unsafe vhushmem_reply()
        unsafe reply.fd = fd ?? -1
        unsafe reply.value = value
        unsafe payload.withUnsafeBytes { bytes in
            unsafe reply.payload = bytes.baseAddress
            unsafe reply.payload_size = bytes.count
            unsafe call(&reply)
        }
    }

    /// For a request whose only answer is its outcome.
    func end(_ error: ShmemError?) {
        if let error { fail(error) } else { succeed() }
    }

    func end(_ result: Result<Void, ShmemError>) {
        finish(result) { succeed() }
    }

    func finish<Answer>(_ result: Result<Answer, ShmemError>, _ succeed: (Answer) -> Void) {
        switch result {
        case .success(let answer): succeed(answer)
        case .failure(let error): fail(error)
        }
    }

    private func call(_ reply: inout vhushmem_reply) {
        unsafe fn(OpaquePointer(unmanaged.toOpaque()), &reply, data.userData)
    }
}

extension AnyRequest {
    fileprivate static func make(
        _ id: UInt32, _ payload: UnsafeRawPointer?, _ size: Int, _ fds: UnsafePointer<Int32>?, _ nfds: UInt32, _ flags: UInt32,
        room: Int
    ) throws(ShmemError) -> AnyRequest {
        let hasReply = UInt32(VHUSHMEM_REQUEST_HAS_REPLY)
        let mayHaveDescriptor = UInt32(VHUSHMEM_REQUEST_REPLY_FD)
        guard flags & ~(hasReply | mayHaveDescriptor) == 0 else {
            throw ShmemError(EINVAL, "the flags \(hex(UInt64(flags))) of a request have unknown bits")
        }
        guard flags & mayHaveDescriptor == 0 || flags & hasReply != 0 else {
            throw ShmemError(EINVAL, "a request without a reply gets no descriptor with it")
        }
        try check(payloadSize: count(size), descriptors: Int(nfds))
        guard unsafe payload != nil || size == 0 else { throw .null("payload") }
        guard unsafe fds != nil || nfds == 0 else { throw .null("fds") }
        let reply: ExpectedReply =
            flags & hasReply == 0
            ? .acknowledgement
            : flags & mayHaveDescriptor == 0 ? .payload(mostBytes: count(room)) : .payloadAndDescriptor(mostBytes: count(room))
        // SAFETY: the caller says that payload has size bytes, and that there are nfds descriptors.
        return try unsafe make(
            id, Array(UnsafeRawBufferPointer(start: payload, count: size)),
            Array(UnsafeBufferPointer(start: fds, count: Int(nfds))), reply)
    }
}

@_cdecl("vhushmem_frontend_request") @implementation
package func vhushmem_frontend_request(
    _ frontend: OpaquePointer?, _ id: UInt32, _ payload: UnsafeRawPointer?, _ size: Int, _ fds: UnsafePointer<Int32>?,
    _ nfds: UInt32, _ flags: UInt32, _ reply: UnsafeMutableRawPointer?, _ reply_size: UnsafeMutablePointer<Int>?,
    _ reply_fd: UnsafeMutablePointer<Int32>?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        let hasReply = flags & UInt32(VHUSHMEM_REQUEST_HAS_REPLY) != 0
        guard unsafe !hasReply || (reply != nil && reply_size != nil) else { throw .null("reply") }
        guard unsafe flags & UInt32(VHUSHMEM_REQUEST_REPLY_FD) == 0 || reply_fd != nil else { throw .null("reply_fd") }
        let room = unsafe reply_size?.pointee ?? 0
        let answer = try unsafe frontend.send(AnyRequest.make(id, payload, size, fds, nfds, flags, room: room))
        guard hasReply else { return }
        // SAFETY: a reply longer than the room that the caller has was refused.
        unsafe reply?.copyMemory(from: answer.payload, byteCount: answer.payload.count)
        unsafe reply_size?.pointee = answer.payload.count
        unsafe reply_fd?.pointee = answer.takeDescriptor()?.release() ?? -1
    }
}

@_cdecl("vhushmem_frontend_request_async") @implementation
package func vhushmem_frontend_request_async(
    _ frontend: OpaquePointer?, _ id: UInt32, _ payload: UnsafeRawPointer?, _ size: Int, _ fds: UnsafePointer<Int32>?,
    _ nfds: UInt32, _ flags: UInt32, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        let request = try unsafe AnyRequest.make(id, payload, size, fds, nfds, flags, room: AnyRequest.mostBytes)
        let completion = callback.frontend.outside { (outcome: FrontendOutcome) in
            callback.finish(outcome) { callback.succeed(value: $0.value, payload: $0.payload, fd: $0.fd) }
        }
        try callback.frontend.send(request, completion)
    }
}

@_cdecl("vhushmem_frontend_get_config") @implementation
package func vhushmem_frontend_get_config(
    _ frontend: OpaquePointer?, _ offset: UInt32, _ buf: UnsafeMutableRawPointer?, _ len: UInt32,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        guard let buf = unsafe buf else { throw .null("buf") }
        let bytes = try frontend.ask(FrontendQuestion<[UInt8]>.config(at: offset, count: len))
        // SAFETY: the answer has exactly the bytes that were asked for, and the caller says that buf has room for them.
        unsafe buf.copyMemory(from: bytes, byteCount: bytes.count)
    }
}

@_cdecl("vhushmem_frontend_get_config_async") @implementation
package func vhushmem_frontend_get_config_async(
    _ frontend: OpaquePointer?, _ offset: UInt32, _ len: UInt32, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?,
    _ destroy: GDestroyNotify?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try callback.frontend.ask(FrontendQuestion<[UInt8]>.config(at: offset, count: len)) { result in
            callback.finish(result) { callback.succeed(payload: $0) }
        }
    }
}

@_cdecl("vhushmem_frontend_set_config") @implementation
package func vhushmem_frontend_set_config(
    _ frontend: OpaquePointer?, _ offset: UInt32, _ buf: UnsafeRawPointer?, _ len: UInt32, _ flags: UInt32,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try unsafe frontend.ask(FrontendQuestion<Void>.setConfig(offset, buf, len, flags))
    }
}

@_cdecl("vhushmem_frontend_get_device_status") @implementation
package func vhushmem_frontend_get_device_status(
    _ frontend: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe reportCount(to: errp) { () throws(ShmemError) -> Int32 in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        return Int32(try frontend.ask(FrontendQuestion<UInt8>.status()))
    }
}

@_cdecl("vhushmem_frontend_get_device_status_async") @implementation
package func vhushmem_frontend_get_device_status_async(
    _ frontend: OpaquePointer?, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try callback.frontend.ask(FrontendQuestion<UInt8>.status()) { result in
            callback.finish(result) { callback.succeed(value: UInt64($0)) }
        }
    }
}

@_cdecl("vhushmem_frontend_set_device_status") @implementation
package func vhushmem_frontend_set_device_status(
    _ frontend: OpaquePointer?, _ status: UInt8, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.ask(FrontendQuestion<Void>.setStatus(status))
    }
}
