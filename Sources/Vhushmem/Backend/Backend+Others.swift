// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Requests of a back-end besides maps and unmaps.
extension Backend {
    /// The most bytes of payload of such a request.
    static let longestOther = 4096

    /// Tells the front-end that the device has changed its configuration space, and waits for the answer.
    ///
    /// - Throws: what `map` throws.
    public func configChanged() throws(ShmemError) {
        _ = try unsafe request(BackendRequest.configChange, if: protocolFeatures.contains(.config))
    }

    /// Sends a request that this library has no method for, and waits for the answer as `map` does.
    ///
    /// - Parameters:
    ///   - id: the request's id.
    ///   - payload: at most 4,096 bytes.
    ///   - fd: a descriptor to send along, which stays the caller's.
    ///   - hasReply: the request has a reply of its own, a number and maybe a descriptor (SHARED_OBJECT_LOOKUP). Otherwise it
    ///     is acknowledged if REPLY_ACK was agreed on, and any answer but 0 is thrown.
    /// - Returns: the reply; an empty one if there was only an acknowledgement.
    /// - Throws: EINVAL (the payload, or a request that has a method of its own), and what `map` throws.
    public func request(
        _ id: UInt32, _ payload: [UInt8] = [], fd: Int32? = nil, hasReply: Bool = false
    ) throws(ShmemError) -> BackendReply {
        try unsafe payload.span.bytes.withUnsafeBytes { bytes throws(ShmemError) in
            try unsafe request(id, bytes, fd: fd, hasReply: hasReply)
        }
    }

    /// The same for bytes at a pointer.
    func request(
        _ id: UInt32, _ payload: UnsafeRawBufferPointer, fd: Int32?, hasReply: Bool
    ) throws(ShmemError) -> BackendReply {
        try Backend.check(id, payloadSize: payload.count)
        return try unsafe request(id, payload, fd: fd, hasReply: hasReply, if: true)
    }

    /// Throws EINVAL.
    static func check(_ id: UInt32, payloadSize: Int) throws(ShmemError) {
        guard payloadSize <= longestOther, id != BackendRequest.shmemMap, id != BackendRequest.shmemUnmap else {
            throw ShmemError(EINVAL, "request \(id) with \(payloadSize) bytes of payload cannot be sent by this function")
        }
    }

    private func request(
        _ id: UInt32, _ payload: UnsafeRawBufferPointer = unsafe UnsafeRawBufferPointer(start: nil, count: 0), fd: Int32? = nil,
        hasReply: Bool = false, if isAgreed: Bool
    ) throws(ShmemError) -> BackendReply {
        do throws(Errno) {
            return try whileAsking(if: isAgreed) { channel throws(Errno) in
                let sent = try unsafe transmit(id, payload, fd: fd, needsReply: isAnswered, on: channel)
                if sent < 0 { throw Errno(-sent) }
                guard hasReply || isAnswered else { return BackendReply() }
                let value = try awaitAnswer(to: id, mayHaveDescriptor: hasReply, on: channel)
                guard !hasReply else { return BackendReply(value: value, descriptor: channel.takeFirstDescriptor()) }
                let result = Backend.result(of: value)
                guard result == 0 else { throw Errno(-result) }
                return BackendReply()
            }
        } catch {
            throw ShmemError(error.code, "cannot send request \(id) to the front-end: \(Errno.text(error.code))")
        }
    }
}
