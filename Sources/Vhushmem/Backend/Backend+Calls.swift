// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Asynchronous requests. They are sent in the order in which they were begun, a bounded number before the first answer is
/// here. `dispatch` reports the outcome of each, never inside the completion of another one.
extension Backend {
    /// The most requests without an outcome.
    private static let mostCalls = 1024
    /// Microseconds between attempts. The socket takes no more, or too many descriptors are on their way: nothing tells when
    /// that is over.
    private static let retryPause: UInt64 = 10_000

    /// Asks the front-end to map a range of a file, and does not wait.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - fd: the file, which stays the caller's.
    ///   - fileOffset: first byte in the file; a multiple of the page size.
    ///   - offset: first byte in the region; a multiple of the page size.
    ///   - length: bytes.
    ///   - writable: the guest may write to it.
    ///   - completion: called once, from a later dispatch, with what `map` throws; with ENOTCONN when the connection ends
    ///     before the answer.
    /// - Throws: EINVAL (no bytes, or a range that wraps around), ENOTCONN (no front-end serves mappings), ENOBUFS (1,024 have
    ///   no outcome yet), EBADF, EMFILE; then `completion` is not called.
    public func map(
        shmid: UInt8, fd: Int32, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64, writable: Bool = false,
        completion: @escaping (ShmemError?) -> Void
    ) throws(ShmemError) {
        try begin(
            .map(shmid: shmid, fd: fd, fileOffset: fileOffset, at: offset, length: length, writable: writable), completion)
    }

    /// Asks the front-end to undo a mapping, and does not wait.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - offset: the offset of the mapping, as it was made.
    ///   - length: the length of the mapping, as it was made.
    ///   - completion: called once, from a later dispatch, with what `unmap` throws; with ENOTCONN when the connection ends
    ///     before the answer.
    /// - Throws: what the form of `map` with a completion throws.
    public func unmap(
        shmid: UInt8, at offset: UInt64, length: UInt64, completion: @escaping (ShmemError?) -> Void
    ) throws(ShmemError) {
        try begin(.unmap(shmid: shmid, at: offset, length: length), completion)
    }

    func begin(
        _ request: MappingRequest, isCounted: Bool = true, _ completion: @escaping (ShmemError?) -> Void
    ) throws(ShmemError) {
        let connection = try served(request)
        try begin(.mapping(request, isQuiet: false), fd: request.fd, connection, isCounted: isCounted) {
            completion($0.failure)
        }
    }

    /// `fd` stays the caller's. `isCounted`: the call counts for the limit; otherwise its caller bounds it. Throws ENOBUFS,
    /// EBADF, EMFILE.
    @discardableResult
    func begin(
        _ question: BackendCall.Question, fd: Int32?, _ connection: BackendConnection, isCounted: Bool = true,
        _ completion: @escaping (Result<BackendReply, ShmemError>) -> Void
    ) throws(ShmemError) -> BackendCall {
        let call = BackendCall(question, completion)
        if isCounted { try checkRoom(for: call.subject, connection) }
        do throws(Errno) {
            // The caller may close its own descriptor before this one has gone.
            if let fd { call.file = SharedDescriptor(try OwnedDescriptor.duplicate(fd)) }
        } catch {
            throw ShmemError(error.code, call.subject, .system("cannot duplicate its descriptor", error.code))
        }
        connection.calls.append(call)
        if !work.contains(.asking) {
            do throws(Errno) {
                try sendCalls(connection)
            } catch {
                closeChannel(connection, error)
            }
        }
        watch()
        return call
    }

    /// Throws ENOBUFS: the limit of calls without an outcome is reached.
    func checkRoom(for subject: ShmemError.Subject, _ connection: BackendConnection) throws(ShmemError) {
        guard connection.calls.all.count &+ eventQueue.completions < Backend.mostCalls else {
            throw ShmemError(ENOBUFS, subject, .text("1024 requests have no outcome yet"))
        }
    }

    /// Checks whether a request can be sent now.
    func served(_ request: MappingRequest) throws(ShmemError) -> BackendConnection {
        if let fault = request.fault { throw ShmemError(EINVAL, request.subject, fault) }
        guard isNegotiated, let connection else {
            throw .notServed(request.subject)
        }
        if let obstacle = obstacle(to: request) { throw obstacle }
        return connection
    }

    /// The reason why a request must not be sent now; nil: it may be.
    func obstacle(to request: MappingRequest) -> ShmemError? {
        if let fault = request.fault { return ShmemError(EINVAL, request.subject, fault) }
        guard options.isForQemu else { return nil }
        guard queues.contains(where: { $0.isRunning }) else {
            return ShmemError(
                EAGAIN, request.subject, .text("no queue runs: QEMU ends when it is asked for mappings before one does"))
        }
        // A descriptor that is not open is found when it is sent.
        guard let fd = request.fd, OwnedDescriptor.isReadOnly(fd) else { return nil }
        return ShmemError(EACCES, request.subject, .text("QEMU does not accept a file that is open for reading alone"))
    }

