// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

/// An object that a program drops goes, whatever is under way. A loop learns that there is nothing left to wait for.
@Suite struct LifetimeTests {
    /// Drops an object and tells whether anything keeps it.
    private struct Watched<Object: AnyObject> {
        weak var object: Object?
        var isGone: Bool { object == nil }
    }

    private func makeFrontend(
        _ backend: ScriptedBackend, _ socket: Int32, _ options: FrontendOptions = FrontendOptions()
    ) throws -> Frontend {
        let frontend = try Frontend(socket: socket, options: options)
        try frontend.start()
        takeTurns({ frontend.isReady }, backend.step, { frontend.turn() })
        try #require(frontend.isReady)
        return frontend
    }

    private func isReadable(_ fd: Int32) -> Bool {
        var target = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        return poll(&target, 1, 0) == 1
    }

    // MARK: A front-end that is dropped

    @Test(arguments: [1, 15, 21, 44] as [UInt32]) func frontendGoesInTheMidstOfItsHandshake(ignored: UInt32) throws {
        let (peer, socket) = try Peer.pair()
        let backend = ScriptedBackend(peer)
        backend.ignores = ignored
        func begin() throws -> Watched<Frontend> {
            let frontend = try Frontend(socket: socket)
            try frontend.start()
            takeTurns({ backend.asked.last == ignored }, backend.step, { frontend.turn() })
            return Watched(object: frontend)
        }
        #expect(try begin().isGone)
        #expect(peer.reachesItsEnd())
    }

    /// A front-end's requests that do not wait.
    enum Asking: CaseIterable {
        case status, deviceReset, start, stop, memory, enable, inflightArea, reset
    }

    /// How calls ended, each once: an errno, or 0.
    private final class Outcomes {
        private(set) var codes: [Int32] = []
        func note(_ error: ShmemError?) { codes.append(error?.code ?? 0) }
        func note<Success>(_ result: Result<Success, ShmemError>) {
            if case .failure(let error) = result { note(error) } else { codes.append(0) }
        }
    }

    private func begin(_ asking: Asking, _ frontend: Frontend, _ outcomes: Outcomes) throws {
        let pipe = try makeMemfd(pages: 2)
        if [.stop, .enable, .memory].contains(asking) {
            let queue = try FrontendQueue(size: 4, descriptors: 0, available: 0x1000, used: 0x2000, kickFd: pipe.fd)
            (frontend.setup.run, frontend.setup.queues) = (.started, [queue])
        }
        switch asking {
        case .status: try frontend.ask(FrontendQuestion<UInt8>.status()) { outcomes.note($0) }
        case .deviceReset: try frontend.ask(FrontendQuestion<Void>.setStatus(0)) { outcomes.note($0) }
        case .start: try frontend.startDevice(features: 1 << 32, queues: []) { outcomes.note($0) }
        case .stop: try frontend.stopDevice { outcomes.note($0) }
        case .memory:
            let range = try GuestMemory(
                guestAddress: 0, length: pageSize, userAddress: pageSize, fd: pipe.fd, fileOffset: 0)
            try frontend.setMemory([range]) { outcomes.note($0) }
        case .enable: try frontend.setQueueEnabled(0, true) { outcomes.note($0) }
        case .inflightArea: try frontend.makeInflightArea(queues: 1, queueSize: 4) { outcomes.note($0) }
        case .reset:
            try frontend.reset()
            outcomes.note(ShmemError(ECONNABORTED, ""))
        }
    }

    @Test(arguments: Asking.allCases) func frontendGoesWhateverItAsks(asking: Asking) throws {
        let (peer, socket) = try Peer.pair()
        let backend = ScriptedBackend(peer)
        backend.protocolFeatures |= 1 << 12 | 1 << 15 | 1 << 16
        let outcomes = Outcomes()
        let file = try makeMemfd(pages: 1)
        let device: ShmemDevice
        do {
            let frontend = try makeFrontend(backend, socket)
            device = frontend.device
            try device.region(shmid: 0)?.map(fd: file.fd, at: 0, length: pageSize)
            try begin(asking, frontend, outcomes)
            #expect(asking == .reset || outcomes.codes.isEmpty)
        }
        #expect(outcomes.codes == [ECONNABORTED])
        #expect(peer.reachesItsEnd() && backend.channel?.reachesItsEnd() == true)
        #expect(device.mappingCount == 0)
    }

