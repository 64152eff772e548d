// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What a back-end asks of its front-end. These wait for the answer, where one is owed.
extension Backend {
    /// Asks for a range of a file to be mapped, and waits for the answer where the front-end gives one (REPLY_ACK).
    ///
    /// `fd` stays the caller's. Offsets and the length are bytes. Throws the errno that the front-end answered (EIO where it answered
    /// something else), ENOTCONN (no front-end serves mappings), ETIMEDOUT (`answerTimeout` has passed; the channel is closed),
    /// ECONNRESET, EPROTO, EBADF.
    public func map(
        shmid: UInt8, fd: Int32, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64, writable: Bool = false
    ) throws(ShmemError) {
        try map(
            shmid: shmid, fd: fd, fileOffset: fileOffset, at: offset, length: length,
            flags: writable ? SharedMemoryMap.readWrite : 0)
    }

    func map(
        shmid: UInt8, fd: Int32, fileOffset: UInt64, at offset: UInt64, length: UInt64, flags: UInt64
    ) throws(ShmemError) {
        let payload = SharedMemoryMap(shmid: shmid, fileOffset: fileOffset, offset: offset, length: length, flags: flags)
        try ask(
            BackendRequest.shmemMap, payload, descriptor: fd, .map(shmid: shmid, offset: offset, length: length))
    }

    /// Asks for a mapping to be undone: exactly the offset and length that it was made with. Throws what `map` does.
    public func unmap(shmid: UInt8, at offset: UInt64, length: UInt64) throws(ShmemError) {
        let payload = SharedMemoryMap(shmid: shmid, fileOffset: 0, offset: offset, length: length, flags: 0)
        try ask(
            BackendRequest.shmemUnmap, payload, descriptor: nil, .unmap(shmid: shmid, offset: offset, length: length))
    }

    private func ask(
        _ request: UInt32, _ payload: SharedMemoryMap, descriptor: Int32?, _ subject: ShmemError.Subject
    ) throws(ShmemError) {
        guard isNegotiated, let channel else { throw ShmemError(ENOTCONN, subject, .text("no front-end serves mappings")) }
        let deadline = Clock.now() &+ UInt64(options.answerTimeout) &* 1000
        let isAnswered = protocolFeatures.contains(.replyAck)
        do throws(Errno) {
            try transmit(request, payload, descriptor, needsReply: isAnswered, on: channel, until: deadline)
            guard isAnswered else { return }
            let answer = try awaitAnswer(to: request, on: channel, until: deadline)
            guard answer != 0 else { return }
            throw refusal(answer)
        } catch {
            throw ShmemError(error.code, subject, .system("the front-end", error.code))
        }
    }

    /// The errno that a front-end answered with, if it is one.
    private func refusal(_ answer: UInt64) -> Errno {
        let value = Int64(bitPattern: answer)
        return value < 0 && value >= -4095 ? Errno(Int32(-value)) : Errno(EIO)
    }

    private func transmit(
        _ request: UInt32, _ payload: SharedMemoryMap, _ descriptor: Int32?, needsReply: Bool, on channel: MessageStream,
        until deadline: UInt64
    ) throws(Errno) {
        while true {
            let size = MessageHeader.size &+ SharedMemoryMap.size
            let sending = withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { message in
                let flags = MessageHeader.version | (needsReply ? MessageHeader.needReplyBit : 0)
                MessageHeader(request: request, flags: flags, size: UInt32(SharedMemoryMap.size)).encode(into: message)
                payload.encode(into: UnsafeMutableRawBufferPointer(rebasing: message[MessageHeader.size...]))
                return channel.send(UnsafeRawBufferPointer(message), descriptor: descriptor)
            }
            switch sending {
            case .done: return try flush(channel, until: deadline)
            case .failed(let error):
                // A descriptor that is not open is the caller's mistake: the channel has seen nothing of it.
                if error.code != EBADF { closeChannel() }
                throw error.code == EPIPE ? Errno(ECONNRESET) : error
            case .later: try waitFor(channel, POLLOUT, until: deadline)
            }
        }
    }

    private func flush(_ channel: MessageStream, until deadline: UInt64) throws(Errno) {
        while channel.hasUnsent {
            try waitFor(channel, POLLOUT, until: deadline)
            if case .failed(let error) = channel.flush() {
                closeChannel()
                throw error.code == EPIPE ? Errno(ECONNRESET) : error
            }
        }
    }

    private func awaitAnswer(to request: UInt32, on channel: MessageStream, until deadline: UInt64) throws(Errno) -> UInt64 {
        while true {
            switch channel.receive() {
            case .message(let header, let payload):
                guard header.request == request, header.flags == MessageHeader.replyFlags, payload.count == 8,
                    !channel.hasDescriptors, let answer = payload.integer(at: 0, as: UInt64.self)
                else {
                    closeChannel()
                    throw Errno(EPROTO)
                }
                return answer
            case .nothing: try waitFor(channel, POLLIN, until: deadline)
            case .closed:
                closeChannel()
                throw Errno(ECONNRESET)
            case .failed(let error):
                closeChannel()
                throw error
            case .violation:
                closeChannel()
                throw Errno(EPROTO)
            }
        }
    }

    private func waitFor(_ channel: MessageStream, _ events: Int32, until deadline: UInt64) throws(Errno) {
        guard try Readiness.wait(for: (channel.fd, Int16(events)), until: deadline) else {
            // What became of the request is not known, and a late answer would be taken for the next one's.
            closeChannel()
            throw Errno(ETIMEDOUT)
        }
    }

    private func closeChannel() {
        channel = nil
    }
}
