// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// One connection to a back-end: its sockets, its negotiated features, and its requests. The front-end's phase carries it, so
/// it goes when the connection ends.
///
/// It calls completions of requests and nothing else of the front-end. It returns the error that ends it.
final class Connection {
    /// The most requests of the program that may wait for their turn.
    static let mostWaiting = 1024

    let main: MessageStream
    /// nil: not made yet, or lost.
    var channel: BackendChannel?
    var negotiated = Negotiated()
    /// The request that was sent and not answered. One is under way at a time.
    private(set) var awaited: AwaitedReply?
    /// Those that wait for their turn.
    private var calls: [FrontendCall] = []
    /// The socket is full, and the next request must have gone by this time (microseconds). nil: no request is held up.
    private var blockedUntil: UInt64?
    /// The time of the next attempt (microseconds): the kernel takes no more descriptors of this user, and nothing tells when
    /// it does again.
    private var retryAt: UInt64?
    private let requestTimeout: Milliseconds

    /// `closes`: the account of the device.
    init(socket: consuming OwnedDescriptor, options: FrontendOptions, closes: CloseAccount) {
        // The longest message on the main socket is a memory table, or a large configuration space.
        let capacity = max(8192, MessageHeader.size &+ ConfigAccess.size &+ Int(options.maximumConfigSize))
        main = MessageStream(
            socket: socket, capacity: capacity, timeout: options.messageTimeoutLimit.microseconds, account: closes)
        requestTimeout = options.requestTimeoutLimit
    }

    // MARK: What it waits for

    var pollTarget: PollTargets.Target? {
        let wantsToWrite = (blockedUntil != nil && retryAt == nil) || main.hasUnsent
        if main.isHeldUp, !wantsToWrite { return nil }
        let events = (main.isHeldUp ? 0 : POLLIN) | (wantsToWrite ? POLLOUT : 0)
        return PollTargets.Target(fd: main.fd, events: Int16(events))
    }

    /// Microseconds.
    var deadline: UInt64? {
        if main.hasBufferedMessage { return 0 }
        return earliest(earliest(awaited?.deadline, retryAt ?? blockedUntil), main.deadline)
    }

    /// `read` must be called even if the loop did not see the socket ready. An answer that came in time counts, even if the
    /// program looks late. So it reads before it checks a limit that has passed.
    @inline(__always)
    var hasUnfinished: Bool {
        blockedUntil != nil || main.deadline != nil || main.hasBufferedMessage || lateness() != nil
    }

    var waitingRequests: Int { calls.count &+ (awaited == nil ? 0 : 1) }

    var waitingFor: String {
        guard let awaited else {
            return retryAt == nil
                ? "the back-end reads no more requests" : "too many descriptors of this user's are on their way"
        }
        return "the back-end has not answered \(awaited.name)"
    }

    /// A limit that has passed, which ends the connection.
    @inline(__always)
    func lateness() -> ShmemError? {
        blockedUntil == nil && awaited == nil ? nil : passedLimit()
    }

    @inline(never)
    private func passedLimit() -> ShmemError? {
        let now = Clock.now()
        if let blockedUntil, now >= blockedUntil, retryAt == nil {
            return ShmemError(ETIMEDOUT, "the back-end read no request in \(requestTimeout.count) ms")
        }
        guard let awaited, now >= awaited.deadline else { return nil }
        return ShmemError(ETIMEDOUT, "the back-end did not answer \(awaited.name) in \(requestTimeout.count) ms")
    }

    // MARK: Send

    /// Sends a request when those before it are answered. `isUrgent`: before all that wait. Returns the error that ends the
    /// connection.
    func submit(_ call: FrontendCall, isUrgent: Bool = false) -> ShmemError? {
        if isUrgent { calls.insert(call, at: 0) } else { calls.append(call) }
        return sendCalls()
    }

    /// Sends the waiting requests, one after the other, as long as no reply is awaited.
    private func sendCalls() -> ShmemError? {
        while awaited == nil, let call = calls.first {
            // If nothing is acknowledged, only the socket tells how much the back-end reads.
            if case .failed(let error) = main.flush() { return lost("writing", error) }
            if main.hasUnsent { return holdUp() }
            let isAcknowledged = negotiated.repliesAreAcknowledged
            let message = OutgoingMessage.request(call.id, needsReply: isAcknowledged)
            switch main.send(message, call.payload, descriptors: call.descriptors.map { $0.fd }) {
            case .later: return holdUp()
            case .failed(let error) where error.code == ETOOMANYREFS:
                let now = Clock.now()
                if let limit = blockedUntil, now >= limit {
                    giveUpDescriptors()
                    continue
                }
                retryAt = now &+ MessageStream.pause
                return holdUp()
            case .failed(let error): return lost("writing", error)
            case .done: break
            }
            blockedUntil = nil
            retryAt = nil
            calls.removeFirst()
            call.wasSent()
            if call.hasOwnReply || isAcknowledged {
                awaited = AwaitedReply(call, deadline: answerDeadline)
            } else {
                call.complete(.success(FrontendReply()))
            }
        }
        return nil
    }

    /// The next request waits. Its limit counts from the first time on.
    private func holdUp() -> ShmemError? {
        blockedUntil = blockedUntil ?? answerDeadline
        return nil
    }

