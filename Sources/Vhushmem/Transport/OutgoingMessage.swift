// SPDX-License-Identifier: BSD-3-Clause

/// A message to send. Only here a header is put in front of its payload.
struct OutgoingMessage {
    let request: UInt32
    let flags: UInt32

    /// A request. `needsReply`: the sender wants its acknowledgement too, if it has no reply of its own.
    static func request(_ id: UInt32, needsReply: Bool) -> OutgoingMessage {
        OutgoingMessage(request: id, flags: MessageHeader.version | (needsReply ? MessageHeader.needReplyBit : 0))
    }

    /// The reply to a request, or its acknowledgement.
    @inline(__always)
    static func reply(to id: UInt32) -> OutgoingMessage {
        OutgoingMessage(request: id, flags: MessageHeader.replyFlags)
    }

    /// Calls `send` with the whole message. `encode` writes the `size` bytes of payload.
    @inline(__always)
    func withBytes(
        _ size: Int, _ encode: (UnsafeMutableRawBufferPointer) -> Void,
        _ send: (UnsafeRawBufferPointer) -> MessageStream.Sending
    ) -> MessageStream.Sending {
        unsafe withUnsafeTemporaryAllocation(byteCount: MessageHeader.size &+ size, alignment: 8) { message in
            unsafe MessageHeader(request: request, flags: flags, size: UInt32(clamping: size)).encode(into: message)
            unsafe encode(UnsafeMutableRawBufferPointer(rebasing: message[MessageHeader.size...]))
            return unsafe send(UnsafeRawBufferPointer(message))
        }
    }
}

extension MessageStream {
    /// Sends a message with a descriptor or without one.
    func send(
        _ message: OutgoingMessage, _ payload: UnsafeRawBufferPointer = unsafe UnsafeRawBufferPointer(start: nil, count: 0),
        descriptor: Int32? = nil
    ) -> Sending {
        let sending = unsafe message.withBytes(payload.count, { unsafe $0.copyMemory(from: payload) }) {
            unsafe send($0, descriptor: descriptor)
        }
        traceSent(message, payload.count, sending)
        return sending
    }

    /// The same with a descriptor that can wait.
    func send(_ message: OutgoingMessage, _ payload: UnsafeRawBufferPointer, keeping file: SharedDescriptor) -> Sending {
        let sending = unsafe message.withBytes(payload.count, { unsafe $0.copyMemory(from: payload) }) {
            unsafe send($0, keeping: file)
        }
        traceSent(message, payload.count, sending)
        return sending
    }

    /// The same with several descriptors.
    func send(_ message: OutgoingMessage, _ payload: [UInt8], descriptors: [Int32]) -> Sending {
        let sending = unsafe message.withBytes(payload.count, { unsafe $0.copyBytes(from: payload) }) {
            unsafe send($0, descriptors: descriptors)
        }
        traceSent(message, payload.count, sending)
        return sending
    }
}
