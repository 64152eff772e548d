// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Something to ask of a back-end, blocking or not: what is sent, what must have been agreed on, and what the reply means.
public struct FrontendQuestion<Answer> {
    let request: FrontendRequest
    var payload: [UInt8] = []
    var descriptors: [SharedDescriptor] = []
    var reply = FrontendCall.Reply.acknowledgement
    /// What is wrong with the question, for a front-end with such options.
    var fault: (FrontendOptions) -> ShmemError? = { _ in nil }
    let decode: (FrontendReply) throws(ShmemError) -> Answer
}

extension Frontend {
    /// Asks and waits for the answer; what else happens meanwhile is served. Throws ENOTCONN (not ready, or the connection ended),
    /// EOPNOTSUPP (the back-end has not agreed to the protocol feature that this needs), EDEADLK (inside a listener, before the back-end
    /// was answered), EIO (the back-end refused), EPROTO (its answer makes no sense), ETIMEDOUT.
    public func ask<Answer>(_ question: FrontendQuestion<Answer>) throws(ShmemError) -> Answer {
        try check(question)
        let reply = try perform(
            question.request.rawValue, question.payload, descriptors: question.descriptors, reply: question.reply)
        return try question.decode(reply)
    }

    /// Asks and returns at once; `completion` is called once, from dispatch or from here. What it may get is what `ask` throws.
    public func ask<Answer>(
        _ question: FrontendQuestion<Answer>, _ completion: @escaping (Result<Answer, ShmemError>) -> Void
    ) throws(ShmemError) {
        try check(question)
        let call = FrontendCall(
            question.request.rawValue, question.payload, descriptors: question.descriptors, reply: question.reply
        ) { outcome in
            switch outcome {
            case .failure(let error): completion(.failure(error))
            case .success(let reply):
                do throws(ShmemError) {
                    completion(.success(try question.decode(reply)))
                } catch {
                    completion(.failure(error))
                }
            }
        }
        try submit(call)
    }

    private func check<Answer>(_ question: FrontendQuestion<Answer>) throws(ShmemError) {
        try requireAgreement(to: question.request)
        if let fault = question.fault(options) { throw fault }
    }

    func requireAgreement(to request: FrontendRequest) throws(ShmemError) {
        guard isTalking else { throw ShmemError(ENOTCONN, "no back-end is connected that could be asked") }
        let needed = request.neededProtocolFeature(shmem: shmem)
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
}

/// Bytes of a payload, encoded where they are to be.
func encoded(_ size: Int, _ encode: (UnsafeMutableRawBufferPointer) -> Void) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: size)
    bytes.withUnsafeMutableBytes { encode($0) }
    return bytes
}

extension FrontendQuestion where Answer == Void {
    /// A request with nothing in its reply.
    init(_ request: FrontendRequest, _ payload: [UInt8] = [], descriptors: [SharedDescriptor] = []) {
        self.init(request: request, payload: payload, descriptors: descriptors) { _ in }
    }
}

extension FrontendQuestion where Answer == UInt64 {
    /// A request whose reply is a number.
    init(number request: FrontendRequest, _ payload: [UInt8] = [], descriptors: [SharedDescriptor] = []) {
        self.init(request: request, payload: payload, descriptors: descriptors, reply: .own(8...8)) { $0.value }
    }
}