    // MARK: In dispatch

    /// Takes the answers that are here, and sends what may follow. Returns how many there were.
    func serveCalls() -> Int32 {
        // While another call waits for an answer, the channel is that call's.
        guard let connection, connection.calls.isBusy, !work.contains(.asking) else { return 0 }
        var taken: Int32 = 0
        do throws(Errno) {
            while let channel = connection.channel, connection.calls.inFlight > 0 {
                let call = connection.calls.all[0]
                guard let answer = try arrivedAnswer(to: call.id, mayHaveDescriptor: call.hasReply, on: channel) else {
                    if let deadline = connection.calls.deadline, Clock.now() >= deadline { throw Errno(ETIMEDOUT) }
                    break
                }
                settleFirst(connection, answer, on: channel)
                taken = taken &+ 1
            }
            try sendCalls(connection)
        } catch {
            closeChannel(connection, error)
        }
        return taken
    }

    /// When `dispatch` has something to do for calls even if no descriptor is ready; nil: never.
    func deadline(of calls: BackendCalls) -> UInt64? {
        guard !work.contains(.asking) else { return nil }
        if calls.unsent != nil, calls.inFlight < Backend.mostInFlight, calls.retry == nil { return 0 }
        return earliest(calls.deadline, calls.retry)
    }

    // MARK: Sending

    /// Sends what may be under way, as far as the socket takes it.
    private func sendCalls(_ connection: BackendConnection) throws(Errno) {
        guard let channel = connection.channel else { return }
        let hadUnsent = channel.hasUnsent
        if case .failed(let error) = channel.flush() { throw error }
        if channel.hasUnsent { return try sendLater(connection) }
        if hadUnsent { connection.calls.canSend() }
        tellOwed(connection)
        while let call = connection.calls.unsent, connection.calls.inFlight < Backend.mostInFlight {
            // The queues may have stopped since the call was begun.
            if case .mapping(let request, _) = call.question, let obstacle = obstacle(to: request) {
                told(connection.calls.takeUnsent(), obstacle)
            } else {
                switch try send(call, on: channel) {
                case .done: wasSent(call, connection)
                case .later: return try sendLater(connection)
                case .failed(let error):
                    // Nothing has gone, and it is no fault of the front-end's: the channel lives.
                    guard let limit = connection.calls.sendDeadline, Clock.now() >= limit else {
                        return sendAgain(connection)
                    }
                    told(connection.calls.takeUnsent(), ShmemError(error.code, call.subject, .system("sending it", error.code)))
                }
            }
        }
        if channel.hasUnsent { return try sendLater(connection) }
        connection.calls.canSend()
        setWatched(connection.calls.inFlight > 0, connection)
    }

    /// `failed`: too many descriptors of this user's are on their way.
    private func send(_ call: BackendCall, on channel: MessageStream) throws(Errno) -> MessageStream.Sending {
        if case .failed(let error) = channel.flush() { throw error }
        guard !channel.hasUnsent else { return .later }
        let message = OutgoingMessage.request(call.id, needsReply: needsReply(call))
        let sending: MessageStream.Sending
        switch call.question {
        case .mapping(let request, _):
            noteMapping(request)
            sending = unsafe withUnsafeTemporaryAllocation(byteCount: SharedMemoryMap.size, alignment: 8) { payload in
                unsafe request.encode(into: payload, asFirstFlags: options.speaksFirstFlags)
                return unsafe channel.send(message, UnsafeRawBufferPointer(payload), descriptor: call.file?.fd)
            }
        case .other(_, let payload, _):
            sending = unsafe payload.withUnsafeBytes { unsafe channel.send(message, $0, descriptor: call.file?.fd) }
        }
        if case .failed(let error) = sending, error.code != ETOOMANYREFS { throw error }
        return sending
    }

    /// A request with a reply of its own is answered whatever its header says.
    private func needsReply(_ call: BackendCall) -> Bool { isAnswered && call.wantsAnswer(true) }

    private func wasSent(_ call: BackendCall, _ connection: BackendConnection) {
        call.file = nil
        if call.wantsAnswer(isAnswered) {
            connection.calls.wasSent(deadline: answerDeadline)
        } else {
            settle(connection.calls.takeUnsent(), 0)
        }
    }

    /// The socket takes no more now. The back-end tries again, until an answer would be overdue.
    func sendSoon(_ connection: BackendConnection) {
        connection.calls.cannotSend(retry: Clock.now() &+ Backend.retryPause, deadline: answerDeadline)
    }

