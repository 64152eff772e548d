// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What a back-end sent in reply to a request.
public final class FrontendReply {
    /// Empty where the request had no reply of its own.
    public let payload: [UInt8]
    private var descriptor: FileDescriptor?

    init(payload: [UInt8], descriptor: consuming FileDescriptor?) {
        self.payload = payload
        self.descriptor = descriptor
    }

    /// The descriptor that came along: open as long as the reply lives.
    public var fd: Int32? {
        switch descriptor {
        case .some(let descriptor): descriptor.raw
        case .none: nil
        }
    }

    /// Gives the descriptor to the caller, to be closed by it; nil: none came, or it was taken before.
    public func takeDescriptor() -> Int32? {
        descriptor.take()?.release()
    }

    /// The first eight bytes as a number.
    var value: UInt64 {
        payload.withUnsafeBytes { $0.integer(at: 0, as: UInt64.self) ?? 0 }
    }
}

/// How a request ended.
public typealias FrontendOutcome = Result<FrontendReply, ShmemError>

/// A request of the VMM's on its way to the back-end. One is under way at a time, the others wait their turn.
final class FrontendCall {
    /// What comes back.
    enum Reply {
        /// A reply of the request's own: its length, and whether a descriptor may come with it.
        case own(ClosedRange<Int>, mayHaveDescriptor: Bool = false)
        /// Nothing but an acknowledgement, where REPLY_ACK was negotiated.
        case acknowledgement
    }

    let id: UInt32
    let payload: [UInt8]
    /// Held until the request has gone.
    private(set) var descriptors: [SharedDescriptor]
    let reply: Reply
    private var completion: ((FrontendOutcome) -> Void)?

    init(
        _ id: UInt32, _ payload: [UInt8] = [], descriptors: [SharedDescriptor] = [], reply: Reply = .acknowledgement,
        _ completion: @escaping (FrontendOutcome) -> Void
    ) {
        self.id = id
        self.payload = payload
        self.descriptors = descriptors
        self.reply = reply
        self.completion = completion
    }

    func wasSent() {
        descriptors = []
    }

    /// Tells how it ended, once.
    func complete(_ outcome: FrontendOutcome) {
        let completion = completion
        self.completion = nil
        completion?(outcome)
    }
}

extension Frontend {
    /// Sends a request as soon as those before it are answered.
    func submit(_ call: FrontendCall) throws(ShmemError) {
        guard isTalking else { throw ShmemError(ENOTCONN, "no back-end is connected that could be asked") }
        calls.append(call)
        sendCalls()
        checkTime()
        watch()
    }

    /// Sends what waits, one after the other, as far as no reply is awaited.
    func sendCalls() {
        while isTalking, awaited == nil, let main, let call = calls.first {
            guard send(call) else {
                mustSendAgain = true
                return
            }
            mustSendAgain = false
            sendDeadline = nil
            // What was told of a loss may have brought another back-end, with calls of its own.
            guard isTalking, self.main === main else { return }
            calls.removeFirst()
            call.wasSent()
            if awaited == nil { call.complete(.success(FrontendReply(payload: [], descriptor: nil))) }
        }
    }

    /// False: the socket takes no more now.
    private func send(_ call: FrontendCall) -> Bool {
        guard let main else { return true }
        let isAcknowledged = negotiated.repliesAreAcknowledged
        let size = call.payload.count
        let flags = MessageHeader.version | (isAcknowledged ? MessageHeader.needReplyBit : 0)
        let sending = withUnsafeTemporaryAllocation(byteCount: MessageHeader.size &+ size, alignment: 8) { message in
            MessageHeader(request: call.id, flags: flags, size: UInt32(clamping: size)).encode(into: message)
            UnsafeMutableRawBufferPointer(rebasing: message[MessageHeader.size...]).copyBytes(from: call.payload)
            return main.send(UnsafeRawBufferPointer(message), descriptors: call.descriptors.map { $0.fd })
        }
        switch sending {
        case .later: return false
        case .failed(let error): end(lost("writing", error))
        case .done:
            let deadline = Clock.now() &+ UInt64(options.requestTimeout) &* 1000
            switch call.reply {
            case .own(let sizes, let mayHaveDescriptor):
                awaited = AwaitedReply(
                    id: call.id, sizes: sizes, mayHaveDescriptor: mayHaveDescriptor, isAcknowledgement: false,
                    deadline: deadline, call: call)
            case .acknowledgement where isAcknowledged:
                awaited = AwaitedReply(
                    id: call.id, sizes: 8...8, mayHaveDescriptor: false, isAcknowledgement: true, deadline: deadline,
                    call: call)
            case .acknowledgement: break
            }
        }
        return true
    }

    /// A reply to a call has come, and is as it must be.
    func complete(_ call: FrontendCall, _ expected: AwaitedReply, _ payload: UnsafeRawBufferPointer) {
        if expected.isAcknowledgement {
            let answer = payload.integer(at: 0, as: UInt64.self) ?? 0
            if answer == 0 {
                call.complete(.success(FrontendReply(payload: [], descriptor: nil)))
            } else {
                call.complete(.failure(ShmemError(EIO, "the back-end refused \(expected.name) with \(hex(answer))")))
            }
        } else {
            let reply = FrontendReply(payload: Array(payload), descriptor: main?.takeFirstDescriptor())
            call.complete(.success(reply))
        }
        sendCalls()
    }

    /// The connection is over: nothing that waits will be answered.
    func failCalls(_ error: ShmemError) {
        let waiting = [awaited?.call].compactMap { $0 } + calls
        awaited = nil
        calls = []
        for call in waiting { call.complete(.failure(error)) }
    }

    /// Sends a request and dispatches until it is answered. Throws EDEADLK where the loop can't go on: inside a listener, before the
    /// back-end is answered.
    func perform(
        _ id: UInt32, _ payload: [UInt8] = [], descriptors: [SharedDescriptor] = [],
        reply: FrontendCall.Reply = .acknowledgement
    ) throws(ShmemError) -> FrontendReply {
        let outcome: FrontendOutcome = try waitFor { done throws(ShmemError) in
            try submit(FrontendCall(id, payload, descriptors: descriptors, reply: reply, done))
        }
        return try outcome.get()
    }

    /// Begins something that tells how it ended, and dispatches until it has. Throws EDEADLK as `perform` does.
    func waitFor<Outcome>(
        _ begin: (@escaping (Outcome) -> Void) throws(ShmemError) -> Void
    ) throws(ShmemError) -> Outcome {
        try requireNoListener()
        var outcome: Outcome?
        try begin { outcome = $0 }
        while true {
            if let outcome { return outcome }
            waitAndDispatch()
        }
    }

    /// Inside a listener the back-end waits for the answer to its own request, and may answer none of ours before.
    func requireNoListener() throws(ShmemError) {
        guard channel?.isCarryingOut != true else {
            throw ShmemError(EDEADLK, "the back-end waits for the answer to its own request: ask after the commit")
        }
    }

    /// Each request has its own limit, so this waits for no longer.
    func waitAndDispatch() {
        do throws(Errno) {
            _ = try pollTargets.wait(until: nil)
        } catch {
            end(ShmemError(error.code, "waiting for the back-end: \(Errno.text(error.code))"))
        }
        _ = dispatch(.both)
    }
}
