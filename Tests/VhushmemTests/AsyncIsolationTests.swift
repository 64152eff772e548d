// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Dispatch
import Glibc
import Synchronization
import Testing

@testable import Vhushmem

/// An executor that knows whether the caller runs on it.
private final class KnownExecutor: SerialExecutor {
    private let queue = DispatchQueue(label: "test")
    private let key = DispatchSpecificKey<Bool>()

    init() { queue.setSpecific(key: key, value: true) }

    var isCurrent: Bool { DispatchQueue.getSpecific(key: key) == true }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}

/// How often callbacks came there, and elsewhere.
private final class Places: Sendable {
    private let counts = Mutex((right: 0, wrong: 0))

    func note(_ isRight: Bool) { counts.withLock { if isRight { $0.right += 1 } else { $0.wrong += 1 } } }
    var all: (right: Int, wrong: Int) { counts.withLock { $0 } }
}

private actor KnownDevice {
    private let executor: KnownExecutor
    private let backend: Backend
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(socket: Int32, _ executor: KnownExecutor, _ places: Places) throws {
        self.executor = executor
        backend = try Backend(BackendOptions(queues: 1, answerTimeout: .seconds(600), configSize: 8))
        var handlers = BackendHandlers()
        handlers.readConfig = { _, _, _ in places.note(executor.isCurrent) }
        handlers.queue = { _, _, _ in places.note(executor.isCurrent) }
        try backend.setHandlers(handlers)
        try backend.attach(socket: socket)
    }

    func serve() async throws {
        try await backend.serve(queue: 0, workers: 2) { chain in UInt32(chain.write(chain.read(count: 8))) }
    }
    func take() async throws {
        for try await chain in try backend.chains(of: 0) { try backend.push(chain, written: 0) }
    }
    func run() async throws { try await backend.run() }
    func follow() async throws { for try await _ in backend.events {} }
    func close() { backend.close() }
}

/// Code that waits for a session runs where the session is used, and so do its callbacks.
@Suite struct AsyncIsolationTests {
    enum Way: CaseIterable { case serve, take, run, follow }

    @Test(arguments: Way.allCases) func callbacksComeWhereTheSessionIs(way: Way) async throws {
        let (ours, theirs) = try socketPair()
        let (vmm, driver, places) = (try TestVmm(socket: ours), try TestDriver(), Places())
        let device = try KnownDevice(socket: theirs, KnownExecutor(), places)
        let serving = Task {
            switch way {
            case .serve: try await device.serve()
            case .take: try await device.take()
            case .run: try await device.run()
            case .follow: try await device.follow()
            }
        }
        try await vmm.connect()
        try await vmm.start(driver)
        driver.offer(0, 1)
        if way == .serve || way == .take { try await driver.waitUntilUsed(1) }
        for _ in 0..<8 { _ = try await vmm.config(at: 0, count: 8) }
        await device.close()
        try await serving.value
        #expect(places.all.right > 8 && places.all.wrong == 0)
    }
}
