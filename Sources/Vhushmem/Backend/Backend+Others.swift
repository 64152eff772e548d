// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What a back-end asks of its front-end besides mappings.
extension Backend {
    /// Bytes of payload of such a request at the most.
    static let longestOther = 4096

    /// Says that the device has changed its configuration space. Throws what `map` does.
    public func configChanged() throws(ShmemError) {
        _ = try unsafe request(BackendRequest.configChange, if: protocolFeatures.contains(.config))
    }

    /// Asks for anything: `fd` stays the caller's. Waits for the answer as `map` does.
    ///
    /// `hasReply`: the request has a reply of its own, a number and maybe a descriptor (SHARED_OBJECT_LOOKUP). Else it is acknowledged
    /// where REPLY_ACK was agreed on, and anything but 0 is thrown. Returns the number, and the descriptor, which is the caller's. Throws
    /// what `map` does, and EINVAL (the payload, or a request that has a method of its own).
    public func request(
        _ id: UInt32, _ payload: UnsafeRawBufferPointer = unsafe UnsafeRawBufferPointer(start: nil, count: 0), fd: Int32? = nil,
        hasReply: Bool = false
    ) throws(ShmemError) -> (value: UInt64, fd: Int32?) {
        guard payload.count <= Backend.longestOther, id != BackendRequest.shmemMap, id != BackendRequest.shmemUnmap else {
            throw ShmemError(EINVAL, "request \(id) with \(payload.count) bytes of payload is not to be asked for in this way")
        }
        return try unsafe request(id, payload, fd: fd, hasReply: hasReply, if: true)
    }

    private func request(
        _ id: UInt32, _ payload: UnsafeRawBufferPointer = unsafe UnsafeRawBufferPointer(start: nil, count: 0), fd: Int32? = nil,
        hasReply: Bool = false, if isAgreed: Bool
    ) throws(ShmemError) -> (value: UInt64, fd: Int32?) {
        do throws(Errno) {
            return try whileAsking(if: isAgreed) { channel throws(Errno) in
                let sent = try unsafe transmit(id, payload, fd: fd, needsReply: isAnswered, on: channel)
                if sent < 0 { throw Errno(-sent) }
                guard hasReply || isAnswered else { return (0, nil) }
                let value = try awaitAnswer(to: id, mayHaveDescriptor: hasReply, on: channel)
                let result = Backend.result(of: value)
                guard hasReply || result == 0 else { throw Errno(-result) }
                return (value, channel.takeFirstDescriptor()?.release())
            }
        } catch {
            throw ShmemError(error.code, "asking the front-end for request \(id): \(Errno.text(error.code))")
        }
    }
}
