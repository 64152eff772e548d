// SPDX-License-Identifier: BSD-3-Clause

/// A map or unmap that nobody waits for.
final class MappingCall {
    let request: MappingRequest
    /// What travels along; nil: nothing does, or it has gone.
    var file: SharedDescriptor?
    let completion: (ShmemError?) -> Void

    init(_ request: MappingRequest, _ file: SharedDescriptor?, _ completion: @escaping (ShmemError?) -> Void) {
        self.request = request
        self.file = file
        self.completion = completion
    }
}

/// Those of a connection that have no answer yet, in the order in which they were begun.
struct MappingCalls {
    private(set) var all: [MappingCall] = []
    /// So many of the first were sent, and wait for their answers.
    private(set) var inFlight = 0
    /// When the answer to the first must be here (microseconds).
    private(set) var deadline: UInt64?
    /// When what could not be sent is tried again; nil: nothing has to be.
    private(set) var retry: UInt64?
    /// When it must have been sent.
    private(set) var sendDeadline: UInt64?
    /// The set of the back-end's kicks has the channel as well.
    var isWatched = false

    /// The first that was not sent yet.
    var unsent: MappingCall? { inFlight < all.count ? all[inFlight] : nil }

    /// There is something to do.
    var isBusy: Bool { !all.isEmpty || retry != nil }

    mutating func append(_ call: MappingCall) { all.append(call) }

    /// The first that was not sent has gone. `deadline`: of its answer, if it is to be the next.
    mutating func wasSent(deadline: UInt64) {
        inFlight = inFlight &+ 1
        if inFlight == 1 { self.deadline = deadline }
        canSend()
    }

    /// The answer to the first has come. `deadline`: of the next.
    mutating func takeFirst(deadline: UInt64) -> MappingCall {
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

    /// The first that was not sent ends without an answer.
    mutating func takeUnsent() -> MappingCall {
        canSend()
        return all.remove(at: inFlight)
    }

    /// Nothing will be sent or answered any more.
    mutating func takeAll() -> [MappingCall] {
        let calls = all
        self = MappingCalls()
        return calls
    }
}
