// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: Configuration space and status

extension FrontendQuestion where Answer == [UInt8] {
    /// GET_CONFIG: reads bytes of the device's configuration space.
    ///
    /// - Parameters:
    ///   - offset: the first byte.
    ///   - count: how many.
    /// - Returns: the question.
    public static func config(at offset: UInt32, count: UInt32) -> FrontendQuestion {
        let whole = ConfigAccess.size &+ Int(clamping: count)
        return unsafe FrontendQuestion(
            request: .getConfig, payload: encoded(whole, ConfigAccess(offset: offset, length: count).encode),
            fault: { $0.faultOfConfig(offset, count) }
        ) { reply throws(ShmemError) in
            guard !reply.payload.isEmpty else {
                throw ShmemError(EIO, "the back-end cannot read \(count) bytes at \(hex(UInt64(offset))) of its configuration")
            }
            let access = unsafe reply.payload.withUnsafeBytes { unsafe ConfigAccess($0) }
            guard let access, access.offset == offset, access.length == count else {
                throw ShmemError(EPROTO, "the back-end's reply to GET_CONFIG has another range than the request")
            }
            return Array(reply.payload[ConfigAccess.size...])
        }
    }
}

extension FrontendQuestion where Answer == Void {
    /// SET_CONFIG: writes bytes of the device's configuration space.
    ///
    /// - Parameters:
    ///   - offset: the first byte.
    ///   - bytes: the bytes to write.
    ///   - migrates: true: a migration restores them; false: the driver writes them.
    /// - Returns: the question.
    public static func setConfig(at offset: UInt32, _ bytes: [UInt8], migrates: Bool = false) -> FrontendQuestion {
        let access = ConfigAccess(
            offset: offset, length: UInt32(clamping: bytes.count), flags: migrates ? ConfigAccess.migrates : 0)
        var question = unsafe FrontendQuestion(.setConfig, encoded(ConfigAccess.size, access.encode) + bytes)
        question.fault = { $0.faultOfConfig(access.offset, access.length) }
        return question
    }

    /// SET_STATUS: sets the virtio device status.
    ///
    /// - Parameter status: the bits; 0 resets the device.
    /// - Returns: the question.
    public static func setStatus(_ status: UInt8) -> FrontendQuestion {
        unsafe FrontendQuestion(.setStatus, encoded(8) { unsafe $0.store(integer: UInt64(status), at: 0) })
    }
}

extension FrontendQuestion where Answer == UInt8 {
    /// GET_STATUS: gets the virtio device status.
    ///
    /// - Returns: the question.
    public static func status() -> FrontendQuestion {
        FrontendQuestion(request: .getStatus) { reply throws(ShmemError) in
            guard let status = UInt8(exactly: reply.value) else {
                throw ShmemError(EPROTO, "the back-end's device status \(hex(reply.value)) is no byte")
            }
            return status
        }
    }
}

extension FrontendOptions {
    fileprivate func faultOfConfig(_ offset: UInt32, _ count: UInt32) -> ShmemError? {
        let (end, overflow) = offset.addingReportingOverflow(count)
        guard count > 0, !overflow, end <= maximumConfigSize else {
            return ShmemError(
                EINVAL,
                "\(count) bytes at \(hex(UInt64(offset))) are not inside the configuration space of \(maximumConfigSize) bytes")
        }
        return nil
    }
}

// MARK: Requests in flight, and the device's state

/// An area in a file in which a back-end tracks the requests in flight. The file outlives the back-end.
public struct InflightArea {
    let fields: InflightDescription
    let file: SharedDescriptor

    init(_ fields: InflightDescription, file: SharedDescriptor) {
        self.fields = fields
        self.file = file
    }