    @Test func startThatWaitsForAChangeOfMemoryEndsWithTheFrontEnd() throws {
        let (peer, socket) = try Peer.pair()
        let backend = ScriptedBackend(peer)
        let outcomes = Outcomes()
        do {
            let frontend = try makeFrontend(backend, socket)
            // The state while an earlier change is still being told.
            frontend.setup.memory.whenTold = { outcomes.note(.notConnected) }
        }
        #expect(outcomes.codes == [ENOTCONN])
    }

    @Test func frontendGoesWithRequestsThatWaitForTheirTurn() throws {
        let (peer, socket) = try Peer.pair()
        let backend = ScriptedBackend(peer)
        backend.protocolFeatures |= 1 << 16
        let outcomes = Outcomes()
        do {
            let frontend = try makeFrontend(backend, socket)
            for _ in 0..<100 { try frontend.ask(FrontendQuestion<UInt8>.status()) { outcomes.note($0) } }
        }
        #expect(outcomes.codes == [Int32](repeating: ECONNABORTED, count: 100))
    }

    @Test func completionThatWaitsForACallbackIsCalledAtTheLatestWhenTheFrontEndGoes() throws {
        let (peer, socket) = try Peer.pair()
        let backend = ScriptedBackend(peer)
        backend.protocolFeatures |= 1 << 16
        let outcomes = Outcomes()
        do {
            let frontend = try makeFrontend(backend, socket)
            // The state while a callback runs that has not returned: the answer has to wait.
            try frontend.ask(FrontendQuestion<Void>.setStatus(1)) { outcomes.note($0) }
            frontend.eventQueue.begin()
            takeTurns({ frontend.eventQueue.completions > 0 }, backend.step, { frontend.turn() })
            frontend.eventQueue.end()
            #expect(outcomes.codes.isEmpty)
        }
        #expect(outcomes.codes == [0])
    }

    @Test func sharedRegionKeepsNoFrontEnd() throws {
        let (peer, socket) = try Peer.pair()
        let backend = ScriptedBackend(peer)
        backend.protocolFeatures |= 1 << 15
        weak var region: Region?
        let file = try makeMemfd(pages: 1)
        do {
            var options = FrontendOptions()
            options.region.keepsFiles = true
            let frontend = try makeFrontend(backend, socket, options)
            let shared = try #require(frontend.device.region(shmid: 0))
            region = shared
            try frontend.shareRegion(shared, at: 1 << 32)
            try shared.map(fd: file.fd, at: 0, length: pageSize)
            frontend.setup.run = .started
            takeTurns({ frontend.sharedMappings(of: shared) == 1 }, { frontend.turn() })
        }
        #expect(region == nil && peer.reachesItsEnd())
    }

    @Test func lookUpKeepsNeitherTheOneThatAsksNorItsChannel() throws {
        let objects = SharedObjects()
        let name = [UInt8](repeating: 7, count: 16)
        var options = FrontendOptions()
        options.sharedObjects = objects
        let pairs = try (Peer.pair(), Peer.pair())
        let backends = [ScriptedBackend(pairs.0.peer), ScriptedBackend(pairs.1.peer)]
        for backend in backends { backend.protocolFeatures |= 1 << 18 }
        let owner = try makeFrontend(backends[0], pairs.0.socket, options)
        backends[0].channel?.send(message(BackendRequest.sharedObjectAdd, flags: 9, name))
        owner.turn()
        #expect(objects.count == 1)
        do {
            let asking = try makeFrontend(backends[1], pairs.1.socket, options)
            backends[1].channel?.send(message(BackendRequest.sharedObjectLookup, flags: 9, name))
            asking.turn()
            #expect(owner.connection?.waitingRequests == 1)
        }
        #expect(backends[1].channel?.reachesItsEnd() == true)
        // The answer finds nobody.
        takeTurns({ owner.connection?.waitingRequests == 0 }, backends[0].step, { owner.turn() })
        #expect(owner.isReady)
    }

