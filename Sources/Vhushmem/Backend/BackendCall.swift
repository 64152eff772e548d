// SPDX-License-Identifier: BSD-3-Clause

/// A front-end's reply to a request of a back-end.
public final class BackendReply {
    /// A number, if the request has one; 0 if the request was acknowledged, or nothing came back.
    public let value: UInt64
    private var descriptor: OwnedDescriptor?

    init(value: UInt64 = 0, descriptor: consuming OwnedDescriptor? = nil) {
        self.value = value
        self.descriptor = descriptor
    }

    /// Gives the descriptor that came along to the caller.
    ///
    /// - Returns: nil: none came, or it was taken before.
    public func takeDescriptor() -> OwnedDescriptor? {
        descriptor.take()
    }
}

/// An asynchronous request of a back-end.
final class BackendCall {
    enum Question {
        /// `isQuiet`: it asks for no acknowledgement.
        case mapping(MappingRequest, isQuiet: Bool)
        /// `hasReply`: the request has a reply of its own.
        case other(id: UInt32, payload: [UInt8], hasReply: Bool)
    }

    let question: Question
    /// The descriptor that travels along; nil: there is none, or it has gone.
    var file: SharedDescriptor?
    /// The channel ended before the answer came.
    private(set) var isLost = false
    /// nil: it was called. The objects that it captures go then, even if other code keeps the call.
    private var completion: ((Result<BackendReply, ShmemError>) -> Void)?

    init(
        _ question: Question, _ completion: @escaping (Result<BackendReply, ShmemError>) -> Void
    ) {
        self.question = question
        self.completion = completion
    }

    var id: UInt32 {
        switch question {
        case .mapping(let request, _): request.id
        case .other(let id, _, _): id
        }
    }

    var subject: ShmemError.Subject {
        switch question {
        case .mapping(let request, _): request.subject
        case .other(let id, _, _): .request(id)
        }
    }

    /// nil: it is none.
    var mapping: MappingRequest? {
        if case .mapping(let request, _) = question { return request }
        return nil
    }

    var hasReply: Bool {
        if case .other(_, _, hasReply: true) = question { return true }
        return false
    }

    /// It asks for an answer. `isAnswered`: the front-end acknowledges requests without a reply of their own.
    func wantsAnswer(_ isAnswered: Bool) -> Bool {
        switch question {
        case .mapping(_, let isQuiet): isAnswered && !isQuiet
        case .other(_, _, let hasReply): isAnswered || hasReply
        }
    }

    func wasLost() {
        isLost = true
    }

    func complete(_ outcome: Result<BackendReply, ShmemError>) {
        completion.take()?(outcome)
    }
}

/// The requests of a connection that have no answer yet, in the order in which they were begun.
struct BackendCalls {
    private(set) var all: [BackendCall] = []
    /// How many of the first were sent, and wait for their answers.
    private(set) var inFlight = 0
    /// The time at which the answer to the first must be here (microseconds).
    private(set) var deadline: UInt64?
    /// The time of the next attempt to send; nil: no attempt is needed.
    private(set) var retry: UInt64?
    /// The time at which it must have been sent.
    private(set) var sendDeadline: UInt64?
    /// The set of the back-end's kicks also has the channel.
    var isWatched = false

    /// The first that was not sent yet.
    var unsent: BackendCall? { inFlight < all.count ? all[inFlight] : nil }

    /// There is something to do.
    var isBusy: Bool { !all.isEmpty || retry != nil }

    mutating func append(_ call: BackendCall) { all.append(call) }

    /// The first unsent one has gone. `deadline`: of its answer, if that is the next.
    mutating func wasSent(deadline: UInt64) {
        inFlight = inFlight &+ 1
        if inFlight == 1 { self.deadline = deadline }
        canSend()
    }

    /// The answer to the first has come. `deadline`: of the next.
    mutating func takeFirst(deadline: UInt64) -> BackendCall {
        inFlight = max(0, inFlight &- 1)
        self.deadline = inFlight > 0 ? deadline : nil
        return all.removeFirst()
    }

    mutating func canSend() {
        retry = nil
        sendDeadline = nil
    }

    mutating func cannotSend(retry: UInt64, deadline: UInt64) {
        self.retry = retry
        if sendDeadline == nil { sendDeadline = deadline }
    }

    /// The first unsent one ends without an answer.
    mutating func takeUnsent() -> BackendCall {
        canSend()
        return all.remove(at: inFlight)
    }

    /// Nothing will be sent or answered any more.
    mutating func takeAll() -> [BackendCall] {
        let calls = all
        self = BackendCalls()
        return calls
    }
}
