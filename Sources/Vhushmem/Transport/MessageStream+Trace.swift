// SPDX-License-Identifier: BSD-3-Clause

/// Traces of messages.
extension MessageStream {
    @inline(never)
    func traceSent(_ message: OutgoingMessage, _ size: Int, _ sending: Sending) {
        guard sending == .done, Trace.wants(Trace.wire) else { return }
        trace(MessageHeader(request: message.request, flags: message.flags, size: UInt32(clamping: size)), isSent: true)
    }

    @inline(never)
    func traceReceived(_ arrival: Arrival) {
        guard case .message(let header, _) = arrival, Trace.wants(Trace.wire) else { return }
        trace(header, isSent: false)
    }

    /// A request that `receiveInline` has brought.
    @inline(never)
    func traceReceived(_ header: MessageHeader) {
        if Trace.wants(Trace.wire) { trace(header, isSent: false) }
    }

    /// The answer of a front-end's channel.
    @inline(never)
    func traceAnswer(to request: UInt32) {
        guard Trace.wants(Trace.wire) else { return }
        trace(MessageHeader(request: request, flags: MessageHeader.replyFlags, size: 8), isSent: true)
    }

    @inline(never)
    private func trace(_ header: MessageHeader, isSent: Bool) {
        let name = (isChannel ? BackendRequest.name(of: header.request) : FrontendRequest.name(of: header.request)) ?? "?"
        let line = Trace.Line(
            category: Trace.wire, request: header.request, name: name, isChannel: isChannel, isSent: isSent,
            flags: header.flags,
            size: header.size)
        let doing: StaticString = isSent ? "sends" : "receives"
        let kind: StaticString = header.isReply ? " as a reply" : ""
        Trace.tell(line, "\(doing) \(name)\(kind), \(header.size) bytes, flags \(header.flags)")
    }
}