    // MARK: Callbacks

    @Test func callbackThatHoldsItsFrontEndGoesWithTheConnection() throws {
        let (peer, socket) = try Peer.pair()
        let backend = ScriptedBackend(peer)
        let outcomes = Outcomes()
        var frontend = try makeFrontend(backend, socket) as Frontend?
        let watched = Watched(object: frontend)
        do {
            let held = frontend
            frontend?.onEvent = { _, event in
                if case .disconnected(let error) = event { outcomes.note(held?.isReady == false ? error : nil) }
            }
            frontend?.onRequest = { [held] _, _ throws(ShmemError) in
                guard held == nil else { throw ShmemError(.notPermitted) }
                return .done
            }
        }
        backend.main.shutDown()
        frontend?.turn()
        #expect(outcomes.codes == [ECONNRESET] && frontend?.onEvent == nil && frontend?.onRequest == nil)
        frontend = nil
        #expect(watched.isGone)
    }

    @Test func endOfAConnectionIsToldBeforeTheCallbackGoesThoughItHasToWait() throws {
        let (peer, socket) = try Peer.pair()
        let backend = ScriptedBackend(peer)
        let frontend = try makeFrontend(backend, socket)
        let outcomes = Outcomes()
        backend.main.shutDown()
        // Nobody has asked for events yet.
        frontend.turn()
        frontend.onEvent = { _, event in
            if case .disconnected(let error) = event { outcomes.note(error) }
        }
        #expect(frontend.onEvent != nil)
        #expect(refusal(frontend.dispatch)?.code == ENOTCONN)
        #expect(outcomes.codes == [ECONNRESET] && frontend.onEvent == nil)
        frontend.onEvent = { _, _ in }
        #expect(frontend.onEvent == nil)
    }

    @Test func callbacksOfAFrontEndThatLooksForItsBackEndAgainStay() throws {
        let folder = try TestFolder()
        var options = FrontendOptions()
        options.reconnectInterval = .seconds(1)
        options.isServer = true
        let frontend = try Frontend(path: folder.file("socket"), options: options)
        frontend.onEvent = { _, _ in }
        try frontend.start()
        let backend = ScriptedBackend(Peer(try Socket.connect(to: SocketPath(folder.file("socket"))).release()))
        takeTurns({ frontend.isReady }, { frontend.turn() }, backend.step)
        backend.main.shutDown()
        takeTurns({ !frontend.isReady }, { frontend.turn() })
        #expect(!frontend.isReady && frontend.onEvent != nil)
    }

    @Test func callbackThatHoldsItsChannelGoesWithIt() throws {
        let (peer, socket) = try Peer.pair()
        var channel = try ShmemChannel(socket: socket, device: ShmemDevice()) as ShmemChannel?
        let watched = Watched(object: channel)
        do {
            let held = channel
            channel?.onEvent = { _, _ in _ = held?.isOpen }
            channel?.onRequest = { _, _ throws(ShmemError) in
                guard held == nil else { throw ShmemError(.notPermitted) }
                return .done
            }
        }
        peer.shutDown()
        channel?.turn()
        channel = nil
        #expect(watched.isGone)
    }

    @Test func channelThatIsDroppedIsClosedAndItsMappingsGo() throws {
        let (peer, socket) = try Peer.pair()
        let device = ShmemDevice()
        try device.addRegion(shmid: 0, size: 4 * pageSize)
        let file = try makeMemfd(pages: 1)
        do {
            let channel = try ShmemChannel(socket: socket, device: device)
            channel.onRequest = { _, _ in .done }
            peer.send(mapMessage(offset: 0, length: pageSize), descriptors: [file.fd])
            channel.turn()
            #expect(device.mappingCount == 1)
        }
        #expect(device.mappingCount == 0 && peer.reachesItsEnd())
    }

