// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// vhost-user messages over a stream socket: cuts the stream into messages, with their descriptors, and sends without waiting.
///
/// One recvmsg reads as much as fits. The kernel ends a read behind the piece that carried descriptors. So the descriptors of a
/// read belong to the last message that begins in it, and the buffer never has more than one message with descriptors.
@safe final class MessageStream {
    let fd: Int32
    /// The account of the peer.
    private let account: CloseAccount
    /// The buffer has its normal length, and is longer for a while if a message needs it.
    private var buffer: UnsafeMutableRawBufferPointer
    private let usualLength: Int
    /// The length of the longest message.
    private let longest: Int
    /// buffer[start..<end] has arrived and was not handed out yet.
    private var start = 0
    private var end = 0
    /// The message that was handed out last is buffer[start - taken..<start].
    private var descriptors: ReceivedDescriptors
    /// The place in the buffer of the message that the descriptors came with.
    private var descriptorsBegin = -1
    /// Bytes that could not be sent yet. Only +Sending changes it.
    var unsent: [UInt8] = []
    /// Goes with the first byte of it.
    var unsentDescriptor: SharedDescriptor?
    /// The time at which the message that has begun must be whole (microseconds); nil: none has begun.
    private var partDeadline: UInt64?
    private let timeout: UInt64
    private let process = getpid()
    /// It is a back-end channel, where ids of requests have another meaning.
    let isChannel: Bool
    /// Nothing is read or sent for now, so no loop may wait for that: too many descriptors of the peer are still to be closed,
    /// or a descriptor cannot be sent.
    private(set) var isHeldUp = false
    /// The latest end of that, and the time of the next look (microseconds).
    private var holdUp: (until: UInt64, retryAt: UInt64) = (0, 0)
    /// Microseconds.
    static let pause: UInt64 = 10_000

    /// The time at which there is something to do even if nothing has come (microseconds); nil: never.
    var deadline: UInt64? {
        @inline(__always) get { isHeldUp ? holdUp.retryAt : partDeadline }
    }

    /// `capacity`: the longest message, header included; `room`: bytes to read at once, which take memory all the time.
    /// `timeout`: microseconds within which a message that has begun must be whole, and within which sent descriptors must be
    /// closed. `account`: the peer's.
    init(
        socket: consuming OwnedDescriptor, capacity: Int, room: Int = 512, timeout: UInt64,
        account: CloseAccount = CloseAccount(), isChannel: Bool = false
    ) {
        fd = socket.release()
        self.account = account
        self.timeout = timeout
        self.isChannel = isChannel
        descriptors = ReceivedDescriptors(of: account)
        longest = capacity
        usualLength = min(room, capacity)
        unsafe buffer = .allocate(byteCount: usualLength, alignment: 16)
        _ = try? systemCall(.setsockopt) { vhu_take_out_of_band(fd) }
    }

    deinit {
        unsafe buffer.deallocate()
        OwnedDescriptor.closeSocket(fd, of: account, process: process)
    }

    @safe enum Arrival {
        /// The payload is valid until the next call of `receive`; the descriptors until `releaseDescriptors`.
        case message(MessageHeader, UnsafeRawBufferPointer)
        case nothing
        case closed
        case failed(Errno)
        /// The bytes cannot be cut into messages.
        case violation(Violation)
    }

    enum Violation {
        case version(UInt32)
        case tooLong(UInt32, limit: Int)
        case descriptorsInTheMiddle
        case late
        case unclosed

        /// A positive errno value.
        var code: Int32 {
            switch self {
            case .late, .unclosed: ETIMEDOUT
            case .version, .tooLong, .descriptorsInTheMiddle: EPROTO
            }
        }

        var sentence: String {
            switch self {
            case .version(let flags): "a message with the header version \(flags & MessageHeader.versionMask) and not 1"
            case .tooLong(let size, let limit): "a message of \(size) bytes where the longest has \(limit)"
            case .descriptorsInTheMiddle: "file descriptors in the middle of a message"
            case .late: "a message that was begun and not finished in time"
            case .unclosed: "\(CloseAccount.most) descriptors or more that could not be closed in time"
            }
        }
    }

    /// The next message, if a whole one is there. Never waits.
    @inline(never)
    func receive() -> Arrival {
        let arrival = receiveInline()
        traceReceived(arrival)
        return arrival
    }

