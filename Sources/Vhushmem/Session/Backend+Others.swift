// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What a back-end asks of its front-end besides mappings.
extension Backend {
    /// Bytes of payload of such a request at the most.
    static let longestOther = 4096

    /// Asks for anything: `fd` stays the caller's. Waits for the answer as `map` does.
    ///
    /// `hasReply`: the request has a reply of its own, a number and maybe a descriptor (SHARED_OBJECT_LOOKUP). Else it is acknowledged
    /// where REPLY_ACK was agreed on, and anything but 0 is thrown. Returns the number, and the descriptor, which is the caller's. Throws
    /// what `map` does, and EINVAL (the payload, or a request that has a method of its own).
    public func request(
        _ id: UInt32, _ payload: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0), fd: Int32? = nil,
        hasReply: Bool = false
    ) throws(ShmemError) -> (value: UInt64, fd: Int32?) {
        guard payload.count <= Backend.longestOther, id != BackendRequest.shmemMap, id != BackendRequest.shmemUnmap else {
            throw ShmemError(EINVAL, "request \(id) with \(payload.count) bytes of payload is not to be asked for in this way")
        }
        do throws(Errno) {
            let answer = try exchange(id, payload, fd: fd, hasReply: hasReply)
            guard hasReply || answer.value == 0 else {
                let code = Int64(bitPattern: answer.value)
                throw Errno(code < 0 && code >= -4095 ? Int32(-code) : EIO)
            }
            return answer
        } catch {
            throw ShmemError(error.code, "asking the front-end for request \(id): \(Errno.text(error.code))")
        }
    }

    private func exchange(
        _ id: UInt32, _ payload: UnsafeRawBufferPointer, fd: Int32?, hasReply: Bool
    ) throws(Errno) -> (value: UInt64, fd: Int32?) {
        guard !isAsking else { throw Errno(EBUSY) }
        guard let channel else { throw Errno(ENOTCONN) }
        isAsking = true
        defer {
            isAsking = false
            watch()
        }
        let isAnswered = protocolFeatures.contains(.replyAck)
        let result = try transmit(id, payload, fd: fd, needsReply: isAnswered, on: channel)
        if result < 0 { throw Errno(-result) }
        guard hasReply || isAnswered else { return (0, nil) }
        let value = try awaitAnswer(to: id, mayHaveDescriptor: hasReply, on: channel)
        return (value, channel.takeFirstDescriptor()?.release())
    }
}