    // MARK: Back-ends

    private func makeBackend(_ peer: Peer, _ socket: Int32) throws -> (Backend, Peer) {
        let backend = try Backend()
        try backend.addRegion(shmid: 0, size: 4 * pageSize)
        try backend.attach(socket: socket)
        let (channel, theirs) = try Peer.pair()
        peer.send(message(16, littleEndian(UInt64(1 << 22 | 1 << 5 | 1 << 3))))
        peer.send(message(21, flags: 9), descriptors: [theirs])
        peer.send(message(44))
        close(theirs)
        takeTurns({ backend.isNegotiated }, { backend.turn() })
        try #require(backend.isNegotiated)
        return (backend, channel)
    }

    @Test func backendGoesAndTellsWhatBecameOfItsCalls() throws {
        let (peer, socket) = try Peer.pair()
        let file = try makeMemfd(pages: 1)
        let outcomes = Outcomes()
        let channel: Peer
        do {
            let backend: Backend
            (backend, channel) = try makeBackend(peer, socket)
            for _ in 0..<100 {
                try backend.map(shmid: 0, fd: file.fd, at: 0, length: pageSize) { outcomes.note($0) }
            }
            #expect(outcomes.codes.isEmpty)
        }
        #expect(outcomes.codes == [Int32](repeating: ENOTCONN, count: 100))
        #expect(peer.reachesItsEnd() && channel.reachesItsEnd())
    }

    @Test func callThatIsKeptKeepsNothingOfWhoAsked() {
        var outcomes: Outcomes? = Outcomes()
        let watched = Watched(object: outcomes)
        let call = BackendCall(.other(id: 1, payload: [], hasReply: false)) { [outcomes] in outcomes?.note($0.failure) }
        call.complete(.failure(ShmemError(ENOTCONN, "it has gone")))
        #expect(outcomes?.codes == [ENOTCONN])
        outcomes = nil
        #expect(watched.isGone)
    }

    @Test func callbacksThatHoldTheirBackEndGoWithItsConnection() throws {
        let (peer, socket) = try Peer.pair()
        var backend = try Backend() as Backend?
        let watched = Watched(object: backend)
        let outcomes = Outcomes()
        do {
            let held = backend
            backend?.onEvent = { _, event in
                if case .disconnected(let error) = event { outcomes.note(held == nil ? nil : error) }
            }
            var handlers = BackendHandlers()
            handlers.status = { _, _ in _ = held }
            try backend?.setHandlers(handlers)
        }
        try backend?.attach(socket: socket)
        backend?.turn()
        peer.shutDown()
        backend?.turn()
        #expect(outcomes.codes == [ECONNRESET] && backend?.handlers.status == nil)
        let (_, other) = try Peer.pair()
        #expect(refusal { () throws(ShmemError) in try backend?.attach(socket: other) }?.code == EINVAL)
        backend?.onEvent = { _, _ in }
        try backend?.attach(socket: other)
        backend = nil
        #expect(watched.isGone)
    }

    // MARK: The end of a loop

