// SPDX-License-Identifier: BSD-3-Clause

#if VHUSHMEM_FAULT_INJECTION
    import CGLib
    import CLinux
    import Testing

    @testable import Vhushmem

    /// A session from its beginning to its end.
    enum Life: CaseIterable {
        case frontEnd, frontEndThatWaits, frontEndThatListens, frontEndThatConnects, backEnd, backEndWithAQueue, regionAlone

        /// Returns false if it did not come to its natural end. It may do that while something fails, unless it `isToSucceed`.
        func run(_ fault: String = "no fault", isToSucceed: Bool = true) -> Bool {
            do {
                switch self {
                case .frontEnd: return try FrontendLife(fault).run()
                case .frontEndThatWaits: return try runWaiting(timeout: isToSucceed ? UInt32(patience / 1000) : 20)
                case .frontEndThatListens: return try runListening()
                case .frontEndThatConnects: return try runConnecting()
                case .backEnd: return try runBackend()
                case .backEndWithAQueue: return try runQueue()
                case .regionAlone: return try runRegion(fault)
                }
            } catch {
                return false
            }
        }

        /// A connect that waits by itself. The back-end's answers are there before its requests.
        private func runWaiting(timeout: UInt32) throws -> Bool {
            let (peer, socket) = try Peer.pair()
            let script = ScriptedBackend(peer)
            for (request, reply) in [
                (1, littleEndian(script.features)), (15, littleEndian(script.protocolFeatures)),
                (17, littleEndian(1 as UInt64)),
                (21, littleEndian(0 as UInt64)), (3, littleEndian(0 as UInt64)), (1, littleEndian(script.features)),
                (13, littleEndian(0 as UInt64)), (14, littleEndian(0 as UInt64)), (44, script.configReply),
            ] as [(UInt32, [UInt8])] { peer.send(message(request, flags: 5, reply)) }
            defer { drain(peer) }
            let frontend = try Frontend(socket: socket)
            defer { frontend.close() }
            try frontend.connectAndWait(timeout: .milliseconds(timeout))
            return frontend.isReady
        }

        private func runListening() throws -> Bool {
            let folder = try TestFolder()
            var options = FrontendOptions()
            options.isServer = true
            let frontend = try Frontend(path: folder.file("socket"), options: options)
            defer { frontend.close() }
            _ = try frontend.pollDescriptor()
            try frontend.start()
            let script = ScriptedBackend(try connectedPeer(folder))
            defer { drain(script.main) }
            takeTurns({ frontend.isReady }, { frontend.turn() }, script.step)
            return frontend.isReady
        }

        private func runConnecting() throws -> Bool {
            let folder = try TestFolder()
            let listener = TestFile(vhu_unix_stream_socket())
            var address = try SocketPath(folder.file("socket")).makeAddress()
            guard vhu_bind(listener.fd, &address.raw, address.length) == 0, listen(listener.fd, 1) == 0 else { return false }
            let frontend = try Frontend(path: folder.file("socket"))
            defer { frontend.close() }
            try frontend.start()
            let script = ScriptedBackend(Peer(vhu_accept(listener.fd)))
            defer { drain(script.main) }
            takeTurns({ frontend.isReady }, { frontend.turn() }, script.step)
            return frontend.isReady
        }

        private func runBackend() throws -> Bool {
            let folder = try TestFolder()
            let file = try makeMemfd(pages: 1)
            let backend = try Backend()
            defer { backend.close() }
            try backend.addRegion(shmid: 0, size: pageSize)
            _ = try backend.pollDescriptor()
            // The socket that a killed process has left.
            _ = try leftOver(folder)
            try backend.listen(at: folder.file("socket"))
            let peer = try connectedPeer(folder)
            let (channel, theirs) = try Peer.pair()
            defer { drain(channel) }
            peer.send(message(16, littleEndian((1 << 22 | 1 << 5 | 1 << 3) as UInt64)))
            peer.send(message(21, flags: 9), descriptors: [theirs])
            close(theirs)
            let call = TestFile(eventfd(0, vhu_eventfd_flags))
            peer.send(message(13, littleEndian(0 as UInt64)), descriptors: [call.fd])
            peer.send(message(44))
            takeTurns({ backend.isNegotiated }, { backend.turn() })
            guard backend.isNegotiated else { return false }
            channel.send(message(9, flags: 5, littleEndian(0 as UInt64)))
            try backend.map(shmid: 0, fd: file.fd, at: 0, length: pageSize)
            channel.send(message(10, flags: 5, littleEndian(0 as UInt64)))
            try backend.unmap(shmid: 0, at: 0, length: pageSize)
            return true
        }

        /// A queue with one chain in it, and an area for requests in flight.
        private func runQueue() throws -> Bool {
            let (peer, socket) = try Peer.pair()
            defer { drain(peer) }
            let ram = try makeMemfd(pages: 4)
            let kick = TestFile(eventfd(0, vhu_eventfd_flags))
            let call = TestFile(eventfd(0, vhu_eventfd_flags))
            // A descriptor of four bytes to read. The available ring has it.
            let descriptor = littleEndian(3 * pageSize) + littleEndian(4 as UInt32) + littleEndian(0 as UInt32)
            _ = pwrite(ram.fd, descriptor, descriptor.count, 0)
            _ = pwrite(ram.fd, [0, 0, 1, 0, 0, 0] as [UInt8], 6, off_t(pageSize))
            _ = pwrite(ram.fd, [0, 0, 0, 0] as [UInt8], 4, off_t(2 * pageSize))
            let backend = try Backend()
            defer { backend.close() }
            var taken = 0
            var handlers = BackendHandlers()
            handlers.queue = { backend, queue, event in
                guard case .kicked = event else { return }
                while let chain = try? backend.pop(queue: queue) {
                    taken += 1
                    try? backend.push(chain, written: 0)
                }
                _ = try? backend.notify(queue: queue)
            }
            try backend.setHandlers(handlers)
            do {
                try backend.attach(socket: socket)
            } catch {
                close(socket)
                throw error
            }
            _ = try backend.pollDescriptor()
            let memory = littleEndian(1 as UInt64) + littleEndian(0 as UInt64) + littleEndian(4 * pageSize)
            let addresses = [0, 2 * pageSize, pageSize, 0].flatMap { littleEndian($0) }
            let size =
                littleEndian(0 as UInt64) + littleEndian(0 as UInt64) + littleEndian(8 << 16 | 1 as UInt32) + [0, 0, 0, 0]
            peer.send(message(16, littleEndian((1 << 12 | 1 << 3) as UInt64)))
            peer.send(message(31, size))
            peer.send(message(2, littleEndian((1 << 32) as UInt64)))
            peer.send(message(5, memory + littleEndian(0 as UInt64) + littleEndian(0 as UInt64)), descriptors: [ram.fd])
            peer.send(message(8, littleEndian((8 << 32) as UInt64)))
            peer.send(message(9, littleEndian(0 as UInt64) + addresses))
            peer.send(message(13, littleEndian(0 as UInt64)), descriptors: [call.fd])
            peer.send(message(12, littleEndian(0 as UInt64)), descriptors: [kick.fd])
            var one: UInt64 = 1
            _ = write(kick.fd, &one, 8)
            takeTurns({ taken == 1 }, { backend.turn() })
            backend.turn()
            return taken == 1
        }

        /// A device without a session.
        private func runRegion(_ fault: String) throws -> Bool {
            let file = try makeMemfd(pages: 4)
            let device = ShmemDevice()
            var options = RegionOptions()
            options.hugePages = true
            options.holes = .zero
            let region = try device.addRegion(shmid: 0, size: 64 * pageSize, options: options)
            defer { check(region, fault) }
            let mapping = try Mapping(shmid: 0, fd: file.fd, fileOffset: 0, offset: 0, length: pageSize, writable: true)
            try region.add(mapping)
            check(region, fault)
            _ = try region.allocate(fd: file.fd, length: 2 * pageSize, alignment: 8 * pageSize)
            check(region, fault)
            try region.unmap(at: 0, length: pageSize)
            check(region, fault)
            return region.unmapAll() == 1
        }

        private func leftOver(_ folder: TestFolder) throws -> Int32 {
            var address = try SocketPath(folder.file("socket")).makeAddress()
            let socket = TestFile(vhu_unix_stream_socket())
            return vhu_bind(socket.fd, &address.raw, address.length)
        }

        private func connectedPeer(_ folder: TestFolder) throws -> Peer {
            var address = try SocketPath(folder.file("socket")).makeAddress()
            let peer = Peer(vhu_unix_stream_socket())
            guard vhu_connect(peer.fd, &address.raw, address.length) == 0 else { throw Errno(vhu_errno()) }
            return peer
        }
    }

    /// Closes the descriptors that nobody has read.
    private func drain(_ peer: Peer) {
        while let (bytes, descriptors) = peer.receive(), !bytes.isEmpty {
            for fd in descriptors { close(fd) }
        }
    }

    /// Facts that hold whatever fails.
    private func check(_ region: Region, _ fault: String) {
        #expect(region.hasSoundTable, "\(fault): table")
        #expect(region.mappings.count == Int(region.mappingCount), "\(fault): count")
        for mapping in region.mappings {
            let byte = region.withUnsafeBytes(at: mapping.offset, length: 1) { $0[0] }
            // For the guest, a page that gives EFAULT is one that its file has lost.
            if fault.hasPrefix("processVM"), fault.hasSuffix(Errno.text(EFAULT)), byte == 0 { continue }
            #expect(byte == UInt8(truncatingIfNeeded: mapping.fileOffset / pageSize) + 1, "\(fault): \(mapping)")
        }
        // Gives ENOMEM if a page of the range is unmapped.
        var residency = [UInt8](repeating: 0, count: Int(region.size / pageSize))
        #expect(mincore(region.window.baseAddress, Int(region.size), &residency) == 0, "\(fault): a hole in the window")
    }

    /// A front-end that gets every possible request.
    private final class FrontendLife {
        private let fault: String
        private let script: ScriptedBackend
        private let frontend: Frontend
        private let file: TestFile

        init(_ fault: String) throws {
            self.fault = fault
            file = try makeMemfd(pages: 4)
            let (peer, socket) = try Peer.pair()
            script = ScriptedBackend(peer)
            frontend = try Frontend(socket: socket)
        }

        deinit {
            frontend.close()
            drain(script.main)
        }

        func run() throws -> Bool {
            let frontend = self.frontend
            _ = try frontend.pollDescriptor()
            try frontend.start()
            takeTurns({ frontend.isReady }, script.step, { frontend.turn() })
            guard frontend.isReady, let region = frontend.device.region(shmid: 0) else { return false }
            defer { check(region, fault) }
            var isComplete = ask(region, map: 0, pages: 2)
            isComplete = ask(region, map: 8, pages: 2) && isComplete
            isComplete = ask(region, map: 31, pages: 2) && isComplete
            isComplete = ask(region, unmap: 0, pages: 2) && isComplete
            isComplete = guestTouches(region) && isComplete
            try frontend.reset()
            takeTurns({ !frontend.isResetting }, script.step, { frontend.turn() })
            isComplete = ask(region, map: 4, pages: 1) && isComplete
            return isComplete && frontend.isReady
        }

        private func ask(_ region: Region, map page: UInt64, pages: UInt64) -> Bool {
            script.channel?.send(
                mapMessage(offset: page * pageSize, length: pages * pageSize, flags: page & 1), descriptors: [file.fd])
            return finish(region, 9, page, pages, isMapped: true)
        }

        private func ask(_ region: Region, unmap page: UInt64, pages: UInt64) -> Bool {
            script.channel?.send(unmapMessage(offset: page * pageSize, length: pages * pageSize))
            return finish(region, 10, page, pages, isMapped: false)
        }

        /// Whether it was done. An answer tells the truth, whatever fails.
        private func finish(_ region: Region, _ request: UInt32, _ page: UInt64, _ pages: UInt64, isMapped: Bool) -> Bool {
            frontend.turn()
            frontend.turn()
            check(region, fault)
            guard let answer = script.channel?.answer(to: request) else { return false }
            let isThere = region.translate(page * pageSize, length: pages * pageSize) != nil
            let shouldBeThere = isMapped ? answer == 0 : answer != 0 && answer != Int64(-ENOENT)
            if frontend.connection?.channel != nil { #expect(isThere == shouldBeThere, "\(fault): answered \(answer)") }
            return answer == 0
        }

        private func guestTouches(_ region: Region) -> Bool {
            var isComplete = true
            for (page, access) in [(3, .write), (8, .write), (20, .read), (21, .write)] as [(UInt64, GuestAccess)] {
                let refused = refusal { () throws(ShmemError) in
                    try region.resolveGuestFault(at: page * pageSize, length: 1, access: access)
                }
                isComplete = isComplete && refused == nil
                check(region, fault)
            }
            withUnsafeTemporaryAllocation(byteCount: 8, alignment: 8) { bytes in
                for isWrite in [false, true] {
                    bytes.initializeMemory(as: UInt8.self, repeating: 1)
                    let refused = refusal { () throws(ShmemError) in
                        try region.emulateGuestAccess(at: 31 * pageSize, data: bytes, isWrite: isWrite)
                    }
                    isComplete = isComplete && refused == nil
                }
            }
            return isComplete
        }
    }
#endif
