// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Glibc
import Testing

@testable import Vhushmem

extension TestVmm {
    /// Answers its back-end's requests besides mappings: 100 with a file, 101 with a refusal.
    func answerOthers(with file: TestFile) {
        let fd = file.fd
        frontend.onRequest = { _, request throws(ShmemError) in
            switch request.id {
            case 100: return .descriptor(OwnedDescriptor(owning: dup(fd)))
            case 101: throw ShmemError(.notPermitted)
            default: return .done
            }
        }
    }

    func waitForConfigChange() async throws {
        for try await event in frontend.events {
            if case .configChanged = event { return }
        }
    }
}

extension TestDevice {
    /// The number in the reply, and the length of the file that came along.
    func ask(_ id: UInt32, _ payload: [UInt8] = [], hasReply: Bool = false) async throws -> (value: UInt64, size: UInt64?) {
        let reply = try await backend.request(id, payload, hasReply: hasReply)
        guard let descriptor = reply.takeDescriptor() else { return (reply.value, nil) }
        return (reply.value, try FileStatus(of: descriptor.raw).size)
    }

    func tellOfConfig() async throws { try await backend.configChanged() }

    /// Maps single pages of `file`. Returns the results, and how many were refused.
    func mapPages(_ file: TestFile, at pages: [UInt64], oneAnswer: Bool = false) async throws -> ([Int32], Int) {
        var requests = pages.map { MappingRequest.map(shmid: 1, fd: file.fd, at: $0 * pageSize, length: pageSize) }
        let refused = try await backend.perform(&requests, oneAnswer: oneAnswer)
        return (requests.map(\.result), refused)
    }

    /// Undoes them. Returns the results and the thrown error.
    func unmapPages(_ pages: [UInt64]) async -> ([Int32], (any Error)?) {
        var requests = pages.map { MappingRequest.unmap(shmid: 1, at: $0 * pageSize, length: pageSize) }
        do {
            try await backend.perform(&requests)
            return (requests.map(\.result), nil)
        } catch {
            return (requests.map(\.result), error)
        }
    }
}

/// A device's requests of its front-end that it awaits.
@Suite struct AsyncBackendTests {
    private let vmm: TestVmm
    private let device: TestDevice
    private let file: TestFile

    init() throws {
        let (ours, theirs) = try socketPair()
        vmm = try TestVmm(socket: ours)
        device = try TestDevice(socket: theirs)
        file = try makeMemfd(pages: 4)
    }

    private func whileServed(_ body: () async throws -> Void) async throws {
        let serving = Task { await device.serve() }
        await vmm.answerOthers(with: file)
        try await vmm.connect()
        let running = Task { try await vmm.run() }
        try await body()
        await vmm.close()
        try await running.value
        _ = await serving.value
    }

    @Test func otherRequestsAreAskedBesideMaps() async throws {
        try await whileServed {
            async let mapped = device.mapPages(file, at: Array(0..<40))
            let withFile = try await device.ask(100, hasReply: true)
            #expect(withFile.value == 0 && withFile.size == 4 * pageSize)
            let done = try await device.ask(102, [1, 2, 3])
            #expect(done.value == 0 && done.size == nil)
            let refused = await #expect(throws: ShmemError.self) { _ = try await device.ask(101) }
            #expect(refused?.code == EPERM)
            let unknown = await #expect(throws: ShmemError.self) { _ = try await device.ask(9) }
            #expect(unknown?.code == EINVAL, "maps have methods of their own")
            let long = await #expect(throws: ShmemError.self) {
                _ = try await device.ask(102, [UInt8](repeating: 0, count: 4097))
            }
            #expect(long?.code == EINVAL)
            #expect(try await mapped.1 == 0)
        }
    }

    @Test func changeOfConfigurationIsTold() async throws {
        try await whileServed {
            async let told: Void = vmm.waitForConfigChange()
            try await device.tellOfConfig()
            try await told
        }
    }

    @Test func manyMapsAreAskedForTogether() async throws {
        try await whileServed {
            let (results, refused) = try await device.mapPages(file, at: Array(0..<60) + [7] + [60])
            #expect(refused == 1 && results.count == 62)
            #expect(results[60] == -EEXIST && results.filter { $0 == 0 }.count == 61)
            #expect(await vmm.mappings == 61)
            let (undone, error) = await device.unmapPages([0, 1, 0])
            #expect(undone == [0, 0, -ENOENT] && error == nil)
            let one = try await device.mapPages(file, at: [0, 1], oneAnswer: true)
            #expect(one.0 == [0, 0] && one.1 == 0)
            #expect(await vmm.mappings == 61)
        }
    }

    @Test func mapsThatWereCancelledSaySo() async throws {
        try await whileServed {
            let device = device
            let cancelled = Task {
                while !Task.isCancelled { await Task.yield() }
                return await device.unmapPages([0])
            }
            cancelled.cancel()
            let (results, error) = await cancelled.value
            #expect(error is CancellationError && results == [0], "nothing was asked for")
        }
    }

    private func receive(_ count: Int, through channel: Peer) async throws {
        var left = count
        while left > 0 {
            if channel.receiveMessage() != nil { left -= 1 } else { try await Task.sleep(for: .milliseconds(1)) }
        }
    }

    /// A back-end whose front-end answers nothing.
    private func makeUnanswered() async throws -> (TestDevice, peer: Peer, channel: Peer) {
        let (peer, socket) = try Peer.pair()
        let device = try TestDevice(socket: socket)
        peer.send(message(16, littleEndian(UInt64(1 << 22 | 1 << 5 | 1 << 3))))
        let (channel, theirs) = try Peer.pair()
        peer.send(message(21), descriptors: [theirs])
        close(theirs)
        peer.send(message(44))
        try await device.waitUntilNegotiated()
        return (device, peer, channel)
    }

    @Test func whatHasNoAnswerEndsWhenTheBackEndIsClosed() async throws {
        let (device, peer, channel) = try await makeUnanswered()
        let mapping = Task { try await device.map(file, at: 0, length: pageSize) }
        let asking = Task { try await device.ask(100, hasReply: true) }
        try await receive(2, through: channel)
        await device.close()
        for ended in [await mapping.result.map { _ in }, await asking.result.map { _ in }] {
            #expect((ended.failure as? ShmemError)?.code == ENOTCONN)
        }
        #expect(peer.reachesItsEnd())
    }

    @Test func endOfTheConnectionIsTheResultOfMapsWithoutAnAnswer() async throws {
        let (device, peer, channel) = try await makeUnanswered()
        let asking = Task { await device.unmapPages(Array(0..<50)) }
        // It answers the first of the 32 that are on their way. When the next request comes, that answer has arrived, and that
        // request is sent.
        try await receive(32, through: channel)
        channel.send(message(10, flags: 5, littleEndian(0 as UInt64)))
        try await receive(1, through: channel)
        channel.shutDown()
        peer.shutDown()
        let (results, error) = await asking.value
        #expect(results.first == 0 && results.dropFirst().allSatisfy { $0 == -ENOTCONN })
        #expect((error as? ShmemError)?.code == ENOTCONN)
        let refused = await #expect(throws: ShmemError.self) { _ = try await device.ask(100) }
        #expect(refused?.code == ENOTCONN)
        let noConfig = await #expect(throws: ShmemError.self) { try await device.tellOfConfig() }
        #expect(noConfig?.code == ENOTCONN)
    }
}