    /// A loop as a program would naturally write it.
    private func loop(_ descriptor: Int32, _ dispatch: () throws(ShmemError) -> Int) -> (code: Int32, turns: Int) {
        for turns in 1...100 {
            var target = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&target, 1, Int32(patience / 1000)) == 1 else { return (0, turns) }
            if let error = refusal(dispatch) { return (error.code, turns) }
        }
        return (0, 100)
    }

    @Test func loopOfAFrontEndEnds() throws {
        let (peer, socket) = try Peer.pair()
        let backend = ScriptedBackend(peer)
        let frontend = try Frontend(socket: socket)
        #expect(refusal(frontend.dispatch)?.code == ENOTCONN)
        try frontend.start()
        takeTurns({ frontend.isReady }, backend.step, { frontend.turn() })
        backend.main.shutDown()
        let descriptor = try frontend.pollDescriptor()
        #expect(loop(descriptor, frontend.dispatch) == (ENOTCONN, 2))
        frontend.close()
        #expect(loop(descriptor, frontend.dispatch) == (ENOTCONN, 1))
    }

    @Test func loopOfAChannelEnds() throws {
        let (peer, socket) = try Peer.pair()
        let channel = try ShmemChannel(socket: socket, device: ShmemDevice())
        let descriptor = try channel.pollDescriptor()
        peer.shutDown()
        #expect(loop(descriptor, channel.dispatch) == (ENOTCONN, 2))
    }

    @Test func loopOfABackEndEndsUnlessItListens() throws {
        let (peer, socket) = try Peer.pair()
        let backend = try Backend()
        let descriptor = try backend.pollDescriptor()
        #expect(!isReadable(descriptor))
        try backend.attach(socket: socket)
        peer.shutDown()
        let ended = loop(descriptor, backend.dispatch)
        #expect(ended.code == ENOTCONN && ended.turns <= 3)
        let folder = try TestFolder()
        try backend.listen(at: folder.file("socket"))
        #expect(!isReadable(descriptor))
        #expect(try backend.dispatch() == 0)
    }

    /// A child of fork keeps the socket open, and a loop keeps the descriptor. Closing the session removes the socket from the
    /// descriptor.
    @Test func descriptorThatALoopKeepsIsSilentWhenItsSessionIsDropped() throws {
        var pairs: [(peer: Peer, socket: Int32, copies: [Int32])] = []
        func pair() throws -> Int32 {
            let (peer, socket) = try Peer.pair()
            pairs.append((peer, socket, [try OwnedDescriptor.duplicate(socket).release()]))
            return socket
        }
        func keep(_ descriptor: Int32) throws {
            pairs[pairs.count - 1].copies.append(try OwnedDescriptor.duplicate(descriptor).release())
        }
        do {
            let socket = try pair()
            let frontend = try makeFrontend(ScriptedBackend(pairs[0].peer), socket)
            try keep(frontend.pollDescriptor())
        }
        do {
            let channel = try ShmemChannel(socket: pair(), device: ShmemDevice())
            try keep(channel.pollDescriptor())
        }
        do {
            let backend = try Backend()
            try backend.attach(socket: pair())
            try keep(backend.pollDescriptor())
        }
        for (index, (peer, _, copies)) in pairs.enumerated() {
            peer.send([1, 2, 3, 4])
            #expect(isReadable(copies[0]) && !isReadable(copies[1]), "session \(index)")
            for copy in copies { OwnedDescriptor.close(copy) }
        }
    }

    @Test func loopThatHasMuchToTellEndsBehindIt() throws {
        let (peer, socket) = try Peer.pair()
        let device = ShmemDevice()
        let channel = try ShmemChannel(socket: socket, device: device)
        for _ in 0..<200 { peer.send(unmapMessage(offset: 0, length: pageSize)) }
        peer.shutDown()
        while channel.isOpen { channel.turn() }
        var told = 0
        channel.onEvent = { _, _ in told += 1 }
        #expect(try loop(channel.pollDescriptor(), channel.dispatch).code == ENOTCONN)
        #expect(told == 201)
    }

    /// The C header says that a descriptor is silent when the session is over, and that callbacks stay until it is freed.
    @Test func sessionOfACProgramIsAsItWas() throws {
        let (peer, socket) = try Peer.pair()
        let channel = try ShmemChannel(socket: socket, device: ShmemDevice()).forC()
        channel.onEvent = { _, _ in }
        let descriptor = try channel.waitDescriptor()
        peer.shutDown()
        channel.turn()
        #expect(!channel.isOpen && channel.onEvent != nil && !isReadable(descriptor))
        #expect(channel.turn() == -ENOTCONN)
    }
}
