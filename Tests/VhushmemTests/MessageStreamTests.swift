// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct MessageStreamTests {
    private let peer: Peer
    private let stream: MessageStream
    private let file: TestFile

    /// Room for messages of 100 bytes.
    init() throws {
        let (peer, socket) = try Peer.pair()
        self.peer = peer
        stream = MessageStream(socket: OwnedDescriptor(owning: socket), capacity: 100, timeout: patience)
        file = try makeMemfd(pages: 1)
    }

    /// The result of `receive`, in a form that outlives the next call.
    private enum Got: Equatable {
        case message(UInt32, [UInt8], descriptors: Int)
        case nothing, closed
        case failed(Int32)
        case violation(Int32, String)
    }

    private func receive(from stream: MessageStream? = nil) -> Got {
        let stream = stream ?? self.stream
        switch stream.receive() {
        case .message(let header, let payload):
            return .message(header.request, Array(payload), descriptors: stream.descriptorCount)
        case .nothing: return .nothing
        case .closed: return .closed
        case .failed(let error): return .failed(error.code)
        case .violation(let violation): return .violation(violation.code, violation.sentence)
        }
    }

    /// Takes the first descriptor, which is closed at once.
    private var takesDescriptor: Bool { stream.takeFirstDescriptor() != nil }

    @Test func messageIsHandedOutWhole() {
        peer.send(message(7, [1, 2, 3]))
        #expect(receive() == .message(7, [1, 2, 3], descriptors: 0))
        #expect(receive() == .nothing)
    }

    @Test func messageMayComeInTwoPiecesCutAnywhere() {
        let bytes = mapMessage(offset: 0, length: 1)
        for cut in 1..<bytes.count {
            peer.send(Array(bytes.prefix(cut)), descriptors: [file.fd])
            #expect(receive() == .nothing, "cut at \(cut)")
            #expect(stream.deadline != nil)
            peer.send(Array(bytes.dropFirst(cut)))
            #expect(receive() == .message(9, Array(bytes.dropFirst(12)), descriptors: 1), "cut at \(cut)")
            #expect(stream.deadline == nil)
            #expect(takesDescriptor)
        }
    }

    @Test func messageMayComeByteByByte() {
        let bytes = message(3, [1, 2, 3, 4, 5])
        for byte in bytes.dropLast() {
            peer.send([byte])
            #expect(receive() == .nothing)
        }
        peer.send([bytes[bytes.count - 1]])
        #expect(receive() == .message(3, [1, 2, 3, 4, 5], descriptors: 0))
    }

    @Test func gluedMessagesAreTakenOneByOne() {
        peer.send(message(1) + message(2, [2]) + message(3, [3, 3]))
        #expect(!stream.hasBufferedMessage)
        #expect(receive() == .message(1, [], descriptors: 0))
        #expect(stream.hasBufferedMessage)
        #expect(receive() == .message(2, [2], descriptors: 0))
        #expect(receive() == .message(3, [3, 3], descriptors: 0))
        #expect(!stream.hasBufferedMessage)
        #expect(receive() == .nothing)
    }

    @Test func descriptorsBelongToTheMessageThatTheyCameWith() {
        peer.send(message(1, [1]))
        peer.send(message(2, [2]), descriptors: [file.fd, file.fd])
        peer.send(message(3, [3]))
        peer.send(message(4, [4]), descriptors: [file.fd])
        #expect(receive() == .message(1, [1], descriptors: 0))
        #expect(stream.firstDescriptor == nil && !stream.hasDescriptors)
        #expect(receive() == .message(2, [2], descriptors: 2))
        #expect(receive() == .message(3, [3], descriptors: 0))
        #expect(receive() == .message(4, [4], descriptors: 1))
    }

    @Test func descriptorsBehindThreeMessagesInOneReadStayWithTheirs() {
        // One read brings them all: 12 + 12 + 12 bytes, and the descriptors of the last.
        peer.send(message(1) + message(2))
        peer.send(message(3), descriptors: [file.fd])
        #expect(receive() == .message(1, [], descriptors: 0))
        #expect(receive() == .message(2, [], descriptors: 0))
        #expect(receive() == .message(3, [], descriptors: 1))
        #expect(takesDescriptor)
        #expect(receive() == .nothing)
    }

    @Test func descriptorsThatNobodyTookAreClosedWithTheirMessage() throws {
        let (watched, given) = try Peer.pair()
        peer.send(message(1), descriptors: [given])
        close(given)
        #expect(receive() == .message(1, [], descriptors: 1))
        #expect(watched.isOpen)
        #expect(receive() == .nothing)
        #expect(watched.isClosed)
    }

    @Test func descriptorsGoWithTheStream() throws {
        let (watched, given) = try Peer.pair()
        let (peer, socket) = try Peer.pair()
        do {
            let stream = MessageStream(socket: OwnedDescriptor(owning: socket), capacity: 100, timeout: patience)
            peer.send(Array(message(1, [1]).prefix(5)), descriptors: [given])
            close(given)
            #expect(receive(from: stream) == .nothing)
            #expect(watched.isOpen)
        }
        #expect(watched.isClosed)
    }

    @Test func messageThatTheBufferCutsDoesNotMixItsDescriptorsWithTheNextOnes() {
        // 100 bytes of room: one read ends in the middle of the second message, and brings its descriptors.
        peer.send(message(1, [UInt8](repeating: 0, count: 60)))
        for request in 2...4 as ClosedRange<UInt32> {
            peer.send(message(request, [UInt8](repeating: 0, count: 40)), descriptors: [file.fd])
        }
        #expect(receive() == .message(1, [UInt8](repeating: 0, count: 60), descriptors: 0))
        for request in 2...4 as ClosedRange<UInt32> {
            #expect(receive() == .message(request, [UInt8](repeating: 0, count: 40), descriptors: 1))
        }
    }

    @Test func everyCutOfAMessageBeforeAnotherWithDescriptorsIsFine() {
        let bytes = mapMessage(offset: 0, length: 1)
        for cut in 1..<bytes.count {
            peer.send(Array(bytes.prefix(cut)), descriptors: [file.fd])
            #expect(receive() == .nothing)
            peer.send(Array(bytes.dropFirst(cut)))
            peer.send(message(2), descriptors: [file.fd, file.fd])
            #expect(receive() == .message(9, Array(bytes.dropFirst(12)), descriptors: 1), "cut at \(cut)")
            #expect(receive() == .message(2, [], descriptors: 2))
        }
    }

    @Test func descriptorsInTheMiddleOfAMessageAreAViolation() {
        let bytes = message(1, [1, 2, 3])
        peer.send(Array(bytes.prefix(13)))
        #expect(receive() == .nothing)
        peer.send(Array(bytes.dropFirst(13)), descriptors: [file.fd])
        #expect(receive() == .violation(EPROTO, "file descriptors in the middle of a message"))
    }

    @Test func descriptorsTwiceInOneMessageAreAViolation() {
        let bytes = message(1, [1, 2, 3])
        peer.send(Array(bytes.prefix(13)), descriptors: [file.fd])
        #expect(receive() == .nothing)
        peer.send(Array(bytes.dropFirst(13)), descriptors: [file.fd])
        #expect(receive() == .violation(EPROTO, "file descriptors in the middle of a message"))
    }

    @Test func longestMessageIsTakenAndALongerOneIsAViolation() throws {
        peer.send(message(1, [UInt8](repeating: 5, count: 88)))
        #expect(receive() == .message(1, [UInt8](repeating: 5, count: 88), descriptors: 0))
        for size in [89, UInt32.max] {
            let (peer, socket) = try Peer.pair()
            let stream = MessageStream(socket: OwnedDescriptor(owning: socket), capacity: 100, timeout: patience)
            peer.send(littleEndian(1 as UInt32) + littleEndian(1 as UInt32) + littleEndian(size))
            #expect(receive(from: stream) == .violation(EPROTO, "a message of \(size) bytes where the longest has 88"))
        }
    }

    @Test(arguments: [0, 2, 3, 0xffff_fffe] as [UInt32])
    func otherVersionIsAViolation(flags: UInt32) {
        peer.send(message(1, flags: flags))
        guard case .violation(EPROTO, _) = receive() else {
            Issue.record("version \(flags & 3) was taken")
            return
        }
    }

    @Test func messageThatIsNotFinishedInTimeIsAViolation() throws {
        let (peer, socket) = try Peer.pair()
        let stream = MessageStream(socket: OwnedDescriptor(owning: socket), capacity: 100, timeout: 1000)
        peer.send(Array(message(1).prefix(11)))
        #expect(receive(from: stream) == .nothing)
        let deadline = try #require(stream.deadline)
        while Clock.now() < deadline { usleep(100) }
        #expect(receive(from: stream) == .violation(ETIMEDOUT, "a message that was begun and not finished in time"))
    }

    @Test func deadlineDoesNotMoveWithEveryByte() throws {
        peer.send([1])
        _ = receive()
        let deadline = stream.deadline
        peer.send([0])
        _ = receive()
        #expect(deadline != nil && stream.deadline == deadline)
    }

    @Test func messageIsGoodEvenWhenThePeerHasGone() throws {
        let (peer, socket) = try Peer.pair()
        let stream = MessageStream(socket: OwnedDescriptor(owning: socket), capacity: 100, timeout: patience)
        peer.send(message(1))
        shutdown(peer.fd, Int32(SHUT_WR))
        #expect(receive(from: stream) == .message(1, [], descriptors: 0))
        #expect(receive(from: stream) == .closed)
        #expect(receive(from: stream) == .closed)
    }

    @Test func waitingBytesAreThoseInTheKernelAndInTheBuffer() {
        peer.send(message(1) + message(2, [1, 2]))
        #expect(stream.waitingBytes() == 26)
        _ = receive()
        #expect(stream.waitingBytes() == 14)
        peer.send(message(3))
        #expect(stream.waitingBytes() == 26)
    }

    @Test func whatTheSocketDoesNotTakeWaitsAndGoesInOrder() throws {
        let block = message(1, [UInt8](repeating: 7, count: 60_000))
        var sent = 0
        while !stream.hasUnsent {
            #expect(withBytes(block) { stream.send($0) } == .done)
            sent += 1
        }
        #expect(withBytes(message(2)) { stream.send($0) } == .done)
        #expect(withBytes(message(3)) { stream.send($0, descriptor: file.fd) } == .later)
        var bytes: [UInt8] = []
        while stream.hasUnsent || bytes.count < sent * block.count + 12 {
            guard let piece = peer.receive(most: 1 << 20) else {
                Issue.record("\(bytes.count) bytes came, and no more")
                return
            }
            bytes += piece.bytes
            #expect(stream.flush() == .done)
        }
        #expect(bytes == Array(repeatElement(block, count: sent).joined()) + message(2))
        #expect(withBytes(message(3)) { stream.send($0, descriptor: file.fd) } == .done)
    }

    @Test func sendingToNobodyFailsWithoutASignal() {
        shutdown(peer.fd, Int32(SHUT_RDWR))
        #expect(withBytes(message(1)) { stream.send($0) } == .failed(Errno(EPIPE)))
    }
}
