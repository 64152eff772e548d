// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct FrontendTests {
    private let backend: ScriptedBackend
    private let socket: Int32
    private let file: TestFile

    init() throws {
        let (peer, socket) = try Peer.pair()
        backend = ScriptedBackend(peer)
        self.socket = socket
        file = try makeMemfd(pages: 4)
    }

    /// The names of the events, and the error that ended the connection.
    private final class Events {
        var told: [String] = []
        var end: ShmemError?

        func note(_ event: FrontendEvent) {
            switch event {
            case .ready: told.append("ready")
            case .served(let request): told.append("\(request.kind) \(request.result)")
            case .configChanged: told.append("configChanged")
            case .reset: told.append("reset")
            case .broken(let mapping): told.append("broken \(mapping.offset)")
            case .healed(let mapping): told.append("healed \(mapping.offset)")
            case .channelLost: told.append("channelLost")
            case .disconnected(let error):
                told.append("disconnected")
                end = error
            }
        }
    }

    private func makeFrontend(_ options: FrontendOptions = FrontendOptions()) throws -> (Frontend, Events) {
        let frontend = try Frontend(socket: socket, options: options)
        let events = Events()
        frontend.onEvent = { events.note($1) }
        try frontend.start()
        takeTurns({ !events.told.isEmpty }, backend.step, { frontend.turn() })
        return (frontend, events)
    }

    private func ask(_ frontend: Frontend, _ bytes: [UInt8], descriptors: [Int32] = [], request: UInt32 = 9) -> Int64? {
        backend.channel?.send(bytes, descriptors: descriptors)
        frontend.turn()
        return backend.channel?.answer(to: request)
    }

    @Test func handshakeGivesTheRegionsOfTheBackEnd() throws {
        backend.sizes = [0: pageSize, 7: 4 * pageSize, 255: 1 << 21]
        let (frontend, events) = try makeFrontend()
        #expect(events.told == ["ready"] && frontend.isReady)
        #expect(frontend.device.allRegions.map(\.shmid) == [0, 7, 255])
        #expect(frontend.device.allRegions.map(\.size) == [pageSize, 4 * pageSize, 1 << 21])
        #expect(backend.asked == [1, 15, 16, 17, 21, 3, 1, 13, 14, 44])
        #expect(backend.acceptedFeatures == backend.protocolFeatures)
        #expect(frontend.maximumQueues == 4 && frontend.callDescriptor(queue: 0) != nil)
        #expect(frontend.callDescriptor(queue: 1) == nil && frontend.callDescriptor(queue: -1) == nil)
    }

    @Test func mapIsSeenThroughTheRegion() throws {
        let (frontend, events) = try makeFrontend()
        #expect(ask(frontend, mapMessage(offset: 0, length: pageSize), descriptors: [file.fd]) == 0)
        #expect(frontend.device.region(shmid: 0)?.withUnsafeBytes(at: 0, length: 1) { $0[0] } == 1)
        #expect(ask(frontend, unmapMessage(offset: 0, length: 1), request: 10) == Int64(-EINVAL))
        #expect(events.told == ["ready", "map 0", "unmap \(-EINVAL)"])
    }

    @Test func replyThatCameSinceTheLoopLookedIsReadBeforeTheChannel() throws {
        backend.ignores = 44
        let frontend = try Frontend(socket: socket)
        try frontend.start()
        takeTurns({ backend.asked.last == 44 }, backend.step, { frontend.turn() })
        // The loop saw the channel readable. Before it dispatches, the regions are told and the back-end asks for a map after
        // them.
        backend.channel?.send(unmapMessage(offset: 0, length: pageSize))
        backend.main.send(message(44, flags: 5, backend.configReply))
        backend.channel?.send(mapMessage(offset: 0, length: pageSize), descriptors: [file.fd])
        _ = frontend.dispatch(.second)
        #expect(backend.channel?.receiveMessage()?.payload == littleEndian(Int64(-ENOENT)))
        #expect(backend.channel?.receiveMessage()?.payload == littleEndian(0 as UInt64))
        #expect(frontend.device.mappingCount == 1)
    }

    @Test func oldShmemBitIsSpokenOnRequestOnly() throws {
        backend.protocolFeatures = backend.protocolFeatures & ~(1 << 22) | 1 << 20
        let (frontend, _) = try makeFrontend()
        #expect(frontend.isReady && frontend.device.allRegions.isEmpty)
        #expect(backend.acceptedFeatures & 1 << 20 == 0)
        let (peer, socket) = try Peer.pair()
        let old = ScriptedBackend(peer)
        old.protocolFeatures = backend.protocolFeatures
        var options = FrontendOptions()
        options.shmemBit = 20
        let other = try Frontend(socket: socket, options: options)
        try other.start()
        takeTurns({ other.isReady }, old.step, { other.turn() })
        #expect(other.device.allRegions.count == 1)
    }

    @Test func optionsThatCanNotBeAreRefusedAndTheSocketStaysTheCallers() throws {
        var options = FrontendOptions()
        for (bit, queues) in [(19, 1), (23, 1), (0, 1), (.max, 1), (22, 0), (22, 257), (22, .max)] as [(UInt32, UInt32)] {
            options.shmemBit = bit
            options.queues = queues
            #expect(refusal { () throws(ShmemError) in try Frontend(socket: socket, options: options) }?.code == EINVAL)
        }
        #expect(refusal { () throws(ShmemError) in try Frontend(socket: file.fd) }?.code == EINVAL)
        #expect(refusal { () throws(ShmemError) in try Frontend(socket: -1) }?.code == EBADF)
        #expect(isClosedOnExec(socket), "still open")
        close(socket)
    }

    @Test func answersThatCanNotBeEndTheHandshakeAndLeaveNoRegion() throws {
        let wrong: [UInt32: [[UInt8]]] = [
            1: [[], [1, 2, 3, 4]], 15: [[UInt8](repeating: 0, count: 9)], 16: [littleEndian(1 as UInt64)],
            17: [littleEndian(0 as UInt64)],
            21: [littleEndian(UInt64.max)], 44: [[UInt8](repeating: 0, count: 8), [UInt8](repeating: 0xff, count: 2056)],
        ]
        for (request, replies) in wrong {
            for reply in replies {
                let (peer, socket) = try Peer.pair()
                let backend = ScriptedBackend(peer)
                backend.replies[request] = reply
                let frontend = try Frontend(socket: socket)
                let events = Events()
                frontend.onEvent = { events.note($1) }
                try frontend.start()
                takeTurns({ events.end != nil || frontend.isReady }, backend.step, { frontend.turn() })
                // 16 is the last request without an acknowledgement: its answer comes where another reply is expected.
                #expect(events.told == ["disconnected"] && events.end?.code == EPROTO, "\(request): \(reply.count) bytes")
                #expect(frontend.device.allRegions.isEmpty && peer.reachesItsEnd())
                #expect(frontend.turn() == -ENOTCONN)
            }
        }
        close(socket)
    }

    @Test func backEndThatGoesEndsTheMappings() throws {
        let (frontend, events) = try makeFrontend()
        _ = ask(frontend, mapMessage(offset: 0, length: pageSize), descriptors: [file.fd])
        shutdown(backend.main.fd, Int32(SHUT_RDWR))
        frontend.turn()
        #expect(events.told == ["ready", "map 0", "disconnected"] && events.end?.code == ECONNRESET)
        #expect(frontend.device.mappingCount == 0 && frontend.device.region(shmid: 0) != nil)
    }

    @Test func mappingsOutliveTheBackEndWhereThatWasAskedFor() throws {
        var options = FrontendOptions()
        options.keepsMappings = true
        let (frontend, _) = try makeFrontend(options)
        _ = ask(frontend, mapMessage(offset: 0, length: pageSize), descriptors: [file.fd])
        shutdown(backend.main.fd, Int32(SHUT_RDWR))
        frontend.turn()
        #expect(!frontend.isReady && frontend.device.mappingCount == 1)
    }

    @Test func lostChannelEndsTheMappingsAndNotTheConnection() throws {
        let (frontend, events) = try makeFrontend()
        _ = ask(frontend, mapMessage(offset: 0, length: pageSize), descriptors: [file.fd])
        backend.channel?.send(message(9, flags: 3))
        frontend.turn()
        #expect(events.told == ["ready", "map 0", "channelLost"])
        #expect(frontend.isReady && frontend.device.mappingCount == 0)
        try frontend.reset()
    }

    @Test func resetIsCompleteWhenTheBackEndHasAnswered() throws {
        let (frontend, events) = try makeFrontend()
        _ = ask(frontend, mapMessage(offset: 0, length: pageSize), descriptors: [file.fd])
        try frontend.reset()
        #expect(frontend.device.mappingCount == 0 && events.told.last == "map 0")
        #expect(refusal { () throws(ShmemError) in try frontend.reset() }?.code == EALREADY)
        #expect(ask(frontend, mapMessage(offset: 0, length: pageSize), descriptors: [file.fd]) == Int64(-ECANCELED))
        takeTurns({ events.told.last == "reset" }, backend.step, { frontend.turn() })
        #expect(backend.asked.last == 34 && events.told.last == "reset")
        #expect(ask(frontend, mapMessage(offset: 0, length: pageSize), descriptors: [file.fd]) == 0)
    }

    @Test func resetThatCanNotBeToldIsCompleteAtOnce() throws {
        backend.protocolFeatures &= ~(1 << 13)
        let (frontend, events) = try makeFrontend()
        try frontend.reset()
        #expect(events.told == ["ready", "reset"])
    }

    @Test func givenRegionsAreNotAskedFor() throws {
        let frontend = try Frontend(socket: socket)
        try frontend.addRegion(shmid: 9, size: pageSize)
        try frontend.start()
        #expect(refusal { () throws(ShmemError) in try frontend.addRegion(shmid: 10, size: pageSize) }?.code == EBUSY)
        takeTurns({ frontend.isReady }, backend.step, { frontend.turn() })
        #expect(!backend.asked.contains(44) && frontend.device.allRegions.map(\.shmid) == [9])
    }

    @Test func connectThatGetsNoAnswerGivesUpInTime() throws {
        let frontend = try Frontend(socket: socket)
        let late = refusal { () throws(ShmemError) in try frontend.connectAndWait(timeout: .milliseconds(20)) }
        #expect(late?.code == ETIMEDOUT)
        #expect(late?.message.contains("GET_FEATURES") == true)
    }

    @Test func requestThatGetsNoAnswerEndsTheConnectionInTime() throws {
        close(socket)
        // On a busy machine a short limit may pass before the requests are answered. Then the test tries a longer one.
        for limit in [20, 200, 2000, 20000] as [UInt32] {
            let (peer, socket) = try Peer.pair()
            let backend = ScriptedBackend(peer)
            backend.ignores = 17
            var options = FrontendOptions()
            options.requestTimeout = .milliseconds(limit)
            let frontend = try Frontend(socket: socket, options: options)
            let events = Events()
            frontend.onEvent = { events.note($1) }
            try frontend.start()
            takeTurns({ false }, backend.step, { frontend.turn() })
            if events.end == nil, backend.asked.last == 17 {
                usleep(limit * 1000)
                frontend.turn()
                #expect(events.end?.code == ETIMEDOUT && events.end?.message.contains("GET_QUEUE_NUM") == true)
                return
            }
        }
        Issue.record("no request was answered in time")
    }

    @Test func startFailsWhereNobodyListens() throws {
        close(socket)
        let folder = try TestFolder()
        let frontend = try Frontend(path: folder.file("socket"))
        #expect(refusal { () throws(ShmemError) in try frontend.start() }?.code == ENOENT)
        #expect(
            refusal { () throws(ShmemError) in try Frontend(path: String(repeating: "x", count: 108)) }?.code == ENAMETOOLONG)
        #expect(frontend.turn() == -ENOTCONN)
    }

    @Test func callbackMayCloseTheFrontend() throws {
        let frontend = try Frontend(socket: socket)
        frontend.onEvent = { frontend, _ in frontend.close() }
        try frontend.start()
        takeTurns({ false }, backend.step, { frontend.turn() })
        #expect(frontend.turn() == -ENOTCONN && backend.main.reachesItsEnd())
    }

    @Test func descriptorTellsWhenThereIsWork() throws {
        let (frontend, _) = try makeFrontend()
        var target = pollfd(fd: try frontend.pollDescriptor(), events: Int16(POLLIN), revents: 0)
        #expect(poll(&target, 1, 0) == 0)
        backend.channel?.send(unmapMessage(offset: 0, length: pageSize))
        #expect(poll(&target, 1, Int32(patience / 1000)) == 1)
        #expect(frontend.turn() == 1)
        #expect(poll(&target, 1, 0) == 0)
    }
}
