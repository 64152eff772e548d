// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The main socket: requests of ours, and what comes back.
extension Frontend {
    /// In the phase `away` too: mappings may have been kept.
    func tellNews() {
        device.forEachNews { news in
            onEvent?(self, news.isBroken ? .broken(news.mapping) : .healed(news.mapping))
            return phase != .over
        }
    }

    /// Pages that were covered for the moment are their files' again, and mappings are whole.
    func careForMappings() {
        device.care()
        if alarm?.wasRaised() == true { tellNews() }
    }

    func accept() {
        guard !acceptPause.lasts else { return }
        do throws(Errno) {
            let peer: FileDescriptor?
            switch listener {
            case .some(let listener): peer = try listener.accept()
            case .none: peer = nil
            }
            acceptPause.end()
            guard let peer else { return }
            listener = nil
            talk(through: peer)
        } catch {
            guard !AcceptPause.isFor(error) else { return acceptPause.begin(after: error, of: "back-end") }
            end(ShmemError(error.code, "accepting a back-end: \(Errno.text(error.code))"))
        }
    }

    func talk(through socket: consuming FileDescriptor) {
        main = MessageStream(
            socket: socket, capacity: capacity, timeout: UInt64(options.messageTimeout) &* 1000)
        counters.connections &+= 1
        phase = .shakingHands
        step = .getFeatures
        advance()
    }

    func readMain() -> Int32 {
        var taken: Int32 = 0
        while let main {
            if main.hasUnsent, case .failed(let error) = main.flush() {
                end(lost("writing", error))
                return taken
            }
            if mustSendAgain { sendAgain() }
            switch main.receive() {
            case .nothing: return taken
            case .closed:
                end(
                    ShmemError(
                        ECONNRESET,
                        "the back-end closed the connection"
                            + (awaited.map { " instead of answering \($0.name)" } ?? "")))
            case .failed(let error): end(lost("reading", error))
            case .violation(let violation): end(ShmemError(violation.code, "the back-end sent \(violation.sentence)"))
            case .message(let header, let payload):
                taken &+= 1
                take(header, payload, descriptors: main.descriptorsWereTruncated ? Int.max : main.descriptorCount)
            }
        }
        return taken
    }

    func lost(_ doing: StaticString, _ error: Errno) -> ShmemError {
        ShmemError(
            error.code == EPIPE ? ECONNRESET : error.code,
            "\(doing) on the connection to the back-end: \(Errno.text(error.code)) (errno \(error.code))")
    }

    func take(_ header: MessageHeader, _ payload: UnsafeRawBufferPointer, descriptors: Int) {
        guard let expected = awaited else {
            return end(ShmemError(EPROTO, "the back-end sent a message with the id \(header.request) that nobody asked for"))
        }
        if let fault = expected.fault(header, descriptors: descriptors) { return end(fault) }
        awaited = nil
        if let call = expected.call { return complete(call, expected, payload) }
        if expected.isAcknowledgement {
            let answer = payload.integer(at: 0, as: UInt64.self) ?? 0
            guard answer == 0 else {
                return end(ShmemError(EPROTO, "the back-end refused \(expected.name) with \(hex(answer))"))
            }
        }
        learn(payload)
    }

    /// Sends a request of the handshake. False: the socket takes no more now.
    func send(_ request: FrontendRequest, payload: UInt64?, descriptor: Int32?) -> Bool {
        guard let main else { return true }
        let isAcknowledged = negotiated.repliesAreAcknowledged
        let size = payload == nil ? 0 : 8
        let sending = withUnsafeTemporaryAllocation(byteCount: MessageHeader.size &+ 8, alignment: 8) { message in
            MessageHeader(
                request: request.rawValue,
                flags: MessageHeader.version | (isAcknowledged ? MessageHeader.needReplyBit : 0), size: UInt32(size)
            ).encode(into: message)
            if let payload { message.store(integer: payload, at: MessageHeader.size) }
            return main.send(
                UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(message)[..<(MessageHeader.size &+ size)]),
                descriptor: descriptor)
        }
        switch sending {
        case .later: return false
        case .failed(let error): end(lost("writing", error))
        case .done:
            if let size = request.replySize ?? (isAcknowledged ? 8 : nil) {
                awaited = AwaitedReply(
                    id: request.rawValue, sizes: size...size, mayHaveDescriptor: false,
                    isAcknowledgement: request.replySize == nil,
                    deadline: Clock.now() &+ UInt64(options.requestTimeout) &* 1000, call: nil)
            }
        }
        return true
    }

    func sendAgain() {
        mustSendAgain = false
        if isTalking { sendCalls() } else { advance() }
    }

    @_optimize(speed)
    func checkTime() {
        if !mustSendAgain {
            sendDeadline = nil
        } else if let sendDeadline {
            if Clock.now() >= sendDeadline {
                return end(ShmemError(ETIMEDOUT, "the back-end took no request in \(options.requestTimeout) ms"))
            }
        } else {
            sendDeadline = Clock.now() &+ UInt64(options.requestTimeout) &* 1000
        }
        guard let awaited, Clock.now() >= awaited.deadline else { return }
        end(ShmemError(ETIMEDOUT, "the back-end did not answer \(awaited.name) in \(options.requestTimeout) ms"))
    }
}
