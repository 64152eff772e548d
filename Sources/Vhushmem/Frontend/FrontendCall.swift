// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A back-end's reply to a request.
public final class FrontendReply {
    /// Empty if the request had no reply of its own.
    public let payload: [UInt8]
    private var descriptor: OwnedDescriptor?

    init(payload: [UInt8] = [], descriptor: consuming OwnedDescriptor? = nil) {
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

    /// Gives the descriptor to the caller, who must close it.
    ///
    /// - Returns: nil: none came, or it was taken before.
    public func takeDescriptor() -> OwnedDescriptor? {
        descriptor.take()
    }

    /// Throws EPROTO: none came.
    func requireDescriptor() throws(ShmemError) -> OwnedDescriptor {
        guard let descriptor = takeDescriptor() else { throw ShmemError(EPROTO, "the reply has no descriptor") }
        return descriptor
    }

    /// The first eight bytes as a number, in this machine's order; 0 if there are fewer.
    public var value: UInt64 {
        unsafe payload.withUnsafeBytes { unsafe $0.integer(at: 0, as: UInt64.self) ?? 0 }
    }
}

/// The outcome of a request.
typealias FrontendOutcome = Result<FrontendReply, ShmemError>

/// A request on its way to the back-end.
final class FrontendCall {
    let id: UInt32
    let payload: [UInt8]
    /// Held until the request has gone.
    private(set) var descriptors: [SharedDescriptor]
    private let reply: ReplyForm
    private var completion: ((FrontendOutcome) -> Void)?

    init(
        _ id: UInt32, _ payload: [UInt8], descriptors: [SharedDescriptor], reply: ReplyForm,
        _ completion: @escaping (FrontendOutcome) -> Void
    ) {
        self.id = id
        self.payload = payload
        self.descriptors = descriptors
        self.reply = reply
        self.completion = completion
    }

    /// A request that the library knows.
    convenience init(
        _ request: FrontendRequest, _ payload: [UInt8], _ descriptors: [SharedDescriptor],
        _ completion: @escaping (FrontendOutcome) -> Void
    ) {
        self.init(request.rawValue, payload, descriptors: descriptors, reply: request.form.reply, completion)
    }

    @inline(never)
    var name: String {
        FrontendRequest(rawValue: id).map { "\($0.name)" } ?? "request \(id)"
    }

    var hasOwnReply: Bool {
        if case .acknowledgement = reply { return false }
        return true
    }

    /// Bytes of payload that a reply or an acknowledgement may have.
    var replySizes: ClosedRange<Int> {
        switch reply {
        case .acknowledgement: 8...8
        case .own(let sizes, _): sizes
        case .likeTheRequest: 0...payload.count
        }
    }

    var replyMayHaveDescriptor: Bool {
        if case .own(_, mayHaveDescriptor: true) = reply { return true }
        return false
    }

    /// SET_STATUS with 0.
    var resetsDevice: Bool {
        id == FrontendRequest.setStatus.rawValue && payload.allSatisfy { $0 == 0 }
    }

    /// Calls `act` before the completion.
    func beforeCompletion(_ act: @escaping () -> Void) {
        let completion = completion
        self.completion = { outcome in
            act()
            completion?(outcome)
        }
    }

    func wasSent() {
        descriptors = []
    }

    /// Reports the outcome, once.
    func complete(_ outcome: FrontendOutcome) {
        let completion = completion
        self.completion = nil
        completion?(outcome)
    }
}
