// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct BackendTests {
    private let backend: Backend
    private let peer: Peer
    private let file: TestFile
    private let shmem: UInt64 = 1 << 22

    init() throws {
        try self.init(answerTimeout: UInt32(patience / 1000))
    }

    private init(answerTimeout: UInt32) throws {
        let (peer, socket) = try Peer.pair()
        self.peer = peer
        var options = BackendOptions()
        options.answerTimeout = .milliseconds(answerTimeout)
        options.queues = 2
        backend = try Backend(options)
        try backend.addRegion(shmid: 3, size: 64 * pageSize)
        try backend.attach(socket: socket)
        file = try makeMemfd(pages: 2)
    }

    /// Sends a request and returns the payload of its reply.
    private func ask(_ request: UInt32, _ payload: [UInt8] = [], flags: UInt32 = 1, descriptors: [Int32] = []) -> [UInt8]? {
        peer.send(message(request, flags: flags, payload), descriptors: descriptors)
        backend.turn()
        guard let reply = peer.receiveMessage(), reply.request == request, reply.flags == 5 else { return nil }
        return reply.payload
    }

    private func number(_ reply: [UInt8]?) -> UInt64? {
        reply.flatMap { withBytes($0) { $0.integer(at: 0, as: UInt64.self) } }
    }

    /// Shakes hands as far as maps need it, and returns the front-end's end of the channel.
    private func negotiate(replyAck: Bool = true) throws -> Peer {
        let features = shmem | 1 << 5 | (replyAck ? 1 << 3 : 0)
        #expect(ask(16, littleEndian(features)) == nil)
        let (channel, theirs) = try Peer.pair()
        _ = ask(21, flags: replyAck ? 9 : 1, descriptors: [theirs])
        close(theirs)
        #expect(ask(44)?.count == 2056)
        #expect(backend.isNegotiated)
        return channel
    }

    private func isDropped() -> Bool {
        peer.reachesItsEnd()
    }

    @Test func questionsAreAnswered() {
        #expect(number(ask(1)) == 1 << 26 | 1 << 30 | 1 << 32)
        let offered = number(ask(15)) ?? 0
        #expect(offered & (shmem | 1 << 3 | 1 << 5) == shmem | 1 << 3 | 1 << 5)
        #expect(ask(16, littleEndian(shmem | 1 << 0)) == nil)
        #expect(number(ask(17)) == 2)
        let config = ask(44).flatMap { withBytes($0) { SharedMemoryConfig($0) } }
        #expect(config?[3] == 64 * pageSize && config?.statedRegions == 1)
    }

    @Test func featuresThatWereNotOfferedEndTheConnection() {
        _ = ask(16, littleEndian(UInt64(1) << 63))
        #expect(isDropped())
    }

    @Test func messagesThatCanNotBeEndTheConnection() throws {
        let wrong: [(UInt32, [UInt8], [Int32])] = [
            (1, [1], []), (1, [], [file.fd]), (2, [], []), (2, [1, 2, 3, 4], []), (16, [UInt8](repeating: 0, count: 9), []),
            (21, [], []), (21, [], [file.fd]), (21, [1], [peer.fd]), (21, [], [peer.fd, peer.fd]), (3, [1], []),
            (13, littleEndian(0 as UInt64), []), (13, littleEndian(0x100 as UInt64), [file.fd]),
            (13, littleEndian(0x200 as UInt64), []), (13, [0], [file.fd]), (34, [0], []), (44, [0], []), (17, [0], []),
        ]
        for (request, payload, descriptors) in wrong {
            let (peer, socket) = try Peer.pair()
            let backend = try Backend()
            try backend.attach(socket: socket)
            var end: ShmemError?
            backend.onEvent = { if case .disconnected(let error) = $1 { end = error } }
            // The features that they need were negotiated; only their form is wrong.
            peer.send(message(16, littleEndian(shmem | 1 << 0 | 1 << 5 | 1 << 13)))
            peer.send(message(request, payload), descriptors: descriptors)
            backend.turn()
            #expect(end?.code == EPROTO, "\(request) with \(payload.count) bytes: \(end?.message ?? "taken")")
            #expect(peer.isClosed)
        }
    }

    @Test func requestThatIsNotServedIsRefusedWhereThatCanBeTold() throws {
        _ = ask(16, littleEndian(UInt64(1) << 3))
        #expect(number(ask(25, littleEndian(0 as UInt64), flags: 9)) == UInt64(bitPattern: Int64(-EOPNOTSUPP)))
        #expect(number(ask(39, littleEndian(0 as UInt64), flags: 9)) == UInt64(bitPattern: Int64(-EOPNOTSUPP)))
        #expect(number(ask(18, littleEndian(UInt64(2) << 32), flags: 9)) == UInt64(bitPattern: Int64(-EINVAL)))
        _ = ask(24)
        #expect(isDropped())
    }

    /// A program may repeat its requests: each time it gets the answers.
    @Test func mapsAreAskedForAgain() throws {
        let channel = try negotiate()
        var requests = (0..<3).map { MappingRequest.map(shmid: 3, fd: file.fd, at: UInt64($0) * pageSize, length: pageSize) }
        for answers in [[0, -EEXIST, 0], [-EEXIST, 0, -ENOSPC], [0, 0, 0]] as [[Int32]] {
            for answer in answers { channel.send(message(9, flags: 5, littleEndian(UInt64(bitPattern: Int64(answer))))) }
            try backend.perform(&requests)
            #expect(requests.map(\.result) == answers)
        }
    }

    @Test func mapNeedsAFrontEndThatServesIt() {
        let refused = refusal { () throws(ShmemError) in
            try backend.map(shmid: 3, fd: file.fd, at: 0, length: pageSize)
        }
        #expect(refused?.code == ENOTCONN)
    }

    @Test func mapIsOneMessageWithItsDescriptor() throws {
        let channel = try negotiate()
        channel.send(message(9, flags: 5, littleEndian(0 as UInt64)))
        try backend.map(shmid: 3, fd: file.fd, fileOffset: pageSize, at: 2 * pageSize, length: 5, writable: true)
        let sent = try #require(channel.receive())
        #expect(
            sent.bytes
                == mapMessage(shmid: 3, fileOffset: pageSize, offset: 2 * pageSize, length: 5, flags: 1))
        #expect(sent.descriptors.count == 1)
        channel.send(message(10, flags: 5, littleEndian(0 as UInt64)))
        try backend.unmap(shmid: 3, at: 2 * pageSize, length: 5)
        #expect(channel.receive()?.bytes == unmapMessage(shmid: 3, offset: 2 * pageSize, length: 5))
    }

    @Test(arguments: [(-17, EEXIST), (-4095, 4095), (-4096, EIO), (1, EIO), (.max, EIO), (.min, EIO)] as [(Int64, Int32)])
    func refusalBecomesItsErrno(answer: Int64, code: Int32) throws {
        let channel = try negotiate()
        channel.send(message(9, flags: 5, littleEndian(answer)))
        let refused = refusal { () throws(ShmemError) in
            try backend.map(shmid: 3, fd: file.fd, at: 0, length: pageSize)
        }
        #expect(refused?.code == code)
        #expect(backend.isNegotiated, "a refusal is no end")
    }

    @Test func answerThatCanNotBeClosesTheChannel() throws {
        for answer in [
            message(10, flags: 5, littleEndian(0 as UInt64)), message(9, flags: 1, littleEndian(0 as UInt64)),
            message(9, flags: 5, [0, 0, 0, 0]), message(9, flags: 6, littleEndian(0 as UInt64)),
        ] {
            let test = try BackendTests()
            let channel = try test.negotiate()
            channel.send(answer)
            let refused = refusal { () throws(ShmemError) in
                try test.backend.map(shmid: 3, fd: file.fd, at: 0, length: pageSize)
            }
            #expect(refused?.code == EPROTO)
            #expect(!test.backend.isNegotiated)
        }
    }

    @Test func answerThatDoesNotComeClosesTheChannel() throws {
        let test = try BackendTests(answerTimeout: 50)
        let channel = try test.negotiate()
        let late = refusal { () throws(ShmemError) in
            try test.backend.map(shmid: 3, fd: file.fd, at: 0, length: pageSize)
        }
        #expect(late?.code == ETIMEDOUT && !test.backend.isNegotiated)
        #expect(channel.reachesItsEnd())
    }

    @Test func descriptorThatIsNotOpenIsTheCallersMistakeAlone() throws {
        let channel = try negotiate()
        let refused = refusal { () throws(ShmemError) in try backend.map(shmid: 3, fd: -1, at: 0, length: pageSize) }
        #expect(refused?.code == EBADF && backend.isNegotiated && channel.receive() == nil)
    }

    @Test func withoutReplyAckNothingIsAwaited() throws {
        let channel = try negotiate(replyAck: false)
        try backend.map(shmid: 3, fd: file.fd, at: 0, length: pageSize)
        #expect(channel.receive()?.bytes == mapMessage(shmid: 3, offset: 0, length: pageSize, header: 1))
    }

    @Test func regionsAreSaidBeforeTheFrontEndComes() throws {
        #expect(refusal { () throws(ShmemError) in try backend.addRegion(shmid: 4, size: pageSize) }?.code == EBUSY)
        let idle = try Backend()
        try idle.addRegion(shmid: 4, size: pageSize)
        #expect(refusal { () throws(ShmemError) in try idle.addRegion(shmid: 4, size: pageSize) }?.code == EEXIST)
        for size in [0, 1, pageSize + 1, .max] as [UInt64] {
            #expect(refusal { () throws(ShmemError) in try idle.addRegion(shmid: 5, size: size) }?.code == EINVAL)
        }
    }

    @Test func listeningBackEndServesOneAfterAnother() throws {
        let folder = try TestFolder()
        let backend = try Backend()
        try backend.listen(at: folder.file("socket"))
        #expect(refusal { () throws(ShmemError) in try backend.connect(to: folder.file("socket")) }?.code == EBUSY)
        for _ in 0..<3 {
            let frontend = try Frontend(path: folder.file("socket"))
            try frontend.start()
            takeTurns({ frontend.isReady }, { backend.turn() }, { frontend.turn() })
            #expect(frontend.isReady && backend.isNegotiated)
            frontend.close()
            backend.turn()
            #expect(!backend.isNegotiated)
        }
        backend.close()
        #expect(access(folder.file("socket"), F_OK) != 0)
    }

    @Test func frontEndAndBackEndOfTheLibraryUnderstandEachOther() throws {
        let (peer, socket) = try Peer.pair()
        let backend = try Backend()
        try backend.addRegion(shmid: 1, size: 16 * pageSize)
        try backend.attach(socket: dup(peer.fd))
        let frontend = try Frontend(socket: socket)
        try frontend.start()
        takeTurns({ frontend.isReady }, { backend.turn() }, { frontend.turn() })
        #expect(backend.protocolFeatures == frontend.protocolFeatures)
        #expect(frontend.device.region(shmid: 1)?.size == 16 * pageSize)
    }
}
