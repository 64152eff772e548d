// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Glibc
import Synchronization
import Testing

@testable import Vhushmem

/// A driver with one queue in its own guest memory: 16 chains, each with a piece that the driver writes and a piece that it
/// reads.
final class TestDriver: @unchecked Sendable {
    static let chains = 16
    static let guest: UInt64 = 0x10_0000
    private static let entries: UInt16 = 32
    private let file: TestFile
    private let memory: UnsafeMutableRawPointer
    let kick = TestFile(eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)))
    private var offered: UInt16 = 0

    init() throws {
        file = try makeMemfd(pages: 4, first: 0)
        memory = try #require(mmap(nil, Int(4 * pageSize), PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0))
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: Int(4 * pageSize))
        for chain in 0..<TestDriver.chains {
            describe(2 * chain, at: 0x1000 + 64 * chain, flags: 1, next: 2 * chain + 1)
            describe(2 * chain + 1, at: 0x2000 + 64 * chain, flags: 2, next: 0)
        }
    }

    deinit { munmap(memory, Int(4 * pageSize)) }

    private func describe(_ index: Int, at place: Int, flags: UInt16, next: Int) {
        let descriptor = memory + 16 * index
        descriptor.storeBytes(of: TestDriver.guest + UInt64(place), as: UInt64.self)
        descriptor.storeBytes(of: 8, toByteOffset: 8, as: UInt32.self)
        descriptor.storeBytes(of: flags, toByteOffset: 12, as: UInt16.self)
        descriptor.storeBytes(of: UInt16(next), toByteOffset: 14, as: UInt16.self)
    }

    var ranges: [GuestMemory] {
        get throws {
            [
                try GuestMemory(
                    guestAddress: TestDriver.guest, length: 4 * pageSize, userAddress: UInt64(UInt(bitPattern: memory)),
                    fd: file.fd,
                    fileOffset: 0)
            ]
        }
    }

    var queue: FrontendQueue {
        get throws {
            let base = UInt64(UInt(bitPattern: memory))
            return try FrontendQueue(
                size: TestDriver.entries, descriptors: base, available: base + 0x300, used: base + 0x400, kickFd: kick.fd)
        }
    }

    /// Puts a chain in. Its first piece has `value`.
    func offer(_ chain: Int, _ value: UInt64) {
        memory.storeBytes(of: value, toByteOffset: 0x1000 + 64 * chain, as: UInt64.self)
        memory.storeBytes(of: UInt16(2 * chain), toByteOffset: 0x304 + 2 * Int(offered % TestDriver.entries), as: UInt16.self)
        offered += 1
        vhu_fence_full()
        memory.storeBytes(of: offered, toByteOffset: 0x302, as: UInt16.self)
        vhu_fence_full()
        var one: UInt64 = 1
        write(kick.fd, &one, 8)
    }

    var used: UInt16 {
        vhu_fence_full()
        return memory.load(fromByteOffset: 0x402, as: UInt16.self)
    }

    /// The value that a device has written for a chain.
    func answer(_ chain: Int) -> UInt64 { memory.load(fromByteOffset: 0x2000 + 64 * chain, as: UInt64.self) }

    func waitUntilUsed(_ count: UInt16) async throws {
        let deadline = Clock.now() + taskPatience
        while used != count, Clock.now() < deadline { try await Task.sleep(for: .milliseconds(1)) }
        #expect(used == count)
    }
}

extension TestVmm {
    func start(_ driver: TestDriver) async throws {
        try await frontend.setMemory(driver.ranges)
        try await frontend.startDevice(features: 1 << 32, queues: [driver.queue])
    }

    func useMemory(of driver: TestDriver?) async throws { try await frontend.setMemory(driver?.ranges ?? []) }

    /// Whether the driver was told of returned chains since the last check.
    func wasCalled() throws -> Bool {
        let fd = try #require(frontend.callDescriptor(queue: 0))
        var target = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        return poll(&target, 1, Int32(patience / 1000)) == 1
    }

    func stop() async throws -> [UInt16] { try await frontend.stopDevice() }
}

extension TestDevice {
    func serveQueue(workers: Int, _ body: @escaping @Sendable (DescriptorChain) async throws -> UInt32) async throws {
        try await backend.serve(queue: 0, workers: workers, body)
    }

