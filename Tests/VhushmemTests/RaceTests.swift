// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import Glibc
import Synchronization
import Testing

@testable import Vhushmem

/// How many lines of `linesOfTheLogWaitInOneThreadAndAreToldInAnother` the log has shown.
private let waitingLinesTold = Atomic<Int>(0)

/// The code whose safety the compiler takes on trust, `@unchecked Sendable` and `nonisolated(unsafe)`: threads share it here,
/// for ThreadSanitizer. `scripts/check-layers` compares the arguments of `.shares` with the sources.
@Suite(.serialized) struct RaceTests {
    private let device = ShmemDevice()
    private let region: Region
    private let file: TestFile
    private static let rounds = 200
    private static let pages: UInt64 = 16

    init() throws {
        file = try makeMemfd(pages: RaceTests.pages)
        region = try device.addRegion(shmid: 0, size: RaceTests.pages * pageSize)
    }

    /// The work of a thread.
    private final class Work: Sendable {
        let thread: Int
        let body: @Sendable (Int) -> Void

        init(_ thread: Int, _ body: @escaping @Sendable (Int) -> Void) {
            self.thread = thread
            self.body = body
        }
    }

    /// Runs `body` in four threads at once, with the number of each. They are threads and not tasks, because one may wait for
    /// another.
    private func inThreads(_ body: @escaping @Sendable (Int) -> Void) {
        let threads = (0..<4).map { number -> pthread_t in
            var thread = pthread_t()
            // SAFETY: the thread takes the reference over.
            let work = Unmanaged.passRetained(Work(number, body)).toOpaque()
            let code = pthread_create(
                &thread, nil,
                { argument in
                    guard let argument else { return nil }
                    let work = Unmanaged<Work>.fromOpaque(argument).takeRetainedValue()
                    work.body(work.thread)
                    return nil
                }, work)
            precondition(code == 0)
            return thread
        }
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Maps and undoes single pages, now and then all of them.
    private static func change(_ region: Region, _ file: TestFile, _ thread: Int) {
        var random = Random(state: UInt64(thread))
        for round in 0..<rounds {
            let offset = random.next(below: pages) * pageSize
            _ = try? region.map(fd: file.fd, fileOffset: offset, at: offset, length: pageSize, writable: true)
            if round % 3 == 0 { _ = try? region.unmap(at: offset, length: pageSize) }
            if round % 50 == 0 { region.unmapAll() }
        }
    }

    @Test(.shares("Region", "ShmemDevice", "RegionWindow", "Mapping", "MappingTable", "Lock"))
    func mappingsComeAndGoBesideThoseWhoLookAtThem() {
        inThreads { [device, region, file] thread in
            guard thread > 1 else { return RaceTests.change(region, file, thread) }
            for round in 0..<RaceTests.rounds {
                let offset = UInt64(round) % RaceTests.pages * pageSize
                _ = region.translate(offset, length: 8)
                _ = region.mappings.count
                _ = region.mapping(at: offset, length: 1)?.baseAddress
                _ = device.mappedBytes + region.mappingCount
                _ = device.region(shmid: 0)
                _ = device.statusJSON()
            }
        }
        device.unmapAll()
        #expect(device.mappingCount == 0 && region.hasSoundTable)
    }

    /// Every page of the file has bytes of one value. A read returns those of one mapping, or an error.
    @Test func copiesAreRightBesideThreadsThatMap() {
        let wrong = Atomic<Int>(0)
        let done = Atomic<Int>(0)
        inThreads { [region, file] thread in
            guard thread > 1 else { return RaceTests.change(region, file, thread) }
            for round in 0..<RaceTests.rounds {
                let page = UInt64(round) % RaceTests.pages
                let expected = [UInt8](repeating: UInt8(page) + 1, count: Int(pageSize))
                do throws(ShmemError) {
                    if thread == 2 {
                        if try region.read(at: page * pageSize, count: Int(pageSize)) != expected {
                            wrong.add(1, ordering: .relaxed)
                        }
                    } else {
                        try region.write(expected, at: page * pageSize)
                    }
                    done.add(1, ordering: .relaxed)
                } catch {
                    if error.code != ENOENT && error.code != EAGAIN { wrong.add(1, ordering: .relaxed) }
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
    }

    @Test(.shares("ShmemDevice", "GuardedRange", "ProcessBudget", "MappingCount", "Ballast"))
    func regionsAndDevicesComeAndGoInAllThreads() {
        inThreads { [file] thread in
            for round in 0..<50 {
                let device = ShmemDevice()
                guard let region = try? device.addRegion(shmid: UInt8(thread), size: 4 * pageSize) else { continue }
                _ = try? region.map(fd: file.fd, at: 0, length: pageSize)
                _ = GuardedRange.cover(UInt(bitPattern: region.window.baseAddress) &+ UInt(4 * pageSize))
                if round % 10 == 0 { _ = ProcessBudget.measure() }
                region.goOnWithCensus()
                Ballast.prepare()
                _ = Ballast.lend { thread }
            }
        }
        #expect(device.allRegions.count == 1)
    }

    @Test(.shares("OrphanedRegions"))
    func devicesWithManyMappingsGoInAllThreads() {
        let left = Atomic<Int>(0)
        inThreads { [file] _ in
            for _ in 0..<5 {
                let seen = RaceTests.fillMany(file)
                let deadline = Clock.now() + patience
                while seen.region != nil, Clock.now() < deadline { usleep(1000) }
                if seen.region != nil || !seen.wasFull { left.add(1, ordering: .relaxed) }
            }
        }
        #expect(left.load(ordering: .relaxed) == 0)
    }

    private final class Seen {
        weak var region: Region?
        var wasFull = false
    }

    /// A region whose device goes when this returns.
    private static func fillMany(_ file: TestFile) -> Seen {
        let seen = Seen()
        var device: ShmemDevice? = ShmemDevice()
        seen.region = try? device?.addRegion(shmid: 0, size: 600 * pageSize)
        for page in 0..<UInt64(600) {
            let (from, at) = (page % 2 * pageSize, page * pageSize)
            _ = try? seen.region?.map(fd: file.fd, fileOffset: from, at: at, length: pageSize, writable: false)
        }
        seen.wasFull = device?.mappingCount == 600
        device = nil
        return seen
    }

    @Test(.shares("CloseAccount", "Closer"))
    func descriptorsOfOnePeerAreHandedOverByAllThreads() {
        let account = CloseAccount()
        inThreads { _ in
            for _ in 0..<50 {
                let (fd, other) = (eventfd(0, 0), eventfd(0, 0))
                Closer.hand(over: fd, of: account)
                Closer.hand(over: other, of: CloseAccount())
            }
        }
        waitForCloses()
        #expect(!account.isPending)
    }

    /// Other tests of the process may trace as well.
    @Test(.shares("Sink")) func tracesAreToldWhileTheirReceiverChanges() {
        let told = Atomic<Int>(0)
        inThreads { thread in
            for _ in 0..<200 {
                if thread == 0 {
                    Trace.set(Trace.all, Trace.Receiver { _, _ in told.wrappingAdd(1, ordering: .relaxed) })
                } else if Trace.wants(Trace.maps) {
                    Trace.tell(Trace.Line(category: Trace.maps, request: 0, name: "test"), "a trace of a test")
                }
            }
        }
        Trace.set(Trace.all, Trace.Receiver { _, _ in told.wrappingAdd(1, ordering: .relaxed) })
        let before = told.load(ordering: .relaxed)
        Trace.tell(Trace.Line(category: Trace.maps, request: 0, name: "test"), "a trace of a test")
        Trace.set(0, nil)
        #expect(told.load(ordering: .relaxed) > before && !Trace.wants(Trace.maps))
    }

    /// Any thread that has released a lock tells the waiting lines, even one of another test. At most 16 lines wait, so some are
    /// dropped.
    @Test(.shares("Waiting")) func linesOfTheLogWaitInOneThreadAndAreToldInAnother() {
        let handler = g_log_set_handler(
            "vhushmem", G_LOG_LEVEL_CRITICAL,
            { domain, level, text, _ in
                guard let text, String(cString: text) == "a line of a test that waits" else {
                    return g_log_default_handler(domain, level, text, nil)
                }
                waitingLinesTold.wrappingAdd(1, ordering: .relaxed)
            }, nil)
        defer { g_log_remove_handler("vhushmem", handler) }
        inThreads { thread in
            for _ in 0..<50 {
                if thread.isMultiple(of: 2) {
                    Log.later("a line of a test that waits", isCritical: true)
                } else {
                    Log.tellWaiting()
                }
            }
        }
        Log.tellWaiting()
        let deadline = Clock.now() + patience
        while waitingLinesTold.load(ordering: .relaxed) == 0, Clock.now() < deadline { usleep(1000) }
        #expect((1...100).contains(waitingLinesTold.load(ordering: .relaxed)))
    }

    @Test(.shares("Condition")) func oneThreadWakesAnother() {
        final class Turns: Sendable {
            let lock = Lock<Turns>()
            let changed = Condition()
            nonisolated(unsafe) var turn = Lock<Turns>.Guarded(0)
        }
        let turns = Turns()
        inThreads { thread in
            for _ in 0..<50 {
                turns.lock.withLock { held in
                    while turns.turn[held] % 4 != thread { turns.lock.wait(for: turns.changed, held) }
                    turns.turn[held] += 1
                }
                turns.changed.wakeAll()
            }
        }
        #expect(turns.lock.withLock { held in turns.turn[held] } == 200)
    }

    @Test(.shares("SigbusGuard")) func guardIsInstalledOnceByWhoeverComesFirst() {
        let failures = Atomic<Int>(0)
        inThreads { _ in
            for _ in 0..<10 where refusal({ () throws(ShmemError) in try SigbusGuard.install() }) != nil {
                failures.add(1, ordering: .relaxed)
            }
        }
        #expect(failures.load(ordering: .relaxed) == 0)
    }

    @Test(.shares("SessionSource")) func sourcesAreMadeInAllThreads() {
        let made = Atomic<Int>(0)
        inThreads { [device] _ in
            for _ in 0..<20 {
                guard let (peer, socket) = try? Peer.pair(), let channel = try? ShmemChannel(socket: socket, device: device),
                    let source = SessionSource.make(for: channel, name: "test")
                else { continue }
                g_source_unref(source)
                withExtendedLifetime(peer) { _ = made.add(1, ordering: .relaxed) }
            }
        }
        #expect(made.load(ordering: .relaxed) == 80)
    }

    @Test(.shares("KvmSlots"), .enabled(if: canUseKvm, "there is no /dev/kvm"))
    func slotsComeAndGoBesideMappings() throws {
        let kvm = openFile("/dev/kvm", O_RDWR)
        let vm = TestFile(ioctl(kvm, 0xae01, 0))
        close(kvm)
        var options = RegionOptions()
        options.strategy = .slots
        let region = try device.addRegion(shmid: 1, size: RaceTests.pages * pageSize, options: options)
        let slots = try KvmSlots.make(vm: vm.fd, first: 0, count: 20)
        inThreads { [file] thread in
            guard thread > 1 else { return RaceTests.change(region, file, thread) }
            for _ in 0..<RaceTests.rounds / 4 {
                _ = try? slots.place(region, at: 0x10_0000)
                slots.remove(region)
            }
        }
        slots.close()
        #expect(region.hasSoundTable)
    }
}

/// Whether this process can make guests.
let canUseKvm: Bool = {
    let kvm = openFile("/dev/kvm", O_RDWR)
    defer { close(kvm) }
    return kvm >= 0
}()

/// The types whose sharing a test covers.
struct SharedTypes: TestTrait {}

extension Trait where Self == SharedTypes {
    static func shares(_ types: String...) -> SharedTypes { SharedTypes() }
}
