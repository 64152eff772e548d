// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// How requests of a back-end travel.
extension Backend {
    /// The most requests that wait for their answers. With more, each side could come to wait for the other to read.
    static let mostInFlight = 32

    /// Sends requests and takes the answers, which come in the same order. `oneAnswer`: only the last one asks for an answer.
    ///
    /// Throws EBUSY (requests are under way, and one of their callbacks makes this call), EBADF and EINVAL (the request that
    /// asks for the one answer cannot be sent), and the errors that end the channel. Requests whose answer did not come before
    /// that have its errno as their result.
    func exchange(_ requests: inout [MappingRequest], oneAnswer: Bool) throws(Errno) {
        // They may have been performed before.
        for index in requests.indices { requests[index].isSettled = false }
        do throws(Errno) {
            try whileAsking(if: isNegotiated) { channel throws(Errno) in
                if oneAnswer, let last = requests.last {
                    if let obstacle = obstacle(to: last) { throw Errno(obstacle.code) }
                    if let fd = last.fd, !OwnedDescriptor.isOpen(fd) { throw Errno(EBADF) }
                }
                try exchange(&requests, oneAnswer: oneAnswer, on: channel)
            }
        } catch {
            for index in requests.indices where !requests[index].isSettled { requests[index].result = -error.code }
            throw error
        }
    }

    /// Runs code that sends requests and takes their answers; only one such code at a time. Throws EBUSY (another one is under
    /// way, and a callback of it makes this call), ENOTCONN (there is no channel, or the feature was not agreed on).
    func whileAsking<Result>(
        if isAgreed: Bool, _ body: (MessageStream) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        guard !work.contains(.asking) else { throw Errno(EBUSY) }
        guard isAgreed, let connection, let channel = connection.channel else { throw Errno(ENOTCONN) }
        work.insert(.asking)
        defer {
            work.remove(.asking)
            watch()
        }
        // Requests that were begun before are answered before.
        try settleCalls(connection, on: channel)
        return try body(channel)
    }

    /// The front-end answers requests.
    var isAnswered: Bool { protocolFeatures.contains(.replyAck) }

    /// The meaning of an answer: 0, or a negative errno. A number that is no errno is a failure too.
    static func result(of answer: UInt64) -> Int32 {
        let answer = Int64(bitPattern: answer)
        return answer == 0 || (answer < 0 && answer >= -4095) ? Int32(answer) : -EIO
    }

    func exchange(
        _ requests: inout [MappingRequest], oneAnswer: Bool, on channel: MessageStream
    ) throws(Errno) {
        var inFlight = 0
        var next = 0
        for index in requests.indices {
            let needsReply = isAnswered && (!oneAnswer || index == requests.endIndex &- 1)
            if let obstacle = obstacle(to: requests[index]) {
                requests[index].result = -obstacle.code
            } else {
                requests[index].result = try transmit(
                    requests[index], fd: requests[index].fd, needsReply: needsReply, on: channel)
            }
            guard needsReply, requests[index].result == 0 else {
                requests[index].isSettled = true
                if !needsReply { note(requests[index]) }
                continue
            }
            inFlight = inFlight &+ 1
            if inFlight == Backend.mostInFlight {
                try settle(&requests, &next, on: channel)
                inFlight = inFlight &- 1
            }
        }
        while inFlight > 0 {
            try settle(&requests, &next, on: channel)
            inFlight = inFlight &- 1
        }
    }

    /// Takes the answer to the next request that will have one.
    private func settle(
        _ requests: inout [MappingRequest], _ next: inout Int, on channel: MessageStream
    ) throws(Errno) {
        while next < requests.count, requests[next].isSettled { next = next &+ 1 }
        guard next < requests.count else { return }
        requests[next].result = Backend.result(of: try awaitAnswer(to: requests[next].id, on: channel))
        requests[next].isSettled = true
        note(requests[next])
    }

    private func note(_ request: MappingRequest) {
        connection?.live.note(request, request.result, anyRefusalIsGone: options.isForQemu)
    }

    /// Returns why a well-formed request was not sent; the channel has seen nothing of it then: -EBADF (the descriptor is not
    /// open: the caller's mistake), -ETOOMANYREFS (too many descriptors of this user are on their way).
    func transmit(
        _ request: MappingRequest, fd: Int32?, needsReply: Bool, on channel: MessageStream
    ) throws(Errno) -> Int32 {
        // Before Swift 6.3 the closure may throw no typed error.
        let sent: Result<Int32, Errno> = unsafe withUnsafeTemporaryAllocation(byteCount: SharedMemoryMap.size, alignment: 8) {
            payload in
            noteMapping(request)
            unsafe request.encode(into: payload, asFirstFlags: options.speaksFirstFlags)
            do throws(Errno) {
                return .success(
                    try unsafe transmit(
                        request.id, UnsafeRawBufferPointer(payload), fd: fd, needsReply: needsReply, on: channel))
            } catch {
                return .failure(error)
            }
        }
        return try sent.get()
    }