    /// Serves chain after chain. Another function does the work itself.
    func serveChains() async throws {
        for try await chain in try backend.chains(of: 0) {
            let written = await negate(chain)
            try backend.push(chain, written: written)
            try backend.notify(queue: 0)
        }
    }

    var isRunning: Bool { backend.isRunning(queue: 0) }

    /// Takes one chain and keeps it.
    func takeChain() async throws {
        for try await chain in try backend.chains(of: 0) {
            held = chain
            return
        }
    }

    /// Returns the errno of the refusal.
    func giveBack() -> Int32? {
        guard let held else { return nil }
        return refusal { () throws(ShmemError) in try backend.push(held, written: 0) }?.code
    }

    func readChain() -> [UInt8]? { held?.read(count: 8) }
}

/// Runs on any thread: the chain is sent there, and back.
@concurrent private func negate(_ chain: DescriptorChain) async -> UInt32 {
    UInt32(chain.write(chain.read(count: 8).map { ~$0 }))
}

@Suite struct QueueWorkerTests {
    private let vmm: TestVmm
    private let device: TestDevice
    private let driver: TestDriver

    init() throws {
        let (ours, theirs) = try socketPair()
        vmm = try TestVmm(socket: ours)
        device = try TestDevice(socket: theirs)
        driver = try TestDriver()
    }

