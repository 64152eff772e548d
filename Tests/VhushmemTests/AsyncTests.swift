// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Glibc
import Synchronization
import Testing

@testable import Vhushmem

/// A device in its own actor: it serves in one task, and makes requests in others.
actor TestDevice {
    let backend: Backend
    var held: DescriptorChain?
    private(set) var told: [String] = []

    init(socket: sending Int32, regions: [UInt8: UInt64] = [1: 64 * 4096], queues: UInt32 = 1) throws {
        var options = BackendOptions()
        options.queues = queues
        options.configSize = 8
        // Tasks of tests share two threads with all other tests, which may wait there.
        options.answerTimeout = .seconds(600)
        backend = try Backend(options)
        var handlers = BackendHandlers()
        handlers.readConfig = { _, offset, bytes in
            for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: Int(offset) + index) }
        }
        try backend.setHandlers(handlers)
        for (id, size) in regions { try backend.addRegion(shmid: id, size: size) }
        try backend.attach(socket: socket)
    }

    /// Serves until the end. Returns the error that ended it.
    func serve() async -> ShmemError? {
        do {
            try await backend.run()
            return nil
        } catch {
            return error as? ShmemError
        }
    }

    /// Waits until the device may ask for maps.
    func waitUntilNegotiated() async throws {
        for try await event in backend.events {
            if case .negotiated = event { return }
        }
    }

    func collectEvents() async throws {
        for try await event in backend.events {
            switch event {
            case .connected: told.append("connected")
            case .negotiated: told.append("negotiated")
            case .reset: told.append("reset")
            case .disconnected: told.append("disconnected")
            }
        }
    }

    func map(_ file: TestFile, at offset: UInt64, length: UInt64) async throws {
        try await backend.map(shmid: 1, fd: file.fd, at: offset, length: length)
    }

    func unmap(at offset: UInt64, length: UInt64) async throws {
        try await backend.unmap(shmid: 1, at: offset, length: length)
    }

    func close() { backend.close() }
}

func socketPair() throws -> (Int32, Int32) {
    var sockets: [Int32] = [-1, -1]
    try #require(vhu_socketpair(&sockets) == 0)
    return (sockets[0], sockets[1])
}

/// A VMM in its own actor.
actor TestVmm {
    let frontend: Frontend
    private(set) var told: [String] = []

    init(socket: sending Int32) throws {
        var options = FrontendOptions()
        options.requestTimeout = .seconds(600)
        frontend = try Frontend(socket: socket, options: options)
    }

    func connect() async throws { try await frontend.connect(timeout: .seconds(600)) }
    func run() async throws { try await frontend.run() }
    func reset() async throws { try await frontend.reset() }
    func close() { frontend.close() }
    func config(at offset: UInt32, count: UInt32) async throws -> [UInt8] {
        try await frontend.ask(.config(at: offset, count: count))
    }
    var mappings: UInt64 { frontend.device.mappingCount }

    /// Collects all events until the sequence ends.
    func collectEvents() async throws {
        for try await event in frontend.events {
            switch event {
            case .ready: told.append("ready")
            case .served(let request): told.append("\(request.kind) \(request.result)")
            case .reset: told.append("reset")
            case .disconnected: told.append("disconnected")
            default: told.append("\(event)")
            }
        }
    }

    /// Takes exactly one event.
    func nextEvent() async throws -> FrontendEvent? {
        var iterator = frontend.events.makeAsyncIterator()
        return try await iterator.next(isolation: self)
    }
}

@Suite struct AsyncTests {
    private let vmm: TestVmm
    private let device: TestDevice
    private let file: TestFile

    init() throws {
        let (ours, theirs) = try socketPair()
        vmm = try TestVmm(socket: ours)
        device = try TestDevice(socket: theirs)
        file = try makeMemfd(pages: 4)
    }

    @Test func mapsAreServedWhileEventsAreTaken() async throws {
        async let deviceEnd = device.serve()
        try await vmm.connect()
        async let events: Void = vmm.collectEvents()
        try await device.map(file, at: 0, length: 4096)
        try await device.map(file, at: 8192, length: 4096)
        await #expect(throws: ShmemError.self) { try await device.map(file, at: 0, length: 4096) }
        try await device.unmap(at: 0, length: 4096)
        #expect(await vmm.mappings == 1)
        await device.close()
        try await events
        #expect(await deviceEnd == nil)
        let told = await vmm.told
        #expect(told == ["ready", "map 0", "map 0", "map \(-EEXIST)", "unmap 0", "disconnected"])
        #expect(await vmm.mappings == 0)
    }

