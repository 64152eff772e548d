// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Sends requests to a back-end. There is one way: a `FrontendCall` on the connection. The handshake, the VMM's questions and
/// its generic requests all use it.
extension Frontend {
    /// Asks and waits for the answer; what else happens meanwhile is served.
    ///
    /// - Parameter question: one of the questions that `FrontendQuestion` has.
    /// - Returns: the answer.
    /// - Throws: ENOTCONN (not ready, or the connection ended), EOPNOTSUPP (the back-end has not agreed to the protocol feature
    ///   that this needs), EDEADLK (inside a listener, before the back-end was answered), EIO (the back-end refused), EPROTO
    ///   (its answer makes no sense), ETIMEDOUT, ETOOMANYREFS (a descriptor could not be sent: the connection lives).
    public func ask<Answer>(_ question: FrontendQuestion<Answer>) throws(ShmemError) -> Answer {
        let reply = try perform(question.request, question.payload, question.descriptors, question.fault(options))
        return try question.decode(reply)
    }

    private func perform(
        _ request: FrontendRequest, _ payload: [UInt8], _ descriptors: [SharedDescriptor], _ fault: ShmemError?
    ) throws(ShmemError) -> FrontendReply {
        try check(request, fault)
        let outcome: FrontendOutcome = try waitFor { done throws(ShmemError) in
            try submitAsked(FrontendCall(request, payload, descriptors, done))
        }
        return try outcome.get()
    }

    /// Asks a question and returns at once.
    ///
    /// - Parameters:
    ///   - question: one of the questions of `FrontendQuestion`.
    ///   - completion: called once, from dispatch or from here, with the answer or with what `ask` throws; not if this throws.
    /// - Throws: ENOTCONN (not ready), EOPNOTSUPP (the back-end has not agreed to the protocol feature that this needs),
    ///   ENOBUFS (1,024 requests wait already), and the question's own fault.
    public func ask<Answer>(
        _ question: FrontendQuestion<Answer>, completion: @escaping (Result<Answer, ShmemError>) -> Void
    ) throws(ShmemError) {
        try requireRoom()
        try pose(question, outside(completion))
    }

    /// The same for the library itself: `completion` may be called while a callback of the program runs.
    func pose<Answer>(
        _ question: FrontendQuestion<Answer>, _ completion: @escaping (Result<Answer, ShmemError>) -> Void
    ) throws(ShmemError) {
        try check(question.request, question.fault(options))
        try submitAsked(question.call(completion))
    }

    /// A program that asks faster than the back-end answers gets an error, and costs no more memory.
    private func requireRoom() throws(ShmemError) {
        guard (connection?.waitingRequests ?? 0) < Connection.mostWaiting else {
            throw ShmemError(ENOBUFS, "\(Connection.mostWaiting) requests wait for the back-end already")
        }
    }

    private func check(_ request: FrontendRequest, _ fault: ShmemError?) throws(ShmemError) {
        try requireTalking()
        try requireAgreement(to: request)
        if let fault { throw fault }
    }

    /// The same for a request that the library may not know, and does not interpret.
    func ask(
        _ id: UInt32, _ payload: [UInt8], descriptors: [SharedDescriptor], reply: ReplyForm,
        _ completion: @escaping (FrontendOutcome) -> Void
    ) throws(ShmemError) {
        try requireTalking()
        try requireRoom()
        try submitAsked(FrontendCall(id, payload, descriptors: descriptors, reply: reply, completion))
    }

    private func requireTalking() throws(ShmemError) {
        guard isTalking else { throw .notConnected }
    }

    /// Checks that the protocol feature of a request was agreed on.
    func requireAgreement(to request: FrontendRequest) throws(ShmemError) {
        let needed = request.neededFeature(shmem: shmem)
        guard protocolFeatures.isSuperset(of: needed) else {
            let bit = UInt32(needed.rawValue.trailingZeroBitCount)
            let name = ProtocolFeatures.name(ofBit: bit) ?? "?"
            throw ShmemError(EOPNOTSUPP, "\(request.name) needs the protocol feature \(name), which was not agreed on")
        }
        guard !request.needsProtocolFeatures || features & ProtocolFeatures.virtioFeature != 0 else {
            throw ShmemError(
                EOPNOTSUPP, "\(request.name) needs VHOST_USER_F_PROTOCOL_FEATURES, which the back-end does not offer")
        }
    }

    /// Sends a request as soon as those before it are answered. Throws ENOTCONN.
    func submit(_ call: FrontendCall, isUrgent: Bool = false) throws(ShmemError) {
        guard let connection else { throw .notConnected }
        if let error = connection.submit(call, isUrgent: isUrgent) ?? connection.lateness() { end(error) }
        watch()
    }

    /// Begins an operation that reports its outcome, and dispatches until then. Throws EDEADLK if the loop cannot go on: inside
    /// a listener, before the back-end is answered.
    func waitFor<Outcome>(
        _ begin: (@escaping (Outcome) -> Void) throws(ShmemError) -> Void
    ) throws(ShmemError) -> Outcome {
        try requireNoListener()
        var outcome: Outcome?
        let limit = options.callTimeoutLimit.count == 0 ? nil : Clock.now() &+ options.callTimeoutLimit.microseconds
        try begin { outcome = $0 }
        while true {
            if let outcome { return outcome }
            waitAndDispatch(until: limit)
        }
    }

    /// Inside a listener, the back-end waits for the answer to its own request, and may answer no request before.
    private func requireNoListener() throws(ShmemError) {
        guard connection?.channel?.isCarryingOut != true else {
            throw ShmemError(EDEADLK, "the back-end waits for the answer to its own request: ask after the commit")
        }
    }

    /// Each request has its own limit, so this waits no longer than that.
    private func waitAndDispatch(until limit: UInt64?) {
        do throws(Errno) {
            guard try pollTargets.wait(until: limit) else {
                if let connection, connection.isShortOfDescriptors {
                    if let error = connection.giveUpEarly() { end(error) }
                    return watch()
                }
                // The outcome of a request that is under way is not known.
                return end(
                    ShmemError(ETIMEDOUT, "a call was not done in \(options.callTimeoutLimit.count) ms: \(waitingFor)"))
            }
        } catch {
            end(ShmemError(error.code, "cannot wait for the back-end: \(Errno.text(error.code))"))
        }
        _ = dispatch(.both)
    }
}

extension ShmemError {
    static var notConnected: ShmemError { ShmemError(ENOTCONN, "no back-end is connected") }
}