    @Test func chainsAreServedByWorkersAtOnce() async throws {
        let begun = Counter()
        let serving = Task {
            try await device.serveQueue(workers: 4) { chain in
                let number = begun.add()
                // The first four go on after all of them have begun.
                while number <= 4, begun.value < 4 { try await Task.sleep(for: .milliseconds(1)) }
                return await negate(chain)
            }
        }
        try await vmm.connect()
        try await vmm.start(driver)
        for chain in 0..<TestDriver.chains { driver.offer(chain, UInt64(chain)) }
        try await driver.waitUntilUsed(16)
        for chain in 0..<TestDriver.chains { #expect(driver.answer(chain) == ~UInt64(chain)) }
        for chain in 0..<TestDriver.chains { driver.offer(chain, UInt64(chain) + 100) }
        try await driver.waitUntilUsed(32)
        for chain in 0..<TestDriver.chains { #expect(driver.answer(chain) == ~(UInt64(chain) + 100)) }
        #expect(try await vmm.wasCalled())
        #expect(try await vmm.stop() == [32])
        await vmm.close()
        try await serving.value
    }

    @Test(.shares("DescriptorChain")) func chainsGoToAnotherThreadAndBack() async throws {
        let serving = Task { try await device.serveChains() }
        try await vmm.connect()
        try await vmm.start(driver)
        for round in 0..<4 as Range<UInt64> {
            for chain in 0..<TestDriver.chains { driver.offer(chain, round) }
            try await driver.waitUntilUsed(UInt16(round + 1) * 16)
            for chain in 0..<TestDriver.chains { #expect(driver.answer(chain) == ~round) }
        }
        serving.cancel()
        await #expect(throws: CancellationError.self) { try await serving.value }
        await device.close()
    }

    @Test func queueThatAWorkerRefusesIsBroken() async throws {
        struct Nonsense: Error {}
        let serving = Task { try await device.serveQueue(workers: 1) { _ in throw Nonsense() } }
        try await vmm.connect()
        try await vmm.start(driver)
        while !(await device.isRunning) { await Task.yield() }
        driver.offer(0, 1)
        let deadline = Clock.now() + taskPatience
        while await device.isRunning, Clock.now() < deadline { try await Task.sleep(for: .milliseconds(1)) }
        #expect(await !device.isRunning)
        #expect(driver.used == 0)
        await device.close()
        try await serving.value
    }

    @Test func workerThatIsCancelledBreaksNothing() async throws {
        let calls = Counter()
        let serving = Task {
            try await device.serveQueue(workers: 1) { chain in
                if calls.add() == 1 { throw CancellationError() }
                return await negate(chain)
            }
        }
        try await vmm.connect()
        try await vmm.start(driver)
        driver.offer(0, 1)
        driver.offer(1, 2)
        try await driver.waitUntilUsed(1)
        #expect(driver.answer(1) == ~2 && driver.answer(0) == 0)
        await vmm.close()
        try await serving.value
    }

    @Test func workersAreCancelledAtTheEnd() async throws {
        let begun = Counter()
        let serving = Task {
            try await device.serveQueue(workers: 2) { _ in
                _ = begun.add()
                while true { try await Task.sleep(for: .seconds(3600)) }
            }
        }
        try await vmm.connect()
        try await vmm.start(driver)
        driver.offer(0, 1)
        while begun.value == 0 { try await Task.sleep(for: .milliseconds(1)) }
        await vmm.close()
        try await serving.value
    }

    /// A worker may have a chain for longer than anything else lives.
    @Test func chainOutlivesItsBackEnd() async throws {
        let kept = Kept()
        let serving = Task {
            try await device.serveQueue(workers: 2) { chain in
                kept.chain.withLock { $0 = chain }
                return 0
            }
        }
        try await vmm.connect()
        try await vmm.start(driver)
        driver.offer(3, 77)
        try await driver.waitUntilUsed(1)
        await device.close()
        try await serving.value
        let chain = try #require(kept.chain.withLock { $0 })
        #expect(chain.read(count: 100) == littleEndian(77 as UInt64))
        #expect(chain.read(at: 8, count: 1) == [] && chain.read(at: .max, count: 1) == [] && chain.read(count: -1) == [])
        #expect(chain.write([UInt8](repeating: 1, count: 100)) == 8)
        #expect(driver.answer(3) == 0x0101_0101_0101_0101)
    }

    /// The driver has given up on the chain, or will put it in again.
    @Test func chainOfAQueueThatWasStoppedCanNotBeGivenBack() async throws {
        let taking = Task { try await device.takeChain() }
        let events = Task { try await device.collectEvents() }
        try await vmm.connect()
        try await vmm.start(driver)
        driver.offer(2, 7)
        try await taking.value
        #expect(try await vmm.stop() == [1])
        #expect(await device.giveBack() == ESTALE)
        // The chain's memory stays, though the front-end has another one now.
        let other = try TestDriver()
        try await vmm.start(other)
        #expect(await device.readChain() == littleEndian(7 as UInt64))
        #expect(await device.giveBack() == ESTALE)
        #expect(driver.used == 0 && other.used == 0)
        await device.close()
        #expect(await device.giveBack() == ESTALE)
        #expect(await device.readChain() == littleEndian(7 as UInt64))
        try await events.value
    }

    /// The front-end may take the memory of the rings away for a moment, as it does when the guest's memory changes.
    @Test func chainThatCanNotGoBackNowGoesBackLater() async throws {
        let (begun, ended, gate) = (Counter(), Counter(), Counter())
        let serving = Task {
            try await device.serveQueue(workers: 1) { chain in
                _ = begun.add()
                while gate.value == 0 { try await Task.sleep(for: .milliseconds(1)) }
                defer { _ = ended.add() }
                return await negate(chain)
            }
        }
        try await vmm.connect()
        try await vmm.start(driver)
        driver.offer(1, 3)
        while begun.value == 0 { try await Task.sleep(for: .milliseconds(1)) }
        try await vmm.useMemory(of: nil)
        _ = gate.add()
        while ended.value == 0 { try await Task.sleep(for: .milliseconds(1)) }
        // Each request wakes the device, which tries to give the chain back.
        for _ in 0..<20 { _ = try await vmm.config(at: 0, count: 1) }
        #expect(driver.used == 0)
        try await vmm.useMemory(of: driver)
        try await driver.waitUntilUsed(1)
        #expect(driver.answer(1) == ~3)
        await vmm.close()
        try await serving.value
    }

    @Test func unknownQueueIsRefused() async throws {
        let refused = await #expect(throws: ShmemError.self) { try await device.serveQueue(of: 7) }
        #expect(refused?.code == EINVAL)
    }
}

extension TestDevice {
    fileprivate func serveQueue(of queue: Int) async throws { try await backend.serve(queue: queue) { _ in 0 } }
}

private final class Counter: Sendable {
    private let count = Atomic(0)
    var value: Int { count.load(ordering: .sequentiallyConsistent) }
    func add() -> Int { count.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue }
}

private final class Kept: Sendable {
    let chain = Mutex<DescriptorChain?>(nil)
}
