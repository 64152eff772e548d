// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The front-end's end of the back-end channel: serves SHMEM_MAP and SHMEM_UNMAP on a device.
final class BackendChannel {
    /// Longer than any request of a back-end, with room for a batch of them.
    private static let capacity = 4096
    /// Bytes to read at once: requests without descriptors come in batches.
    private static let room = 1024

    let stream: MessageStream
    let device: ShmemDevice
    let counters: RequestCounters
    /// Whether SHMEM was negotiated. Without it, its requests are refused.
    var isNegotiated = false
    /// The back-end follows the first versions of the series, whose flags have another meaning.
    var speaksFirstFlags = false
    /// Requests that were sent before a reset are refused.
    private var fence = ResetFence.open
    /// Set when the connection ends, which a listener may cause in the middle of a request. Nothing more is served then.
    var isClosed = false
    /// A request is under way, with its listeners and callbacks: the answer has not been sent.
    private(set) var isCarryingOut = false
    /// Performs all requests but maps and unmaps; nil: they are refused.
    var others: ((OtherRequest) -> OtherAnswer)?
    /// The id of a request whose answer comes later.
    private var unanswered: UInt32?
    var owesAnswer: Bool { unanswered != nil }
    /// Maps in this dispatch. The first is left out of core dumps by itself, the rest together at the end.
    private var mapsInDispatch = 0
    /// One request is under way, or its answer comes later. The channel takes nothing more meanwhile.
    private var isOccupied: Bool { isCarryingOut || unanswered != nil }

    init(
        socket: consuming OwnedDescriptor, device: ShmemDevice, messageTimeout: UInt64,
        counters: RequestCounters = RequestCounters()
    ) {
        stream = MessageStream(
            socket: socket, capacity: BackendChannel.capacity, room: BackendChannel.room, timeout: messageTimeout,
            account: device.state.closes, isChannel: true)
        self.device = device
        self.counters = counters
    }

    var pollTarget: PollTargets.Target? {
        // While an answer is owed nothing is watched: a closed channel would wake the loop without end. While a request is
        // under way nothing is watched either: a loop inside a listener could not serve it.
        if isOccupied || (stream.isHeldUp && !stream.wantsToWrite) { return nil }
        // While an answer waits nothing is read: a back-end that reads no answers gets no further, and costs no memory.
        return PollTargets.Target(fd: stream.fd, events: Int16(stream.hasUnsent ? POLLOUT : POLLIN))
    }

    /// When there is something to do although the socket is not ready (microseconds; 0: at once). There is nothing to do while
    /// an answer waits for room in the socket.
    ///
    /// The buffer itself tells whether requests are left in it. Turns end early, turns nest in each other, and an answer may
    /// come in the turn of another session.
    var deadline: UInt64? {
        if isOccupied { return nil }
        if stream.hasUnsent { return stream.isHeldUp ? stream.deadline : nil }
        return stream.hasBufferedMessage ? 0 : stream.deadline
    }

    /// Refuses every request from now on.
    func beginReset() {
        fence = .closed
    }

    /// The back-end has answered the reset. Requests that have arrived already are refused, and later ones are served again.
    func endReset() {
        fence.open(after: stream.waitingBytes())
    }

    /// Whether `serve` would find something to do.
    var isReady: Bool {
        if stream.hasUnsent || stream.hasBufferedMessage { return true }
        if let deadline = stream.deadline, Clock.now() >= deadline { return true }
        return Readiness.canRead(stream.fd)
    }

    /// Serves the waiting requests, up to a bound. With `reports`, it calls `report` after each answer; `report` may close the
    /// channel. Returns how many requests were taken.
    @_optimize(speed)
    func serve(
        _ turn: Turn, atMost bound: Int32, reports: Bool, report: (ServedRequest) -> Void
    ) -> (count: Int32, lost: ShmemError?) {
        var count: Int32 = 0
        // A callback that dispatches finds its own request still under way.
        guard !isCarryingOut else { return (0, nil) }
        defer {
            if mapsInDispatch > 1 { device.endBatch() }
            mapsInDispatch = 0
        }
        var turn = turn
        while count < bound, !isClosed, unanswered == nil, !turn.isOver(after: count) {
            switch serveOne(reports, report) {
            case .stopped: return (count &+ 1, nil)
            case .idle: return (count, nil)
            case .lost(let error): return (count, error)
            case .served: count &+= 1
            }
        }
        return (count, nil)
    }

    private enum Step {
        case idle, served, stopped
        case lost(ShmemError)
    }