    /// The same for the one caller that cannot spare an instruction.
    @_optimize(speed)
    @inline(__always)
    func receiveInline() -> Arrival {
        releaseDescriptors()
        while true {
            let have = end &- start
            if have >= MessageHeader.size, let header = header(at: start) {
                guard header.hasVersion1 else { return .violation(.version(header.flags)) }
                let limit = longest &- MessageHeader.size
                guard let size = Int(exactly: header.size), size <= limit else {
                    return .violation(.tooLong(header.size, limit: limit))
                }
                let length = MessageHeader.size &+ size
                if have >= length { return hand(out: header, length) }
            }
            switch fill() {
            case .some(let arrival): return arrival
            case .none: continue
            }
        }
    }

    /// Whether the message that was handed out last has descriptors.
    var hasDescriptors: Bool { !currentDescriptorsAreOthers && !descriptors.isEmpty }
    var descriptorCount: Int { currentDescriptorsAreOthers ? 0 : descriptors.count }
    var descriptorsWereTruncated: Bool { !currentDescriptorsAreOthers && descriptors.wasTruncated }
    /// The stream still owns them, and those that follow; valid until the next `receive`.
    var allDescriptors: UnsafeBufferPointer<Int32> {
        unsafe currentDescriptorsAreOthers ? UnsafeBufferPointer(start: nil, count: 0) : descriptors.all
    }
    var firstDescriptor: Int32? { currentDescriptorsAreOthers ? nil : descriptors.first }

    /// One of several, likewise.
    func descriptor(at index: Int) -> Int32? { currentDescriptorsAreOthers ? nil : descriptors[index] }

    func takeFirstDescriptor() -> OwnedDescriptor? {
        currentDescriptorsAreOthers ? nil : descriptors.takeFirst()
    }

    /// Whether the buffer has something to do, which no poll would show: a whole message, or a part of one whose time limit does
    /// not run yet.
    var hasBufferedMessage: Bool {
        let have = end &- start
        if have > 0, partDeadline == nil, !isHeldUp { return true }
        guard have >= MessageHeader.size, let header = header(at: start) else { return false }
        guard let size = Int(exactly: header.size), header.hasVersion1, size <= longest &- MessageHeader.size else {
            return true
        }
        return have >= MessageHeader.size &+ size
    }

    /// How many bytes have arrived and were not handed out: in the buffer and in the kernel.
    func waitingBytes() -> Int {
        let inKernel = (try? Socket.readableBytes(fd)) ?? 0
        return (end &- start) &+ Int(inKernel)
    }

    // MARK: Receive

    /// Ends the message that was handed out: its descriptors are closed unless they were taken.
    @inline(__always)
    func releaseDescriptors(_ kind: ReceivedDescriptors.Kind = .unknown) {
        // Usually there are none left.
        if descriptorsBegin >= 0, !currentDescriptorsAreOthers { closeDescriptors(kind) }
    }

    @_optimize(speed)
    @inline(never)
    private func closeDescriptors(_ kind: ReceivedDescriptors.Kind) {
        if !descriptors.isEmpty { descriptors.closeAll(kind) }
        descriptorsBegin = -1
    }

    /// The descriptors in hand came with a message that is still to be handed out.
    private var currentDescriptorsAreOthers: Bool { descriptorsBegin >= start }

    @_optimize(speed)
    @inline(__always)
    private func hand(out header: MessageHeader, _ length: Int) -> Arrival {
        let payload = unsafe UnsafeRawBufferPointer(rebasing: buffer[start &+ MessageHeader.size..<start &+ length])
        start = start &+ length
        partDeadline = nil
        return unsafe .message(header, payload)
    }

    @_optimize(speed)
    @inline(__always)
    private func header(at offset: Int) -> MessageHeader? {
        unsafe MessageHeader(UnsafeRawBufferPointer(rebasing: buffer[offset..<end]))
    }