    func noteMapping(_ request: MappingRequest) {
        guard request.isMap else { return }
        connection?.hasMapped = true
        if !request.isWritable { connection?.hasMappedReadOnly = true }
    }

    func transmit(
        _ id: UInt32, _ payload: UnsafeRawBufferPointer, fd: Int32?, needsReply: Bool, on channel: MessageStream
    ) throws(Errno) -> Int32 {
        let deadline = answerDeadline
        let message = OutgoingMessage.request(id, needsReply: needsReply)
        while true {
            switch unsafe channel.send(message, payload, descriptor: fd) {
            case .done:
                while channel.hasUnsent {
                    try wait(for: channel, POLLOUT, until: deadline)
                    if case .failed(let error) = channel.flush() { throw lost(error) }
                }
                return 0
            case .failed(let error):
                if error.code == EBADF { return -EBADF }
                if error.code == ETOOMANYREFS {
                    guard Clock.now() < deadline else { return -ETOOMANYREFS }
                    // Waits until some have been received; nothing tells when.
                    _ = try? Readiness.wait(for: (-1, 0), until: Clock.now() &+ 1000)
                    continue
                }
                throw lost(error)
            case .later: try wait(for: channel, POLLOUT, until: deadline)
            }
        }
    }

    func awaitAnswer(
        to request: UInt32, mayHaveDescriptor: Bool = false, on channel: MessageStream
    ) throws(Errno) -> UInt64 {
        let deadline = answerDeadline
        while true {
            do throws(Errno) {
                if let answer = try arrivedAnswer(to: request, mayHaveDescriptor: mayHaveDescriptor, on: channel) {
                    return answer
                }
            } catch {
                throw lost(error)
            }
            try wait(for: channel, POLLIN, until: deadline)
        }
    }

    /// The next answer; nil: there is none yet. Throws the errors that end the channel.
    func arrivedAnswer(
        to request: UInt32, mayHaveDescriptor: Bool = false, on channel: MessageStream
    ) throws(Errno) -> UInt64? {
        switch channel.receive() {
        case .message(let header, let payload):
            guard header.request == request, header.flags == MessageHeader.replyFlags, payload.count == 8,
                mayHaveDescriptor ? channel.descriptorCount <= 1 : !channel.hasDescriptors,
                let answer = unsafe payload.integer(at: 0, as: UInt64.self)
            else { throw Errno(EPROTO) }
            return answer
        case .nothing: return nil
        case .closed: throw Errno(ECONNRESET)
        case .failed(let error): throw error
        case .violation(let violation): throw Errno(violation.code)
        }
    }

    var answerDeadline: UInt64 { Clock.now() &+ options.answerTimeoutLimit.microseconds }

    /// Waits for the channel, and serves the front-end meanwhile: it may wait for a reply before it looks at the channel, as
    /// QEMU does. While such a reply is being made, nothing else is served: the reply comes first.
    private func wait(for channel: MessageStream, _ events: Int32, until deadline: UInt64) throws(Errno) {
        let isHeldUp = self.eventQueue.isFull || connection?.main.isHeldUp == true
        let main = work.contains(.serving) || isHeldUp ? nil : connection?.main
        // This is checked each time: a front-end that always sends something else gains no time by that.
        guard Clock.now() < deadline else {
            // The outcome of the request is not known, and the next request would take a late answer for its own.
            throw lost(Errno(ETIMEDOUT))
        }
        if let main, !main.hasUnsent, main.hasBufferedMessage {
            serveOne()
        } else {
            let wanted = main?.hasUnsent == true ? POLLOUT : POLLIN
            // A peer that is held up is looked at again and again.
            let isHeldUp = channel.isHeldUp || connection?.main.isHeldUp == true
            let until = isHeldUp ? min(deadline, Clock.now() &+ MessageStream.pause) : deadline
            let ready = try Readiness.which(
                (channel.isHeldUp ? -1 : channel.fd, Int16(events)), (main?.fd ?? -1, Int16(wanted)), until: until)
            // An answer that is here counts, even if the front-end has left after it.
            if ready.contains(.first) { return }
            if !ready.isEmpty || isHeldUp { serveOne() }
        }
        // The front-end may be gone, or a callback may have ended the connection.
        guard connection?.channel === channel else { throw Errno(ECONNRESET) }
    }

    /// The channel cannot be used any more.
    private func lost(_ error: Errno) -> Errno {
        if let connection { closeChannel(connection, error) }
        return error.code == EPIPE ? Errno(ECONNRESET) : error
    }
}