    /// Describes an area that was made before.
    ///
    /// - Parameters:
    ///   - fd: its file. The area has a duplicate of the descriptor.
    ///   - fileOffset: first byte in the file.
    ///   - length: bytes.
    ///   - queues: the number of queues.
    ///   - queueSize: the number of entries of each.
    /// - Throws: EINVAL (no bytes, or a range that wraps around), EBADF, EMFILE.
    public init(
        fd: Int32, fileOffset: UInt64, length: UInt64, queues: UInt16, queueSize: UInt16
    ) throws(ShmemError) {
        guard length > 0, ByteRange(start: fileOffset, length: length) != nil else {
            throw ShmemError(EINVAL, "\(hex(length)) bytes at \(hex(fileOffset)) are no area for requests in flight")
        }
        fields = InflightDescription(length: length, fileOffset: fileOffset, queues: queues, queueSize: queueSize)
        do throws(Errno) {
            // A back-end has made it.
            file = SharedDescriptor(try OwnedDescriptor.duplicate(fd, of: CloseAccount()))
        } catch {
            throw ShmemError(error.code, "cannot duplicate the file of requests in flight: \(Errno.text(error.code))")
        }
    }

    /// Bytes.
    public var length: UInt64 { fields.length }
    /// First byte of the area in the file.
    public var fileOffset: UInt64 { fields.fileOffset }
    /// The file. It is open as long as this value lives.
    public var fd: Int32 { file.fd }
}

extension FrontendQuestion where Answer == InflightArea {
    /// GET_INFLIGHT_FD: has the back-end make an area for requests in flight.
    ///
    /// - Parameters:
    ///   - queues: the number of queues.
    ///   - queueSize: the number of entries of each.
    /// - Returns: the question.
    public static func inflight(queues: UInt16, queueSize: UInt16) -> FrontendQuestion {
        let wanted = InflightDescription(queues: queues, queueSize: queueSize)
        return unsafe FrontendQuestion(
            request: .getInflightFd, payload: encoded(InflightDescription.size, wanted.encode)
        ) { reply throws(ShmemError) in
            guard let fields = unsafe reply.payload.withUnsafeBytes({ unsafe InflightDescription($0) }),
                let received = reply.takeDescriptor()
            else {
                throw ShmemError(EIO, "the back-end gives no area for requests in flight")
            }
            let file = SharedDescriptor(received)
            guard fields.length > 0, fields.queues == queues, fields.queueSize == queueSize,
                ByteRange(start: fields.fileOffset, length: fields.length) != nil
            else { throw ShmemError(EPROTO, "the back-end's area for requests in flight is not the one that was asked for") }
            return InflightArea(fields, file: file)
        }
    }
}

extension FrontendQuestion where Answer == Void {
    /// SET_INFLIGHT_FD: gives the area to a back-end that starts again.
    ///
    /// - Parameter area: the answer to `inflight`.
    /// - Returns: the question.
    public static func setInflight(_ area: InflightArea) -> FrontendQuestion {
        unsafe FrontendQuestion(
            .setInflightFd, encoded(InflightDescription.size, area.fields.encode), descriptors: [area.file])
    }

    /// CHECK_DEVICE_STATE: checks whether the transfer has succeeded.
    ///
    /// - Returns: the question.
    public static func checkDeviceState() -> FrontendQuestion {
        FrontendQuestion(request: .checkDeviceState) { reply throws(ShmemError) in
            guard reply.value == 0 else {
                throw ShmemError(EIO, "the back-end failed to transfer its state (\(hex(reply.value)))")
            }
        }
    }
}

extension FrontendQuestion where Answer == FrontendReply {
    /// SET_DEVICE_STATE_FD: has the back-end write its state into a pipe, or read it from there. If the reply has a descriptor,
    /// that replaces the pipe.
    static func deviceState(_ direction: DeviceStateTransfer.Direction, _ pipe: SharedDescriptor) -> FrontendQuestion {
        unsafe FrontendQuestion(
            request: .setDeviceStateFd, payload: encoded(DeviceStateTransfer.size, DeviceStateTransfer(direction).encode),
            descriptors: [pipe]
        ) { reply throws(ShmemError) in
            let (failed, hasDescriptor) = DeviceStateTransfer.reply(reply.value)
            if failed { throw ShmemError(EIO, "the back-end cannot transfer its state (\(hex(reply.value)))") }
            guard hasDescriptor == (reply.fd != nil) else {
                throw ShmemError(EPROTO, "the back-end's reply to SET_DEVICE_STATE_FD and its descriptor disagree")
            }
            return reply
        }
    }
}
