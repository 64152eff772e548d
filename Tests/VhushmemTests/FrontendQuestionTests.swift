// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

/// Requests that few devices need, in their Swift form.
@Suite struct FrontendQuestionTests {
    private let frontend: Frontend
    private let backend: ScriptedBackend
    private let file: TestFile

    init() throws {
        let (peer, socket) = try Peer.pair()
        backend = ScriptedBackend(peer)
        backend.protocolFeatures |= 1 << 1 | 1 << 6 | 1 << 14 | 1 << 18 | 1 << 19
        file = try makeMemfd(pages: 1)
        var options = FrontendOptions()
        options.sharedObjects = SharedObjects()
        options.protocolFeatures = ProtocolFeatures(rawValue: .max)
        frontend = try Frontend(socket: socket, options: options)
        try frontend.start()
        let (frontend, backend) = (frontend, backend)
        takeTurns({ frontend.isReady }, backend.step, { frontend.turn() })
    }

    private func answer<Answer>(to question: FrontendQuestion<Answer>) throws -> Result<Answer, ShmemError>? {
        var answer: Result<Answer, ShmemError>?
        try frontend.ask(question) { answer = $0 }
        takeTurns({ answer != nil }, backend.step, { frontend.turn() })
        return answer
    }

    @Test func logQueueAndObjectQuestionsAreAsked() throws {
        backend.replies[6] = littleEndian(0 as UInt64)
        backend.replies[41] = [UInt8](repeating: 0, count: 16)
        #expect(try answer(to: .setLog(fd: file.fd, offset: 0, length: 4096)) != nil)
        #expect(backend.asked.last == 6)
        #expect(try answer(to: .setLogDescriptor(file.fd)) != nil)
        #expect(backend.asked.last == 7)
        #expect(try answer(to: .setEndian(ofQueue: 0, isBigEndian: true)) != nil)
        #expect(backend.asked.last == 23)
        #expect(try answer(to: .kick(queue: 0)) != nil)
        #expect(backend.asked.last == 35)
        guard case .failure(let error) = try answer(to: FrontendQuestion<FrontendReply>.sharedObject([UInt8](0..<16))) else {
            Issue.record("an object without a file was found")
            return
        }
        #expect(error.code == ENOENT && backend.asked.last == 41)
        #expect(refusal { () throws(ShmemError) in try FrontendQuestion<FrontendReply>.sharedObject([1]) }?.code == EINVAL)
    }

    @Test func queuesThatAreNotThereAreRefused() {
        for queue in [-1, 1, Int.max] {
            let refused = refusal { () throws(ShmemError) in try frontend.ask(.kick(queue: queue)) { _ in } }
            #expect(refused?.code == EINVAL)
        }
    }

    @Test func anyRequestIsSentAndItsReplyHandedOut() throws {
        backend.replies[77] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
        var outcome: Result<FrontendReply, ShmemError>?
        try frontend.request(77, [9], descriptors: [file.fd], reply: .payload()) { outcome = $0 }
        takeTurns({ outcome != nil }, backend.step, { frontend.turn() })
        let reply = try #require(outcome).get()
        #expect(reply.payload == [1, 2, 3, 4, 5, 6, 7, 8, 9] && reply.value == 0x0807_0605_0403_0201 && reply.fd == nil)
        let refused = refusal { () throws(ShmemError) in try frontend.request(2) { _ in } }
        #expect(refused?.code == EINVAL, "SET_FEATURES is the library's own business")
        let long = refusal { () throws(ShmemError) in try frontend.request(77, [UInt8](repeating: 0, count: 4097)) { _ in } }
        #expect(long?.code == EINVAL)
    }

    @Test func stateIsTransferredWithoutWaiting() throws {
        backend.replies[42] = littleEndian(0x100 as UInt64)
        var outcome: Result<FrontendReply, ShmemError>?
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        defer { close(ends[0]) }
        try frontend.transferState(.save, through: OwnedDescriptor(owning: ends[1])) { outcome = $0 }
        takeTurns({ outcome != nil }, backend.step, { frontend.turn() })
        #expect(try #require(outcome).get().fd == nil)
        #expect(backend.asked.last == 42)
        // The back-end closes its end when it is done. Then the pipe is at its end, since the front-end kept none.
        var byte: UInt8 = 0
        #expect(read(ends[0], &byte, 1) == 0)
    }
}