    private func sendLater(_ connection: BackendConnection) throws(Errno) {
        if let deadline = connection.calls.sendDeadline, Clock.now() >= deadline { throw Errno(ETIMEDOUT) }
        sendAgain(connection)
    }

    private func sendAgain(_ connection: BackendConnection) {
        sendSoon(connection)
        setWatched(connection.calls.inFlight > 0, connection)
    }

    /// Begins or stops to wait for the channel.
    private func setWatched(_ isWatched: Bool, _ connection: BackendConnection) {
        guard isWatched != connection.calls.isWatched, let channel = connection.channel else { return }
        guard isWatched else {
            kicks?.remove(channel.fd)
            connection.calls.isWatched = false
            return
        }
        do throws(Errno) {
            try waitAlso(for: channel.fd, tag: TargetSet.Tag.answer)
            connection.calls.isWatched = true
        } catch {
            // There was no memory or no descriptor: the back-end looks at the channel now and then.
            sendSoon(connection)
        }
    }

    // MARK: Before a request that is waited for, and at the end

    /// Waits for the answers of all calls that were begun: the next request comes behind them.
    func settleCalls(_ connection: BackendConnection, on channel: MessageStream) throws(Errno) {
        setWatched(false, connection)
        // Calls that a callback begins meanwhile come later.
        var left = connection.calls.all.count
        while left > 0 {
            if connection.calls.inFlight < min(left, Backend.mostInFlight), let call = connection.calls.unsent {
                let result = try transmit(call, on: channel)
                // A callback may have ended the connection meanwhile, and with it all calls.
                guard connection.channel === channel else { throw Errno(ECONNRESET) }
                if result < 0 {
                    settle(connection.calls.takeUnsent(), result)
                } else {
                    wasSent(call, connection)
                    if call.wantsAnswer(isAnswered) { continue }
                }
            } else {
                let call = connection.calls.all[0]
                let answer = try awaitAnswer(to: call.id, mayHaveDescriptor: call.hasReply, on: channel)
                guard connection.channel === channel else { throw Errno(ECONNRESET) }
                settleFirst(connection, answer, on: channel)
            }
            left = left &- 1
        }
    }

    private func transmit(_ call: BackendCall, on channel: MessageStream) throws(Errno) -> Int32 {
        switch call.question {
        case .mapping(let request, _):
            return try transmit(request, fd: call.file?.fd, needsReply: needsReply(call), on: channel)
        case .other(let id, let payload, _):
            return try unsafe payload.span.bytes.withUnsafeBytes { bytes throws(Errno) in
                try unsafe transmit(id, bytes, fd: call.file?.fd, needsReply: needsReply(call), on: channel)
            }
        }
    }

    private func settleFirst(_ connection: BackendConnection, _ answer: UInt64, on channel: MessageStream) {
        let call = connection.calls.takeFirst(deadline: answerDeadline)
        guard call.hasReply else { return settle(call, Backend.result(of: answer)) }
        let reply = BackendReply(value: answer, descriptor: channel.takeFirstDescriptor())
        eventQueue.keep { call.complete(.success(reply)) }
    }

    private func settle(_ call: BackendCall, _ result: Int32) {
        if let request = call.mapping { connection?.live.note(request, result, anyRefusalIsGone: options.isForQemu) }
        told(call, result < 0 ? ShmemError(-result, call.subject, .system("the front-end", -result)) : nil)
    }

    /// Puts the outcome of a call among the events that wait.
    private func told(_ call: BackendCall, _ error: ShmemError?) {
        eventQueue.keep { call.complete(error.map { .failure($0) } ?? .success(BackendReply())) }
    }

    /// Ends the use of the channel: no answer will come.
    func closeChannel(_ connection: BackendConnection, _ error: Errno) {
        setWatched(false, connection)
        connection.channel = nil
        let hasEnded = error.code == ECONNRESET || error.code == EPIPE || error.code == ENOTCONN
        for call in connection.calls.takeAll() {
            let reason = hasEnded ? ShmemError.Reason.text("the connection has ended") : .system("the front-end", error.code)
            call.wasLost()
            told(call, ShmemError(hasEnded ? ENOTCONN : error.code, call.subject, reason))
        }
    }
}

extension ShmemError {
    static func notServed(_ subject: Subject) -> ShmemError {
        ShmemError(ENOTCONN, subject, .text("no front-end serves mappings"))
    }

    /// `result`: a negative errno.
    static func refusal(of request: MappingRequest, _ result: Int32) -> ShmemError {
        ShmemError(0 &- result, request.subject, .system("the front-end", 0 &- result))
    }
}
