// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/migration.h

extension InflightArea {
    /// The area as C sees it. The descriptor still belongs to this value.
    fileprivate var cArea: vhushmem_inflight {
        vhushmem_inflight(
            struct_size: UInt32(MemoryLayout<vhushmem_inflight>.size), fd: fd, size: length, offset: fileOffset,
            num_queues: fields.queues, queue_size: fields.queueSize, reserved: 0)
    }
}

extension DeviceStateDirection {
    fileprivate static func make(_ direction: UInt32) throws(ShmemError) -> DeviceStateDirection {
        guard let direction = DeviceStateDirection(rawValue: direction) else {
            throw ShmemError(EINVAL, "a device's state is saved (0) or loaded (1), and not \(direction)")
        }
        return direction
    }
}

@_cdecl("vhushmem_frontend_get_inflight") @implementation
package func vhushmem_frontend_get_inflight(
    _ frontend: OpaquePointer?, _ num_queues: UInt16, _ queue_size: UInt16, _ area: UnsafeMutablePointer<vhushmem_inflight>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        if let area = unsafe area, unsafe !hasRoom(area) {
            throw .wrongSize(
                of: "vhushmem_inflight", stated: unsafe Int(area.pointee.struct_size),
                known: MemoryLayout<vhushmem_inflight>.size)
        }
        let new = try frontend.makeInflightArea(queues: num_queues, queueSize: queue_size)
        guard let area = unsafe area else { return }
        var made = new.cArea
        do throws(Errno) {
            made.fd = try OwnedDescriptor.duplicate(new.fd).release()
        } catch {
            throw ShmemError(error.code, "cannot duplicate the file of requests in flight: \(Errno.text(error.code))")
        }
        made.struct_size = unsafe area.pointee.struct_size
        unsafe area.pointee = made
        unsafe clearBeyondKnown(area)
    }
}

@_cdecl("vhushmem_frontend_get_inflight_async") @implementation
package func vhushmem_frontend_get_inflight_async(
    _ frontend: OpaquePointer?, _ num_queues: UInt16, _ queue_size: UInt16, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?,
    _ destroy: GDestroyNotify?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try callback.frontend.makeInflightArea(queues: num_queues, queueSize: queue_size) { result in
            callback.finish(result) { area in
                unsafe callback.succeed(payload: withUnsafeBytes(of: area.cArea) { unsafe Array($0) }, fd: area.fd)
            }
        }
    }
}

@_cdecl("vhushmem_frontend_set_inflight") @implementation
package func vhushmem_frontend_set_inflight(
    _ frontend: OpaquePointer?, _ area: UnsafePointer<vhushmem_inflight>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        guard let area = unsafe area else {
            frontend.inflightArea = nil
            return
        }
        let given = try unsafe growing(area, "vhushmem_inflight")
        guard given.reserved == 0 else { throw ShmemError(EINVAL, "vhushmem_inflight.reserved is not 0") }
        frontend.inflightArea = try InflightArea(
            fd: given.fd, fileOffset: given.offset, length: given.size, queues: given.num_queues, queueSize: given.queue_size)
    }
}

@_cdecl("vhushmem_frontend_set_device_state_fd") @implementation
package func vhushmem_frontend_set_device_state_fd(
    _ frontend: OpaquePointer?, _ direction: UInt32, _ fd: Int32, _ use_fd: UnsafeMutablePointer<Int32>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        guard let use_fd = unsafe use_fd else { throw .null("use_fd") }
        let question = try frontend.deviceStateQuestion(DeviceStateDirection.make(direction), Frontend.shared(fd))
        let instead = try frontend.ask(question).takeDescriptor()
        OwnedDescriptor.close(fd)
        unsafe use_fd.pointee = instead?.release() ?? -1
    }
}

@_cdecl("vhushmem_frontend_set_device_state_fd_async") @implementation
package func vhushmem_frontend_set_device_state_fd_async(
    _ frontend: OpaquePointer?, _ direction: UInt32, _ fd: Int32, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?,
    _ destroy: GDestroyNotify?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        let direction = try DeviceStateDirection.make(direction)
        let pipe = try Frontend.shared(fd)
        try callback.frontend.ask(callback.frontend.deviceStateQuestion(direction, pipe)) { result in
            callback.finish(result) { callback.succeed(value: $0.value, fd: $0.fd) }
        }
        OwnedDescriptor.close(fd)
    }
}

@_cdecl("vhushmem_frontend_check_device_state") @implementation
package func vhushmem_frontend_check_device_state(
    _ frontend: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        try frontend.ask(FrontendQuestion<Void>.checkDeviceState())
    }
}

@_cdecl("vhushmem_frontend_check_device_state_async") @implementation
package func vhushmem_frontend_check_device_state_async(
    _ frontend: OpaquePointer?, _ fn: vhushmem_reply_fn?, _ user_data: gpointer?, _ destroy: GDestroyNotify?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        let callback = try unsafe ReplyCallback.make(frontend, fn, user_data, destroy)
        try callback.frontend.ask(FrontendQuestion<Void>.checkDeviceState()) { callback.end($0) }
    }
}

@_cdecl("vhushmem_frontend_can_migrate") @implementation
package func vhushmem_frontend_can_migrate(
    _ frontend: OpaquePointer?, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let frontend = unsafe object(frontend, Frontend.self) else { throw .null("frontend") }
        if let blocker = frontend.migrationBlocker { throw blocker }
    }
}