    @Test(.shares("Shared", "ReadableWatch", "State")) func manyTasksAskAtOnce() async throws {
        async let deviceEnd = device.serve()
        try await vmm.connect()
        async let running: Void = vmm.run()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<64 as Range<UInt64> {
                group.addTask { try await device.map(file, at: index * 4096, length: 4096) }
                group.addTask {
                    let offset = UInt32(index % 8)
                    let bytes = try await vmm.config(at: offset, count: 1)
                    #expect(bytes == [UInt8(offset)])
                }
            }
            try await group.waitForAll()
        }
        #expect(await vmm.mappings == 64)
        await vmm.close()
        try await running
        #expect(await deviceEnd?.code == ECONNRESET)
    }

    @Test func theEndOfTheConnectionIsThrownByRunAndEndsEvents() async throws {
        async let deviceEnd = device.serve()
        async let deviceEvents: Void = device.collectEvents()
        try await vmm.connect()
        async let events: Void = vmm.collectEvents()
        async let running = await vmm.endOfRun()
        await device.close()
        #expect(await running?.code == ECONNRESET)
        try await events
        try await deviceEvents
        #expect(await deviceEnd == nil)
        // Again: it is over, and says so at once.
        #expect(await vmm.endOfRun()?.code == ECONNRESET)
        #expect(try await vmm.nextEvent() == nil)
    }

    @Test func deviceIsToldOfItsFrontEnd() async throws {
        async let deviceEvents: Void = device.collectEvents()
        try await vmm.connect()
        try await vmm.reset()
        await vmm.close()
        try await deviceEvents
        #expect(await device.told == ["connected", "negotiated", "reset", "disconnected"])
    }

    @Test func resetReturnsWhenItWasAnswered() async throws {
        async let deviceEnd = device.serve()
        try await vmm.connect()
        async let running: Void = vmm.run()
        try await device.map(file, at: 0, length: 4096)
        try await vmm.reset()
        #expect(await vmm.mappings == 0)
        try await device.map(file, at: 0, length: 4096)
        #expect(await vmm.mappings == 1)
        await vmm.close()
        try await running
        _ = await deviceEnd
    }

    @Test func cancelledTasksStopWaiting() async throws {
        async let deviceEnd = device.serve()
        try await vmm.connect()
        let running = Task { try await vmm.run() }
        let waiting = Task { try await vmm.collectEvents() }
        try await device.map(file, at: 0, length: 4096)
        running.cancel()
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await running.value }
        await #expect(throws: CancellationError.self) { try await waiting.value }
        // The cancellation ended the wait, not the connection.
        #expect(try await vmm.config(at: 2, count: 2) == [2, 3])
        await vmm.close()
        _ = await deviceEnd
    }

    @Test func cancelledHandshakeIsOver() async throws {
        // Nobody serves the device, so nobody answers.
        let connecting = Task { try await vmm.connect() }
        await Task.yield()
        connecting.cancel()
        await #expect(throws: CancellationError.self) { try await connecting.value }
        #expect(await vmm.isOver)
    }

    @Test func handshakeHasItsTime() async throws {
        let late = await #expect(throws: ShmemError.self) { try await vmm.connect(within: .milliseconds(50)) }
        #expect(late?.code == ETIMEDOUT)
    }

    @Test func cancelledQuestionIsNotAskedAgain() async throws {
        async let deviceEnd = device.serve()
        try await vmm.connect()
        let asking = Task { try await vmm.config(at: 0, count: 1) }
        asking.cancel()
        do {
            #expect(try await asking.value == [0])
        } catch {
            #expect(error is CancellationError)
        }
        #expect(try await vmm.config(at: 1, count: 1) == [1])
        await vmm.close()
        _ = await deviceEnd
    }

    /// The sequence is bounded: events that nobody takes hold the back-end up, and nothing is lost.
    @Test func backEndWaitsForEventsToBeTaken() async throws {
        async let deviceEnd = device.serve()
        try await vmm.connect()
        while let event = try await vmm.nextEvent() {
            if case .ready = event { break }
        }
        let running = Task { try await vmm.run() }
        let rounds = 3 * EventBuffer<FrontendEvent>.mark
        let mapping = Task {
            for _ in 0..<rounds / 2 {
                try await device.map(file, at: 0, length: 4096)
                try await device.unmap(at: 0, length: 4096)
            }
        }
        while await vmm.waitingEvents < EventBuffer<FrontendEvent>.mark { await Task.yield() }
        for _ in 0..<50 {
            try await Task.sleep(for: .milliseconds(1))
            #expect(await vmm.waitingEvents < EventBuffer<FrontendEvent>.mark + 64)
        }
        // An awaited answer arrives nevertheless.
        #expect(try await vmm.config(at: 3, count: 1) == [3])
        for index in 0..<rounds {
            guard case .served(let request) = try await vmm.nextEvent() else {
                Issue.record("no request was served")
                break
            }
            #expect(request.kind == (index % 2 == 0 ? .map : .unmap))
        }
        try await mapping.value
        #expect(await vmm.waitingEvents == 0)
        await vmm.close()
        try await running.value
        _ = await deviceEnd
    }

    @Test func bellThatWasRungBeforeAnybodyWaitedIsHeard() async {
        let bell = Doorbell()
        bell.ring()
        let waiter = Waiter()
        bell.arm(waiter)
        await waiter.wait()
        // Only once.
        let second = Waiter()
        bell.arm(second)
        bell.ring()
        await second.wait()
    }

    /// The bell wakes the task that waits first, then the next one. Both may just have been cancelled.
    @Test @MainActor func bellThatWakesCancelledTasksIsHeardByTheOneItIsFor() async throws {
        let (silent, other) = try socketPair()
        defer {
            OwnedDescriptor.close(silent)
            OwnedDescriptor.close(other)
        }
        let tasks = SessionTasks()
        var asked: Set<Int> = []
        var isRung = false
        func wait(_ index: Int, _ isDone: @escaping () -> Bool) async throws {
            try await tasks.wait(for: silent, until: nil) {
                asked.insert(index)
                return isDone()
            }
        }
        let cancelled = (1...2).map { index in Task { try await wait(index) { false } } }
        let meant = Task { try await wait(3) { isRung } }
        while asked.count < 3 {
            await Task.yield()
            tasks.look()
        }
        isRung = true
        for task in cancelled { task.cancel() }
        tasks.doorbell.ring()
        let patience = Task {
            try await Task.sleep(for: .microseconds(taskPatience))
            Issue.record("nobody heard the bell")
            meant.cancel()
        }
        for task in cancelled + [meant] { try await task.value }
        patience.cancel()
    }

    /// In a process of its own, where nothing else opens descriptors.
    @Test func nothingIsLeftOfASessionThatIsDropped() async {
        await #expect(processExitsWith: .success) {
            try await useAndDropSessions()
            // Dispatch keeps some of its own, and closes a duplicate of the session's a moment later.
            let before = openDescriptors().count + 4
            for _ in 0..<8 { try await useAndDropSessions() }
            let deadline = Clock.now() + taskPatience
            while openDescriptors().count > before, Clock.now() < deadline { try await Task.sleep(for: .milliseconds(10)) }
            #expect(openDescriptors().count <= before)
        }
    }
}

