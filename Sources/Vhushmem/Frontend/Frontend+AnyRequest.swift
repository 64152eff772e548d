// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The form of the reply to a request that this library has no question for.
public enum ExpectedReply: Sendable {
    /// An acknowledgement, if REPLY_ACK was agreed on; else nothing.
    case acknowledgement
    /// A reply of the request's own. A longer one than `mostBytes` (of which 4,096 count) ends the connection.
    case payload(mostBytes: Int = 4096)
    /// The same, and a descriptor may come with it.
    case payloadAndDescriptor(mostBytes: Int = 4096)
}

/// A request that the library does not interpret.
struct AnyRequest {
    /// The most bytes of payload that are sent, or received without a stated size.
    static let mostBytes = 4096

    let id: UInt32
    let payload: [UInt8]
    let descriptors: [SharedDescriptor]
    let reply: ReplyForm

    /// `fds` are duplicated. Throws EINVAL, EBADF, EMFILE.
    static func make(
        _ id: UInt32, _ payload: [UInt8], _ fds: [Int32], _ reply: ExpectedReply
    ) throws(ShmemError) -> AnyRequest {
        let form = reply.form
        if let known = FrontendRequest(rawValue: id) {
            guard known.form.sender != .library else {
                throw ShmemError(
                    EINVAL, "the library sends request \(id) itself: by a function of its own, or in the handshake")
            }
            // Its reply would be unexpected.
            if case .acknowledgement = form, known.hasOwnReply {
                throw ShmemError(EINVAL, "\(known.name) has a reply of its own, and the flags say that there is none")
            }
        }
        try check(payloadSize: payload.count, descriptors: fds.count)
        var descriptors: [SharedDescriptor] = []
        do throws(Errno) {
            for fd in fds { descriptors.append(SharedDescriptor(try OwnedDescriptor.duplicate(fd))) }
        } catch {
            throw ShmemError(error.code, "cannot duplicate a descriptor to send along: \(Errno.text(error.code))")
        }
        return AnyRequest(id: id, payload: payload, descriptors: descriptors, reply: form)
    }

    static func check(payloadSize: Int, descriptors: Int) throws(ShmemError) {
        guard (0...mostBytes).contains(payloadSize) else {
            throw ShmemError(EINVAL, "a payload has at most \(mostBytes) bytes")
        }
        guard descriptors <= Int(VHU_MAX_FDS) else { throw ShmemError(EINVAL, "a message carries at most 8 descriptors") }
    }
}

extension ExpectedReply {
    fileprivate var form: ReplyForm {
        switch self {
        case .acknowledgement: .acknowledgement
        case .payload(let most): .own(0...min(max(0, most), AnyRequest.mostBytes), mayHaveDescriptor: false)
        case .payloadAndDescriptor(let most): .own(0...min(max(0, most), AnyRequest.mostBytes), mayHaveDescriptor: true)
        }
    }
}

extension Frontend {
    /// Sends a request that this library has no question for (SEND_RARP, NET_SET_MTU, IOTLB_MSG ...), and waits for its answer.
    /// The caller must negotiate any feature that the request needs.
    ///
    /// - Parameters:
    ///   - id: the request's id. EINVAL for the requests that the library sends itself: those of the handshake that set
    ///     something, those of memory and queues, and RESET_DEVICE.
    ///   - payload: at most 4,096 bytes.
    ///   - descriptors: at most 8, which are duplicated.
    ///   - reply: the form of the reply. A request that is known to have a reply of its own needs one.
    /// - Returns: the reply; an empty one if there was only an acknowledgement.
    /// - Throws: EINVAL (an argument), EBADF, EMFILE, and what `ask` throws.
    public func request(
        _ id: UInt32, _ payload: [UInt8] = [], descriptors: [Int32] = [], reply: ExpectedReply = .acknowledgement
    ) throws(ShmemError) -> FrontendReply {
        try send(AnyRequest.make(id, payload, descriptors, reply))
    }

    /// The same without waiting.
    ///
    /// - Parameters:
    ///   - id: the request's id.
    ///   - payload: at most 4,096 bytes.
    ///   - descriptors: at most 8, which are duplicated.
    ///   - reply: the form of the reply.
    ///   - completion: called once, from dispatch or from here, unless this throws.
    /// - Throws: EINVAL (an argument), EBADF, EMFILE, ENOTCONN, ENOBUFS (1,024 requests wait already).
    public func request(
        _ id: UInt32, _ payload: [UInt8] = [], descriptors: [Int32] = [], reply: ExpectedReply = .acknowledgement,
        completion: @escaping (Result<FrontendReply, ShmemError>) -> Void
    ) throws(ShmemError) {
        try send(AnyRequest.make(id, payload, descriptors, reply), outside(completion))
    }

    func send(_ request: AnyRequest) throws(ShmemError) -> FrontendReply {
        let outcome: FrontendOutcome = try waitFor { done throws(ShmemError) in try send(request, done) }
        return try outcome.get()
    }

    func send(_ request: AnyRequest, _ completion: @escaping (FrontendOutcome) -> Void) throws(ShmemError) {
        try ask(request.id, request.payload, descriptors: request.descriptors, reply: request.reply, completion)
    }
}
