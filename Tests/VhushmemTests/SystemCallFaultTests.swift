// SPDX-License-Identifier: BSD-3-Clause

#if VHUSHMEM_FAULT_INJECTION
    import CGLib
    import CLinux
    import Testing

    @testable import Vhushmem

    /// Each system call fails in turn, at each of its occurrences, with each errno that it may have: nothing may crash, stay open, or
    /// leave a hole in a window, and the next life must be as if nothing had been.
    ///
    /// What makes calls fail is global, so each test has a process of its own.
    @Suite struct SystemCallFaultTests {
        @Test(arguments: SystemCall.allCases)
        func everyFailureIsSurvived(call: SystemCall) async {
            await #expect(processExitsWith: .success) { [raw = call.rawValue as UInt8] in
                guard let call = SystemCall(rawValue: raw) else { return }
                FaultSurvey(call).run()
            }
        }

        @Test func lostPageInTheMidstOfAMappingIsReplacedAlone() async {
            await #expect(processExitsWith: .success) {
                let device = ShmemDevice()
                let region = try device.addRegion(shmid: 0, size: 16 * pageSize)
                let file = try makeMemfd(pages: 4)
                try region.map(fd: file.fd, at: 0, length: 4 * pageSize)
                let fault = Fault(.madvise, EFAULT, occurrence: 0, isLasting: false)
                systemCallFault = fault.strike
                try region.resolveGuestFault(at: pageSize, length: 1, access: .read)
                systemCallFault = nil
                #expect(fault.hasStruck && region.mappings.first?.isBroken == true)
                let seen = (0..<4).map { (region.window.baseAddress + $0 * Int(pageSize)).load(as: UInt8.self) }
                #expect(seen == [1, 0, 3, 4])
            }
        }

        /// The mapping that was there when the copy began is gone. The copy must report that, and not a page that the file
        /// lacks.
        @Test(arguments: [false, true]) func copyOfAMappingThatGoesInItsMidstFindsAHole(isWrite: Bool) async {
            await #expect(processExitsWith: .success) { [isWrite] in
                let device = ShmemDevice()
                let region = try device.addRegion(shmid: 0, size: 4 * pageSize)
                let file = try makeMemfd(pages: 1)
                try region.map(fd: file.fd, at: 0, length: pageSize, writable: true)
                systemCallFault = { call in
                    guard call == .processVMRead || call == .processVMWrite else { return 0 }
                    systemCallFault = nil
                    region.unmapAll()
                    return 0
                }
                let refused = refusal { () throws(ShmemError) in
                    if isWrite { try region.write([1], at: 0) } else { _ = try region.read(at: 0, count: 1) }
                }
                #expect(refused?.code == ENOENT)
            }
        }

        /// A look at the main socket found nothing. Then the back-end tells its regions and asks for a map. The front-end keeps
        /// that order.
        @Test func mapRightBehindTheRegionsFindsThem() async {
            await #expect(processExitsWith: .success) {
                let (peer, socket) = try Peer.pair()
                let frontend = try Frontend(socket: socket)
                let backend = ScriptedBackend(peer)
                backend.ignores = 44
                try frontend.start()
                takeTurns({ backend.asked.last == 44 }, backend.step, { frontend.turn() })
                let channel = try #require(backend.channel)
                let file = try makeMemfd(pages: 1)
                var looks = 0
                systemCallFault = { call in
                    guard call == .recvmsg || call == .poll else { return 0 }
                    looks += 1
                    if looks == 2 {
                        peer.send(message(44, flags: 5, backend.configReply))
                        channel.send(mapMessage(offset: 0, length: pageSize), descriptors: [file.fd])
                    }
                    return 0
                }
                var answer: Int64?
                takeTurns({ answer != nil }, { frontend.turn() }, { answer = answer ?? channel.answer(to: 9) })
                systemCallFault = nil
                #expect(looks > 2 && answer == 0 && frontend.device.mappingCount == 1)
            }
        }

        @Test func adviceForManyMappingsIsGivenToEachIfItMust() async {
            await #expect(processExitsWith: .success) {
                let pages = try MemoryCalls.map(
                    nil, 8 * Int(pageSize), protection: PROT_READ, flags: MAP_PRIVATE | MAP_ANONYMOUS)
                let knows = MemoryCalls.knowsAdviceForMany
                for (failing, isToldOf) in [(0..<0, false), (0..<1, !knows), (0..<9, true)] {
                    var calls = 0
                    var ranges = UndumpedRanges()
                    // Two ranges that touch become one.
                    for index in [0, 1, 3, 5] { ranges.append(pages + index * Int(pageSize), Int(pageSize)) }
                    systemCallFault = { call in
                        calls += call == .madvise ? 1 : 0
                        return call == .madvise && failing.contains(calls - 1) ? ENOMEM : 0
                    }
                    ranges.leaveOut()
                    systemCallFault = nil
                    let isAtOnce = knows && failing.isEmpty
                    #expect(calls == (isAtOnce ? 1 : knows ? 4 : 3) && ranges.isEmpty)
                    #expect((ranges.takeFailure() != nil) == isToldOf && ranges.takeFailure() == nil)
                }
            }
        }

        @Test func pageThatTakesNoWriteBecomesPrivate() async {
            await #expect(processExitsWith: .success) {
                let device = ShmemDevice()
                let region = try device.addRegion(shmid: 0, size: 16 * pageSize)
                let file = try makeMemfd(pages: 4)
                try region.map(fd: file.fd, at: 0, length: 4 * pageSize, writable: true)
                // The first look finds that the page can be read, the second that it cannot be written.
                systemCallFault = Fault(.madvise, EFAULT, occurrence: 1, isLasting: false).strike
                try region.resolveGuestFault(at: pageSize, length: 1, access: .write)
                systemCallFault = nil
                let page = region.window.baseAddress + Int(pageSize)
                #expect(page.load(as: UInt8.self) == 2)
                page.storeBytes(of: 9, as: UInt8.self)
                var byte: UInt8 = 0
                #expect(pread(file.fd, &byte, 1, off_t(pageSize)) == 1 && byte == 2)
            }
        }

        @Test func mappingThatCanNotBeUndoneIsToldAgain() async {
            await #expect(processExitsWith: .success) {
                let device = ShmemDevice()
                let region = try device.addRegion(shmid: 0, size: 16 * pageSize)
                let file = try makeMemfd(pages: 1)
                try region.map(fd: file.fd, at: 0, length: pageSize)
                let witness = Witness()
                region.observe(with: witness)
                let fault = Fault(.mmap, ENOMEM, occurrence: 0, isLasting: true)
                // Nor can mprotect make the present page untouchable.
                systemCallFault = { $0 == .mprotect ? ENOMEM : fault.strike($0) }
                let refused = refusal { () throws(ShmemError) in try region.unmap(at: 0, length: pageSize) }
                systemCallFault = nil
                #expect(refused?.code == ENOMEM && region.mappingCount == 1)
                #expect(region.translate(0, length: pageSize) != nil && region.translate(0, length: 1, forWriting: true) == nil)
                #expect(witness.seen == ["add", "del", "add"])
            }
        }

        @Test func regionWithoutMemoryForAnIndexTranslatesByItsTable() async {
            await #expect(processExitsWith: .success) {
                let device = ShmemDevice()
                let file = try makeMemfd(pages: 4)
                // The first mmap is the window's.
                let fault = Fault(.mmap, ENOMEM, occurrence: 1, isLasting: false)
                systemCallFault = fault.strike
                let region = try device.addRegion(shmid: 0, size: 16 * pageSize)
                systemCallFault = nil
                #expect(fault.hasStruck)
                for index in 0..<4 as Range<UInt64> { try region.map(fd: file.fd, at: index * pageSize, length: pageSize) }
                #expect(region.translate(3 * pageSize, length: 1) == region.window.baseAddress + 3 * Int(pageSize))
                try region.unmap(at: 0, length: pageSize)
                #expect(region.translate(0, length: 1) == nil && region.translate(pageSize, length: 1) != nil)
                #expect(region.unmapAll() == 3 && region.translate(pageSize, length: 1) == nil)
            }
        }

        @Test func socketThatCanNotBeWatchedIsTriedAgain() async {
            await #expect(processExitsWith: .success) {
                FaultSurvey.silenceLog()
                let (near, far) = try Socket.pair()
                let poll = try PollDescriptor.make(in: TargetSet.make())
                var targets = PollTargets()
                targets.first = .init(fd: near, events: Int16(POLLIN))
                systemCallFault = Fault(.epollControl, ENOSPC, occurrence: 0, isLasting: false).strike
                poll.watch(targets)
                systemCallFault = nil
                #expect(write(far, "x", 1) == 1)
                // The timer wakes the loop, which then tries again.
                #expect(try Readiness.wait(for: (poll.fd, Int16(POLLIN)), until: Clock.now() + patience))
                poll.watch(targets)
                #expect(try Readiness.wait(for: (poll.fd, Int16(POLLIN)), until: Clock.now() + patience))
            }
        }

        @Test func descriptorsThatMustWaitAreSentLater() async {
            await #expect(processExitsWith: .success) {
                let (peer, socket) = try Peer.pair()
                let (channel, theirs) = try Peer.pair()
                let file = try makeMemfd(pages: 1)
                let backend = try Backend()
                try backend.addRegion(shmid: 0, size: pageSize)
                try backend.attach(socket: socket)
                peer.send(message(16, littleEndian((1 << 22 | 1 << 5 | 1 << 3) as UInt64)))
                peer.send(message(21, flags: 9), descriptors: [theirs])
                peer.send(message(44))
                takeTurns({ backend.isNegotiated }, { backend.turn() })
                // Too many descriptors are on their way, and some arrive in the end.
                var failures = 3
                systemCallFault = { call in
                    guard call == .sendmsg, failures > 0 else { return 0 }
                    failures -= 1
                    return ETOOMANYREFS
                }
                channel.send(message(9, flags: 5, littleEndian(0 as UInt64)))
                try backend.map(shmid: 0, fd: file.fd, at: 0, length: pageSize)
                systemCallFault = nil
                #expect(failures == 0)
                channel.send(message(10, flags: 5, littleEndian(0 as UInt64)))
                try backend.unmap(shmid: 0, at: 0, length: pageSize)
                backend.close()
            }
        }

        @Test func livesMakeTheCallsThatTheyAreMeantToMake() async {
            await #expect(processExitsWith: .success) {
                var seen: Set<SystemCall> = []
                FaultSurvey.silenceLog()
                systemCallFault = { call in
                    seen.insert(call)
                    return 0
                }
                for life in Life.allCases { #expect(life.run(), "\(life)") }
                // Calls that no session makes here: files opened by path, hugetlb, sizes of sockets, closes that wait, an
                // alarm.
                let others: Set<SystemCall> = [
                    .fstatfs, .getsockopt, .timerfdSet, .dup, .sigaction, .msync, .readlink, .shutdown, .signal, .thread,
                    .getrlimit, .write,
                ]
                #expect(Set(SystemCall.allCases).subtracting(seen).isSubset(of: others), "\(seen)")
            }
        }
    }

    private final class Witness: RegionObserver {
        private(set) var seen: [String] = []
        func regionDidMap(_ region: Region, _ record: MappingRecord) { seen.append("add") }
        func regionWillUnmap(_ region: Region, _ record: MappingRecord) { seen.append("del") }
        func regionDidCommit(_ region: Region) { seen.append("commit") }
    }

    /// A system call that fails.
    private final class Fault {
        let call: SystemCall
        let code: Int32
        /// Which one of its kind, counted from 0.
        let occurrence: Int
        /// All later ones fail too.
        let isLasting: Bool
        private(set) var hasStruck = false
        private var count = 0

        init(_ call: SystemCall, _ code: Int32, occurrence: Int, isLasting: Bool) {
            self.call = call
            self.code = code
            self.occurrence = occurrence
            self.isLasting = isLasting
        }

        func strike(_ call: SystemCall) -> Int32 {
            guard call == self.call else { return 0 }
            let strikes = isLasting ? count >= occurrence : count == occurrence
            count += 1
            if strikes { hasStruck = true }
            return strikes ? code : 0
        }

        var name: String { "\(call) number \(occurrence)\(isLasting ? " and all after it" : ""): \(Errno.text(code))" }
    }

    private struct FaultSurvey {
        let call: SystemCall

        init(_ call: SystemCall) {
            self.call = call
        }

        /// The target of a descriptor, for messages.
        static func name(of fd: Int32) -> String {
            var text = [CChar](repeating: 0, count: 200)
            let length = readlink("/proc/self/fd/\(fd)", &text, text.count - 1)
            return String(decoding: text.prefix(max(length, 0)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        }

        static func silenceLog() {
            g_log_set_default_handler({ _, _, _, _ in }, nil)
        }

        func run() {
            FaultSurvey.silenceLog()
            for life in Life.allCases {
                for code in codes {
                    strikeEach(of: life, code, isLasting: false)
                    // An endless EINTR or EAGAIN is no failure but a wait.
                    if code != EINTR, code != EAGAIN { strikeEach(of: life, code, isLasting: true) }
                }
            }
        }

        private func strikeEach(of life: Life, _ code: Int32, isLasting: Bool) {
            for occurrence in 0..<1000 {
                let fault = Fault(call, code, occurrence: occurrence, isLasting: isLasting)
                // The test's own runtime opens something now and then, once. A real leak repeats.
                if !strike(life, fault).isEmpty {
                    let left = strike(life, Fault(call, code, occurrence: occurrence, isLasting: isLasting))
                    #expect(left.isEmpty, "\(life), \(fault.name): \(left.map(FaultSurvey.name))")
                }
                guard fault.hasStruck else { return }
                #expect(life.run(), "\(life), after \(fault.name)")
            }
            Issue.record("\(life) makes \(call) more than 1000 times")
        }

        /// Lives with a fault. Returns the descriptors that were opened and not closed.
        private func strike(_ life: Life, _ fault: Fault) -> Set<Int32> {
            let descriptors = openDescriptors()
            let budget = ProcessBudget.inUse
            systemCallFault = fault.strike
            let isWhole = life.run(fault.name, isToSucceed: fault.code == EINTR)
            systemCallFault = nil
            waitForCloses()
            // The library repeated the call, and nobody noticed anything.
            if fault.code == EINTR { #expect(isWhole, "\(life), \(fault.name)") }
            #expect(ProcessBudget.inUse == budget, "\(life), \(fault.name): budget")
            return openDescriptors().subtracting(descriptors)
        }

        private var codes: [Int32] {
            switch call {
            case .mmap: [ENOMEM, EACCES, ENODEV, EAGAIN, EPERM]
            case .munmap, .madvise, .mremap, .mprotect, .msync: [ENOMEM, EINVAL]
            case .personality: [EPERM]
            case .statx, .fstatfs: [EBADF, EIO]
            case .lstat, .readlink: [ENOENT, EIO]
            case .fcntl: [EBADF, EINVAL, EPERM]
            case .dup: [EMFILE, EBADF]
            case .socket, .socketpair, .memfd, .eventfd, .epollCreate, .timerfdCreate: [EMFILE, ENFILE, ENOMEM]
            case .open: [ENOENT, EMFILE, ENFILE, EINTR]
            case .bind, .listen: [EADDRINUSE, EACCES]
            case .accept: [EMFILE, ENFILE, ECONNABORTED, EAGAIN, EINTR]
            case .connect: [ECONNREFUSED, ENOENT, EAGAIN, EPERM, EINTR]
            case .recvmsg: [EAGAIN, ECONNRESET, ENOMEM, EINTR]
            case .sendmsg: [EAGAIN, EPIPE, ENOBUFS, ETOOMANYREFS, EPERM, EINTR]
            case .epollControl: [ENOSPC, ENOMEM, ENOENT]
            case .epollWait: [EINTR, ENOMEM]
            case .ftruncate: [ENOSPC, EIO, EINTR]
            case .write: [EAGAIN, EIO, EINTR]
            case .poll: [ENOMEM, EINTR]
            case .processVMRead, .processVMWrite: [EFAULT, EPERM, ENOMEM]
            case .unlink: [ENOENT, EACCES]
            case .flock: [EWOULDBLOCK, ENOLCK, EINTR]
            case .read: [EIO, EINTR]
            case .signal: [EAGAIN, ENOSYS]
            case .thread: [EAGAIN]
            case .shutdown: [ENOTCONN]
            case .getrlimit: [EPERM]
            case .close, .getsockopt, .setsockopt, .ioctl, .timerfdSet, .sigaction: [EIO]
            }
        }
    }
#endif