    @_optimize(speed)
    @inline(__always)
    private func serveOne(_ reports: Bool, _ report: (ServedRequest) -> Void) -> Step {
        if stream.hasUnsent {
            if case .failed(let error) = stream.flush() { return .lost(lost("answering", error)) }
            if stream.hasUnsent { return .idle }
        }
        let arrival = stream.receiveInline()
        // This case has a test of its own, and comes first: a switch over all cases is a jump that the processor cannot
        // predict.
        if case .message(let header, let payload) = arrival, !header.isReply {
            return unsafe serve(header, payload, reports, report)
        }
        if case .nothing = arrival { return .idle }
        return .lost(loss(arrival))
    }

    /// Ends the channel.
    @inline(never)
    private func loss(_ arrival: MessageStream.Arrival) -> ShmemError {
        switch arrival {
        case .closed, .nothing: ShmemError(ECONNRESET, "the back-end closed its channel")
        case .failed(let error): lost("reading", error)
        case .violation(let violation): ShmemError(violation.code, "the back-end channel brought \(violation.sentence)")
        case .message: ShmemError(EPROTO, "the back-end channel brought an unexpected reply")
        }
    }

    @_optimize(speed)
    @inline(__always)
    private func serve(
        _ header: MessageHeader, _ payload: UnsafeRawBufferPointer, _ reports: Bool, _ report: (ServedRequest) -> Void
    ) -> Step {
        let isOlder = fence.holdsBack(MessageHeader.size &+ payload.count)
        switch header.request {
        case BackendRequest.shmemMap, BackendRequest.shmemUnmap:
            return unsafe serveMapping(header, payload, isOlder: isOlder, reports, report)
        default: return unsafe serveOther(header, payload, reports, report)
        }
    }

    @_optimize(speed)
    @inline(__always)
    private func serveMapping(
        _ header: MessageHeader, _ payload: UnsafeRawBufferPointer, isOlder: Bool, _ reports: Bool,
        _ report: (ServedRequest) -> Void
    ) -> Step {
        var map = unsafe SharedMemoryMap(payload)
        if speaksFirstFlags { map?.translateFirstFlags() }
        var failure: ShmemError?
        isCarryingOut = true
        do throws(ShmemError) {
            try carryOut(header, &map, payload.count, isOlder: isOlder)
            counters.countServed(header.request)
        } catch {
            failure = refuse(header.request, header.flags, map, error)
        }
        isCarryingOut = false
        // A finished map has one descriptor, an unmap none.
        stream.releaseDescriptors(failure != nil ? .unknown : device.state.hasLocalFilesOnly ? .local : .mapped)
        var sending = MessageStream.Sending.done
        if header.needsReply, !isClosed { sending = answer(header.request, failure?.code ?? 0) }
        // The change is complete, whether the answer could be sent or not.
        if failure == nil, device.state.isObserved { complete(header.request, header.flags, map) }
        if case .failed(let error) = sending { return .lost(lost("answering", error)) }
        guard !isClosed else { return .stopped }
        guard reports else { return .served }
        report(ServedRequest(header.request, map, error: failure))
        return .served
    }

    private func serveOther(
        _ header: MessageHeader, _ payload: UnsafeRawBufferPointer, _ reports: Bool, _ report: (ServedRequest) -> Void
    ) -> Step {
        isCarryingOut = true
        let outcome = unsafe carryOutOther(header, payload)
        counters.count(outcome, header.request)
        trace(header, outcome)
        isCarryingOut = false
        stream.releaseDescriptors()
        guard !isClosed else { return .stopped }
        var sending = MessageStream.Sending.done
        var failure: ShmemError?
        switch outcome {
        case .done:
            if header.needsReply { sending = answer(header.request, 0) }
        case .refused(let error):
            failure = error
            if header.needsReply { sending = answer(header.request, error.code) }
        case .descriptor(let file): sending = answer(header.request, 0, file)
        case .noDescriptor(let error):
            failure = error
            sending = answer(header.request, error.code)
        case .later: unanswered = header.request
        }
        if case .failed(let error) = sending { return .lost(lost("answering", error)) }
        guard reports else { return .served }
        report(ServedRequest(header.request, error: failure))
        return .served
    }

