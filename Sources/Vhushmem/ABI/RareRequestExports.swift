// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/request.h: asynchronous requests whose answer is no descriptor or number, and requests that few devices need

@_cdecl("vhushmem_frontend_set_log") @implementation
package func vhushmem_frontend_set_log(
    _ frontend: OpaquePointer?, _ fd: Int32, _ offset: UInt64, _ size: UInt64,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.ask(FrontendQuestion<Void>.setLog(Frontend.shared(fd), offset: offset, length: size))
    }
}

@_cdecl("vhushmem_frontend_set_log_async") @implementation
package func vhushmem_frontend_set_log_async(
    _ frontend: OpaquePointer?, _ fd: Int32, _ offset: UInt64, _ size: UInt64, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?,
    _ destroy: GDestroyNotify?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try callback.frontend.ask(FrontendQuestion<Void>.setLog(Frontend.shared(fd), offset: offset, length: size)) {
            callback.end($0)
        }
    }
}

@_cdecl("vhushmem_frontend_set_log_fd") @implementation
package func vhushmem_frontend_set_log_fd(
    _ frontend: OpaquePointer?, _ fd: Int32, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.ask(FrontendQuestion<Void>.setLogDescriptor(Frontend.shared(fd)))
    }
}

@_cdecl("vhushmem_frontend_set_log_fd_async") @implementation
package func vhushmem_frontend_set_log_fd_async(
    _ frontend: OpaquePointer?, _ fd: Int32, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try callback.frontend.ask(FrontendQuestion<Void>.setLogDescriptor(Frontend.shared(fd))) { callback.end($0) }
    }
}

@_cdecl("vhushmem_frontend_set_queue_endian") @implementation
package func vhushmem_frontend_set_queue_endian(
    _ frontend: OpaquePointer?, _ queue: UInt32, _ big_endian: Bool,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.ask(frontend.queueQuestion(.setVringEndian, queue, big_endian ? 1 : 0))
    }
}

@_cdecl("vhushmem_frontend_set_queue_endian_async") @implementation
package func vhushmem_frontend_set_queue_endian_async(
    _ frontend: OpaquePointer?, _ queue: UInt32, _ big_endian: Bool, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?,
    _ destroy: GDestroyNotify?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        let question = try callback.frontend.queueQuestion(.setVringEndian, queue, big_endian ? 1 : 0)
        try callback.frontend.ask(question) { callback.end($0) }
    }
}

@_cdecl("vhushmem_frontend_kick_queue") @implementation
package func vhushmem_frontend_kick_queue(
    _ frontend: OpaquePointer?, _ queue: UInt32, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.ask(frontend.queueQuestion(.vringKick, queue))
    }
}

@_cdecl("vhushmem_frontend_kick_queue_async") @implementation
package func vhushmem_frontend_kick_queue_async(
    _ frontend: OpaquePointer?, _ queue: UInt32, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try callback.frontend.ask(callback.frontend.queueQuestion(.vringKick, queue)) { callback.end($0) }
    }
}

@_cdecl("vhushmem_frontend_set_device_status_async") @implementation
package func vhushmem_frontend_set_device_status_async(
    _ frontend: OpaquePointer?, _ status: UInt8, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try callback.frontend.ask(FrontendQuestion<Void>.setStatus(status)) { callback.end($0) }
    }
}

@_cdecl("vhushmem_frontend_set_config_async") @implementation
package func vhushmem_frontend_set_config_async(
    _ frontend: OpaquePointer?, _ offset: UInt32, _ buf: UnsafeRawPointer?, _ len: UInt32, _ flags: UInt32,
    _ fn: vhushmem_reply_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try unsafe callback.frontend.ask(FrontendQuestion<Void>.setConfig(offset, buf, len, flags)) { callback.end($0) }
    }
}

@_cdecl("vhushmem_frontend_get_shared_object") @implementation
package func vhushmem_frontend_get_shared_object(
    _ frontend: OpaquePointer?, _ uuid: UnsafePointer<UInt8>?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe reportCount(to: errp) { () throws(ShmemError) -> Int32 in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        let file = try unsafe frontend.ask(FrontendQuestion<SharedDescriptor>.sharedObject(name(uuid)))
        // The caller must close it, because it does not close the file itself.
        do throws(Errno) {
            return try OwnedDescriptor.duplicate(file.fd).release()
        } catch {
            throw ShmemError(error.code, "cannot duplicate the shared object's descriptor: \(Errno.text(error.code))")
        }
    }
}

@_cdecl("vhushmem_frontend_get_shared_object_async") @implementation
package func vhushmem_frontend_get_shared_object_async(
    _ frontend: OpaquePointer?, _ uuid: UnsafePointer<UInt8>?, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?,
    _ destroy: GDestroyNotify?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try unsafe callback.frontend.ask(FrontendQuestion<SharedDescriptor>.sharedObject(name(uuid))) { result in
            callback.finish(result) { callback.succeed(fd: $0.fd) }
        }
    }
}

private func name(_ uuid: UnsafePointer<UInt8>?) throws(ShmemError) -> ObjectName {
    // SAFETY: the caller says that there are 16 bytes.
    guard let name = unsafe ObjectName(UnsafeRawBufferPointer(start: uuid, count: uuid == nil ? 0 : ObjectName.size)) else {
        throw .null("uuid")
    }
    return name
}

extension FrontendQuestion where Answer == Void {
    /// SET_CONFIG, as C has it.
    static func setConfig(
        _ offset: UInt32, _ buf: UnsafeRawPointer?, _ len: UInt32, _ flags: UInt32
    ) throws(ShmemError) -> FrontendQuestion {
        guard let buf = unsafe buf else { throw .null("buf") }
        let migration = UInt32(VHUSHMEM_CONFIG_MIGRATION)
        guard flags & ~migration == 0 else {
            throw ShmemError(EINVAL, "the flags \(hex(UInt64(flags))) of set_config have unknown bits")
        }
        guard len <= ConfigAccess.largestSpace else { throw ShmemError(EINVAL, "no configuration space has \(len) bytes") }
        // SAFETY: the caller says that buf has len bytes.
        let bytes = unsafe Array(UnsafeRawBufferPointer(start: buf, count: Int(len)))
        return setConfig(at: offset, bytes, migrates: flags & migration != 0)
    }
}
