// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Functions of a device besides its queues. The library offers the front-end what there are handlers for. An error that a
/// handler throws refuses the request.
@safe public struct BackendHandlers {
    /// Receives the events of queues.
    public var queue: ((Backend, Int, BackendQueueEvent) -> Void)?
    /// Fills in bytes of the configuration space, from an offset on.
    public var readConfig: ((Backend, UInt32, UnsafeMutableRawBufferPointer) throws(ShmemError) -> Void)?
    /// Takes the bytes that the driver wrote to it, or (true) that a migration restores.
    public var writeConfig: ((Backend, UInt32, UnsafeRawBufferPointer, Bool) throws(ShmemError) -> Void)?
    /// The driver has written the device status, which may be 0: a reset.
    public var status: ((Backend, UInt8) throws(ShmemError) -> Void)?
    /// Returns a descriptor of the shared object with this id of 16 bytes. The library closes it when it has been sent. nil:
    /// there is none.
    public var sharedObject: ((Backend, UnsafeRawBufferPointer) throws(ShmemError) -> OwnedDescriptor?)?
    /// Begins to write the device's state to a descriptor, or to read it from there. The other side sees the end when the
    /// descriptor is closed.
    public var transferState: ((Backend, DeviceStateDirection, consuming OwnedDescriptor) throws(ShmemError) -> Void)?
    /// Called when the transfer has ended. Throws if it did not go well.
    public var checkState: ((Backend) throws(ShmemError) -> Void)?

    /// No handlers.
    public init() {}

    /// The device has functions of its own.
    var areSet: Bool {
        unsafe queue != nil || readConfig != nil || writeConfig != nil || status != nil || sharedObject != nil
            || transferState != nil
            || checkState != nil
    }
}

// MARK: What the front-end asks of the device