    private func carryOutOther(_ header: MessageHeader, _ payload: UnsafeRawBufferPointer) -> OtherAnswer {
        let subject = ShmemError.Subject.request(header.request)
        if header.reservedFlags != 0 { return .refused(ShmemError(EINVAL, subject, .reservedFlags(header.reservedFlags))) }
        // One more descriptor than a message may carry arrives whole. No callback gets that many.
        guard stream.descriptorCount <= Int(VHU_MAX_FDS) else {
            return .refused(ShmemError(EINVAL, subject, .tooManyDescriptors))
        }
        if stream.descriptorsWereTruncated { return .refused(ShmemError(EMFILE, subject, .descriptorsLost)) }
        guard let others else { return .refused(ShmemError(EOPNOTSUPP, subject, .notServed)) }
        return unsafe others(
            OtherRequest(id: header.request, flags: header.flags, payload: payload, descriptors: stream.allDescriptors))
    }

    /// Answers the request whose answer was to come later. Returns the loss that this caused.
    func answerUnanswered(_ answer: Result<SharedDescriptor, ShmemError>) -> ShmemError? {
        guard let request = unanswered, !isClosed else { return nil }
        unanswered = nil
        let sending =
            switch answer {
            case .success(let file): self.answer(request, 0, file)
            case .failure(let error): self.answer(request, error.code)
            }
        if case .success = answer { counters.countServed(request) } else { counters.countRefused(request) }
        stream.traceAnswer(to: request)
        if case .failed(let error) = sending { return lost("answering", error) }
        return nil
    }

    /// Serves a SHMEM_MAP or SHMEM_UNMAP. It checks the message first, then asks the device.
    @_optimize(speed)
    @inline(__always)
    private func carryOut(
        _ header: MessageHeader, _ map: inout SharedMemoryMap?, _ length: Int, isOlder: Bool
    ) throws(ShmemError) {
        let isMap = header.request == BackendRequest.shmemMap
        // One condition covers all faults; `refusal` finds out which one it was.
        guard let asked = map, header.reservedFlags == 0, !stream.descriptorsWereTruncated, isNegotiated, !isOlder,
            stream.descriptorCount == (isMap ? 1 : 0)
        else { throw refusal(header, map, length, isOlder: isOlder) }
        if isMap, let fd = stream.firstDescriptor {
            try device.carryOutMap(asked, fd: fd, isBatched: mapsInDispatch > 0)
            mapsInDispatch = mapsInDispatch &+ 1
        } else {
            // If the length was ignored, the report has that of the mapping that was undone.
            map?.length = try device.carryOutUnmap(asked)
        }
    }

    /// The reason why such a request is refused, whatever the device would say.
    @inline(never)
    private func refusal(_ header: MessageHeader, _ map: SharedMemoryMap?, _ length: Int, isOlder: Bool) -> ShmemError {
        guard let map else {
            return ShmemError(EINVAL, .request(header.request), .wrongPayload(expected: SharedMemoryMap.size, got: length))
        }
        let isMap = header.request == BackendRequest.shmemMap
        let subject: ShmemError.Subject =
            isMap
            ? .map(shmid: map.shmid, offset: map.offset, length: map.length)
            : .unmap(shmid: map.shmid, offset: map.offset, length: map.length)
        if header.reservedFlags != 0 { return ShmemError(EINVAL, subject, .reservedFlags(header.reservedFlags)) }
        let descriptors = stream.descriptorCount
        if stream.descriptorsWereTruncated {
            guard descriptors <= Int(VHU_MAX_FDS) else { return ShmemError(EINVAL, subject, .tooManyDescriptors) }
            return ShmemError(EMFILE, subject, .descriptorsLost)
        }
        let wanted = isMap ? 1 : 0
        if descriptors != wanted {
            return ShmemError(EINVAL, subject, .wrongDescriptors(expected: wanted, got: descriptors))
        }
        if !isNegotiated { return ShmemError(EOPNOTSUPP, subject, .notNegotiated) }
        return ShmemError(ECANCELED, subject, .duringReset)
    }

    private func lost(_ doing: StaticString, _ error: Errno) -> ShmemError {
        .lost(doing, "the back-end channel", error)
    }

    /// 20 bytes in one sendmsg: 0, or the negative of `code` as an unsigned number.
    @_optimize(speed)
    private func answer(_ request: UInt32, _ code: Int32, _ file: SharedDescriptor? = nil) -> MessageStream.Sending {
        let value = UInt64(bitPattern: Int64(-code))
        return unsafe OutgoingMessage.reply(to: request).withBytes(8, { unsafe $0.store(integer: value, at: 0) }) { bytes in
            if let file { unsafe stream.send(bytes, keeping: file) } else { unsafe stream.send(bytes) }
        }
    }
}