private func useAndDropSessions() async throws {
    let (ours, theirs) = try socketPair()
    let device = try TestDevice(socket: theirs)
    let serving = Task { await device.serve() }
    do {
        let vmm = try TestVmm(socket: ours)
        try await vmm.connect()
        let events = Task { try await vmm.collectEvents() }
        #expect(try await vmm.config(at: 0, count: 1) == [0])
        events.cancel()
        _ = await events.result
    }
    // The front-end went with its actor, and the device sees that.
    #expect(await serving.value?.code == ECONNRESET)
    await device.close()
}

extension TestVmm {
    var isOver: Bool { frontend.hasEnded }
    var waitingEvents: Int { (frontend.tasks.events as? EventBuffer<FrontendEvent>)?.count ?? 0 }

    func connect(within time: Duration) async throws { try await frontend.connect(timeout: time) }

    /// The error that ended it.
    func endOfRun() async -> ShmemError? {
        do {
            try await frontend.run()
            return nil
        } catch {
            return error as? ShmemError
        }
    }
}

@Suite struct AsyncChannelTests {
    actor Vmm {
        let channel: ShmemChannel
        let device = ShmemDevice()
        var told: [String] = []

        init(socket: Int32) throws {
            try device.addRegion(shmid: 1, size: 16 * 4096)
            channel = try ShmemChannel(socket: socket, device: device)
        }

        func serve() async throws {
            for try await event in channel.events {
                switch event {
                case .served(let request): told.append("\(request.kind) \(request.result)")
                case .lost: told.append("lost")
                default: told.append("\(event)")
                }
            }
        }

        func run() async throws { try await channel.run() }
        func close() { channel.close() }
    }

    @Test func channelTellsWhatItServed() async throws {
        let (peer, socket) = try Peer.pair()
        let vmm = try Vmm(socket: socket)
        let file = try makeMemfd(pages: 1)
        let serving = Task { try await vmm.serve() }
        peer.send(mapMessage(shmid: 1, offset: 0, length: 4096), descriptors: [file.fd])
        #expect(await answer(peer, to: 9) == 0)
        shutdown(peer.fd, Int32(SHUT_RDWR))
        try await serving.value
        #expect(await vmm.told == ["map 0", "lost"])
    }

    @Test func closedChannelIsServedNoMore() async throws {
        let (peer, socket) = try Peer.pair()
        let vmm = try Vmm(socket: socket)
        let running = Task { try await vmm.run() }
        await Task.yield()
        await vmm.close()
        try await running.value
        #expect(peer.reachesItsEnd())
    }

    private func answer(_ peer: Peer, to request: UInt32) async -> Int64? {
        let deadline = Clock.now() + taskPatience
        while Clock.now() < deadline {
            if let answer = peer.answer(to: request) { return answer }
            try? await Task.sleep(for: .milliseconds(1))
        }
        return nil
    }
}