extension Backend {
    /// GET_CONFIG: an answer with no bytes says that the bytes cannot be read.
    func answerConfig(_ payload: UnsafeRawBufferPointer) -> BackendAnswer {
        guard let access = unsafe ConfigAccess(payload) else { return .malformed }
        guard isInConfig(access), let readConfig = unsafe handlers.readConfig else { return .bytes([]) }
        var bytes = [UInt8](repeating: 0, count: payload.count)
        let result = unsafe bytes.withUnsafeMutableBytes { bytes in
            unsafe access.encode(into: bytes)
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[ConfigAccess.size...])
            return askDevice { () throws(ShmemError) in try unsafe readConfig(self, access.offset, rest) }
        }
        return .bytes(result != 0 ? [] : bytes)
    }

    /// SET_CONFIG
    func takeConfig(_ payload: UnsafeRawBufferPointer) -> BackendAnswer {
        guard let access = unsafe ConfigAccess(payload) else { return .malformed }
        guard isInConfig(access) else {
            return .refused(
                EINVAL,
                "\(access.length) bytes at \(access.offset) are not all in the configuration space of \(options.configSize) bytes"
            )
        }
        guard access.flags & ~ConfigAccess.migrates == 0 else {
            return .refused(EINVAL, "the flags \(hex(UInt64(access.flags))) have unknown bits")
        }
        guard let writeConfig = unsafe handlers.writeConfig else {
            return .refused(EOPNOTSUPP, "the device's configuration cannot be written")
        }
        let bytes = unsafe UnsafeRawBufferPointer(rebasing: payload[ConfigAccess.size...])
        return BackendAnswer(
            result: askDevice { () throws(ShmemError) in try unsafe writeConfig(self, access.offset, bytes, access.flags != 0) }
        )
    }

    private func isInConfig(_ access: ConfigAccess) -> Bool {
        access.offset <= options.configSize && access.length <= options.configSize &- access.offset
    }

    /// SET_STATUS. A status that the device refuses changes nothing, as a driver expects of FEATURES_OK. With a status of 0 a
    /// driver resets its device, and it cannot be refused: the queues stop, and the front-end drops the mappings.
    func takeStatus(_ value: UInt64, _ connection: BackendConnection) -> BackendAnswer {
        guard let status = UInt8(exactly: value) else { return .refused(EINVAL, "\(hex(value)) is no device status") }
        guard status != 0 else {
            stopQueues()
            connection.status = 0
            // A device that is reset begins without it. The area itself is not cleared, unlike with RESET_DEVICE: a front-end
            // that only stops its device sends 0 too, and gives the area again to continue from it.
            connection.inflight = nil
            _ = askDevice { () throws(ShmemError) in try handlers.status?(self, 0) }
            return .reset
        }
        let before = connection.status
        connection.status = status
        let answer = BackendAnswer(result: askDevice { () throws(ShmemError) in try handlers.status?(self, status) })
        // Bits that the device itself has set meanwhile stay.
        if case .refusedByDevice = answer { connection.status = before | connection.status & DeviceStatus.needsReset & ~status }
        return answer
    }

    /// GET_INFLIGHT_FD: if there can be no area, the reply has no bytes of it, and no descriptor.
    func makeInflight(_ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) -> BackendAnswer {
        guard var area = unsafe InflightDescription(payload) else { return .malformed }
        area.length = 0
        var descriptor: SharedDescriptor?
        if area.queues > 0, Int(area.queues) <= queues.count, UInt64(area.queueSize).isPowerOfTwo {
            do throws(Errno) {
                let made = try InflightFile.make(
                    queues: area.queues, queueSize: area.queueSize, quota: given, alarm: connection.useAlarm())
                connection.inflight = made.file
                area = made.file.area
                descriptor = made.fd
            } catch {
                Log.warning(
                    "cannot make an area for requests in flight: \(SharedFile.reason(error, given)) (errno \(error.code))")
            }
        }
        var bytes = [UInt8](repeating: 0, count: InflightDescription.size)
        unsafe bytes.withUnsafeMutableBytes(area.encode)
        return .bytes(bytes, descriptor: descriptor)
    }

    /// SET_INFLIGHT_FD: for queues that are started from now on.
    func takeInflight(_ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) -> BackendAnswer {
        guard let area = unsafe InflightDescription(payload) else { return .malformed }
        do throws(Errno) {
            connection.inflight = try InflightFile.map(
                area, fd: connection.main.firstDescriptor ?? -1, quota: given, alarm: connection.useAlarm())
            return .done
        } catch {
            return .refused(
                error.code,
                "an area of \(hex(area.length)) bytes at \(hex(area.fileOffset)), for \(area.queues) queues of"
                    + " \(area.queueSize) entries: \(SharedFile.reason(error, given))")
        }
    }

    /// GET_SHARED_OBJECT: the reply is the id again, with a descriptor if there is such an object.
    func answerSharedObject(_ payload: UnsafeRawBufferPointer) -> BackendAnswer {
        let id = unsafe [UInt8](payload)
        var file: SharedDescriptor?
        _ = askDevice { () throws(ShmemError) in
            if let descriptor = try unsafe handlers.sharedObject?(self, payload) { file = SharedDescriptor(descriptor) }
        }
        return .bytes(id, descriptor: file)
    }

    /// SET_DEVICE_STATE_FD: the reply can say only whether the transfer was begun. The descriptor is always the front-end's.
    func transferState(_ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) -> BackendAnswer {
        guard let transfer = unsafe DeviceStateTransfer(payload) else {
            return .refused(EINVAL, "the direction or the phase is unknown")
        }
        guard let handler = handlers.transferState, let pipe = connection.main.takeFirstDescriptor() else {
            return .refused(EOPNOTSUPP, "the device has no state to transfer")
        }
        var given = OwnedDescriptor?.some(pipe)
        let result = askDevice { () throws(ShmemError) in
            if let pipe = given.take() { try handler(self, transfer.direction, pipe) }
        }
        return .value(DeviceStateTransfer.encodedReply(failed: result != 0, hasDescriptor: false))
    }

    /// CHECK_DEVICE_STATE
    func answerStateCheck() -> BackendAnswer {
        guard let checkState = handlers.checkState else { return .value(1) }
        return .value(askDevice { () throws(ShmemError) in try checkState(self) } != 0 ? 1 : 0)
    }
}