    /// Reads once. nil: something came. The messages that were handed out are over.
    @_optimize(speed)
    @inline(never)
    private func fill() -> Arrival? {
        guard !account.isFull else { return waitForCloses() }
        isHeldUp = false
        if start == end {
            start = 0
            end = 0
            if unsafe buffer.count > usualLength { resize(to: usualLength) }
        } else {
            if start > 0 { moveToFront() }
            makeRoom()
        }
        let before = end
        let got: Int
        do throws(Errno) {
            if descriptors.isEmpty {
                got = try unsafe descriptors.receive(from: fd, into: UnsafeMutableRawBufferPointer(rebasing: buffer[end...]))
            } else {
                // The rest of that message and no more: the next one may come with descriptors of its own.
                let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[end..<min(end &+ missingBytes, buffer.count)])
                got = try unsafe receiveWithoutDescriptors(into: rest)
                if got < 0 { return .violation(.descriptorsInTheMiddle) }
            }
        } catch {
            return error.code == EAGAIN ? nothing() : .failed(error)
        }
        guard got > 0 else { return .closed }
        end = end &+ got
        if !descriptors.isEmpty, descriptorsBegin < 0 {
            guard let begin = lastMessageBeginning(atOrAfter: before) else { return .violation(.descriptorsInTheMiddle) }
            descriptorsBegin = begin
        }
        return nil
    }

    /// What the peer sent must be closed before the stream reads more.
    @inline(never)
    private func waitForCloses() -> Arrival {
        let now = Clock.now()
        if !isHeldUp { holdUp = (now &+ timeout, now) }
        if now >= holdUp.until { return .violation(.unclosed) }
        if now >= holdUp.retryAt {
            Closer.goOn()
            Log.tellWaiting()
        }
        holdUp.retryAt = now &+ MessageStream.pause
        isHeldUp = true
        return .nothing
    }

    /// The kernel takes no more descriptors of this user's, and nothing tells when it does again.
    func holdSendingUp() {
        isHeldUp = true
        holdUp.retryAt = Clock.now() &+ MessageStream.pause
    }

    /// Whether what is held up in sending may be tried again; it goes on if so.
    func mayGoOnSending() -> Bool {
        guard isHeldUp, unsentDescriptor != nil else { return true }
        guard Clock.now() >= holdUp.retryAt else { return false }
        isHeldUp = false
        return true
    }

    /// How many bytes are missing: of the header, or, if that is there, of the payload of the message that has begun.
    private var missingBytes: Int {
        let have = end &- start
        guard have >= MessageHeader.size, let header = header(at: start), let size = Int(exactly: header.size) else {
            return MessageHeader.size &- have
        }
        return MessageHeader.size &+ size &- have
    }

    /// The rest of a message that brought descriptors must not bring more. -1: it did.
    private func receiveWithoutDescriptors(into room: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        var more = ReceivedDescriptors(of: account)
        let got = try unsafe more.receive(from: fd, into: room)
        return more.isEmpty ? got : -1
    }

    @_optimize(speed)
    private func nothing() -> Arrival {
        guard end > start else { return .nothing }
        let now = Clock.now()
        guard let partDeadline else {
            self.partDeadline = now &+ timeout
            return .nothing
        }
        return now >= partDeadline ? .violation(.late) : .nothing
    }

    /// The start of the last message that begins at or after `offset`; nil: none does.
    @_optimize(speed)
    private func lastMessageBeginning(atOrAfter offset: Int) -> Int? {
        var at = start
        var last: Int?
        while at < end {
            if at >= offset { last = at }
            guard end &- at >= MessageHeader.size, let header = header(at: at), let size = Int(exactly: header.size),
                size <= longest
            else { break }
            at = at &+ MessageHeader.size &+ size
        }
        return last
    }

    /// Makes room for a message that has begun at the front. It is whole when as much has come as its header says.
    private func makeRoom() {
        guard let header = header(at: 0), let size = Int(exactly: header.size) else { return }
        let length = min(MessageHeader.size &+ size, longest)
        if unsafe length > buffer.count { resize(to: length) }
    }

    @inline(never)
    private func resize(to length: Int) {
        let other = UnsafeMutableRawBufferPointer.allocate(byteCount: length, alignment: 16)
        unsafe other.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<end]))
        unsafe buffer.deallocate()
        unsafe buffer = unsafe other
    }

    private func moveToFront() {
        let have = end &- start
        unsafe buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
        if descriptorsBegin >= start { descriptorsBegin = descriptorsBegin &- start }
        start = 0
        end = have
    }
}

extension ShmemError {
    /// The socket cannot be read or written any more. All calls report in the same way that the peer has gone.
    static func lost(_ doing: StaticString, _ what: StaticString, _ error: Vhushmem.Errno) -> ShmemError {
        ShmemError(
            error.code == EPIPE ? ECONNRESET : error.code,
            "\(doing) on \(what): \(Vhushmem.Errno.text(error.code)) (errno \(error.code))")
    }
}