    /// If the descriptors of other processes prevent a send, that is not the back-end's fault: the requests fail, and the
    /// connection lives.
    private func giveUpDescriptors() {
        let given = calls.filter { !$0.descriptors.isEmpty }
        calls.removeAll { !$0.descriptors.isEmpty }
        blockedUntil = nil
        retryAt = nil
        for call in given {
            call.complete(
                .failure(
                    ShmemError(
                        ETOOMANYREFS,
                        "\(call.name) was not sent: more descriptors of this user's are on their way than RLIMIT_NOFILE allows")
                ))
        }
    }

    /// The last request of this kind that waits, which is not sent then; nil: none does.
    func takeBack(_ request: FrontendRequest, _ payload: [UInt8]) -> FrontendCall? {
        let index = calls.lastIndex { $0.id == request.rawValue && $0.payload == payload }
        return index.map { calls.remove(at: $0) }
    }

    /// A request waits for the descriptors of others.
    var isShortOfDescriptors: Bool { retryAt != nil }

    /// Gives such requests up before their limit. Returns what ends the connection.
    func giveUpEarly() -> ShmemError? {
        giveUpDescriptors()
        return sendCalls()
    }

    private var answerDeadline: UInt64 { Clock.now() &+ requestTimeout.microseconds }

    // MARK: Receive

    /// Takes the messages of the main socket, and sends what it can. Returns how many messages came, and the error that ends
    /// the connection.
    func read(_ turn: Turn, while goesOn: () -> Bool) -> (taken: Int32, end: ShmemError?) {
        var taken: Int32 = 0
        var turn = turn
        while taken < turn.share, !turn.isOver(after: taken), goesOn() {
            if main.hasUnsent, case .failed(let error) = main.flush() { return (taken, lost("writing", error)) }
            if blockedUntil != nil, retryAt.map({ Clock.now() >= $0 }) ?? true, let error = sendCalls() {
                return (taken, error)
            }
            switch main.receive() {
            case .nothing: return (taken, nil)
            case .closed: return (taken, closed())
            case .failed(let error): return (taken, lost("reading", error))
            case .violation(let violation):
                return (taken, ShmemError(violation.code, "the back-end sent \(violation.sentence)"))
            case .message(let header, let payload):
                taken &+= 1
                if let error = unsafe take(header, payload) { return (taken, error) }
            }
        }
        return (taken, nil)
    }

    private func take(_ header: MessageHeader, _ payload: UnsafeRawBufferPointer) -> ShmemError? {
        guard let expected = awaited else {
            return ShmemError(EPROTO, "the back-end sent an unexpected message with the id \(header.request)")
        }
        let descriptors = main.descriptorsWereTruncated ? Int.max : main.descriptorCount
        if let fault = expected.fault(header, descriptors: descriptors) { return fault }
        awaited = nil
        unsafe expected.call.complete(outcome(of: expected, payload))
        return sendCalls()
    }

    private func outcome(of expected: AwaitedReply, _ payload: UnsafeRawBufferPointer) -> FrontendOutcome {
        if expected.call.hasOwnReply {
            return unsafe .success(FrontendReply(payload: Array(payload), descriptor: main.takeFirstDescriptor()))
        }
        let answer = unsafe payload.integer(at: 0, as: UInt64.self) ?? 0
        guard answer == 0 else {
            return .failure(ShmemError(EIO, "the back-end refused \(expected.name) with \(hex(answer))"))
        }
        return .success(FrontendReply())
    }

    private func closed() -> ShmemError {
        guard let awaited else { return ShmemError(ECONNRESET, "the back-end closed the connection") }
        return ShmemError(ECONNRESET, "the back-end closed the connection instead of answering \(awaited.name)")
    }

    private func lost(_ doing: StaticString, _ error: Errno) -> ShmemError {
        .lost(doing, "the connection to the back-end", error)
    }

    // MARK: End

    /// Ends all service on the connection. Returns the requests that will not be answered; the caller calls their completions.
    func close() -> [FrontendCall] {
        let waiting = [awaited?.call].compactMap { $0 } + calls
        awaited = nil
        calls = []
        blockedUntil = nil
        channel?.isClosed = true
        channel = nil
        return waiting
    }
}

/// A request whose reply or acknowledgement is awaited.
struct AwaitedReply {
    let call: FrontendCall
    /// Microseconds.
    let deadline: UInt64

    init(_ call: FrontendCall, deadline: UInt64) {
        self.call = call
        self.deadline = deadline
    }

    var name: String { call.name }

    /// The fault of a message that should be this reply; nil: there is none.
    func fault(_ header: MessageHeader, descriptors: Int) -> ShmemError? {
        if header.request != call.id {
            return ShmemError(EPROTO, "the back-end replied to request \(header.request) and not to \(name)")
        }
        // libvhost-user keeps the request's need_reply bit in some of its replies, where it has no meaning.
        if header.flags & ~MessageHeader.needReplyBit != MessageHeader.replyFlags {
            return ShmemError(EPROTO, "the back-end's reply to \(name) has the flags \(hex(UInt64(header.flags))) and not 0x5")
        }
        let sizes = call.replySizes
        guard let size = Int(exactly: header.size), sizes.contains(size) else {
            let wanted = sizes.count == 1 ? "\(sizes.lowerBound)" : "\(sizes.lowerBound) to \(sizes.upperBound)"
            return ShmemError(EPROTO, "the back-end's reply to \(name) has \(header.size) bytes of payload and not \(wanted)")
        }
        if descriptors > (call.replyMayHaveDescriptor ? 1 : 0) {
            let count = descriptors == .max ? "too many" : "\(descriptors)"
            return ShmemError(EPROTO, "the back-end's reply to \(name) came with \(count) file descriptors")
        }
        return nil
    }
}
