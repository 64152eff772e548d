// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: What the front-end says about memory and queues

extension Backend {
    /// SET_MEM_TABLE: all of guest memory, in the place of what was told before.
    func takeMemoryTable(_ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) -> BackendAnswer {
        let main = connection.main
        guard let table = MemoryTable(payload), main.descriptorCount == table.regions.count else { return .malformed }
        return BackendAnswer { () throws(Errno) in
            var all = BackendMemory()
            for (index, region) in table.regions.enumerated() {
                all = try all.adding(
                    GuestRange.map(region, fd: main.descriptor(at: index) ?? -1, alarm: connection.useAlarm()))
            }
            useMemory(all, connection)
        }
    }

    /// ADD_MEM_REG
    func addMemory(_ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) -> BackendAnswer {
        guard let region = SingleMemoryRegion(payload)?.region else { return .malformed }
        return BackendAnswer { () throws(Errno) in
            let range = try GuestRange.map(
                region, fd: connection.main.firstDescriptor ?? -1, alarm: connection.useAlarm())
            useMemory(try connection.memory.adding(range), connection)
        }
    }

    /// REM_MEM_REG
    func removeMemory(_ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) -> BackendAnswer {
        guard let region = SingleMemoryRegion(payload)?.region else { return .malformed }
        guard let left = connection.memory.removing(region) else { return .refused(ENOENT) }
        useMemory(left, connection)
        return .done
    }

    private func useMemory(_ memory: BackendMemory, _ connection: BackendConnection) {
        connection.memory = memory
        for queue in queues where queue.ring?.memoryChanged(to: memory) == true {
            _ = try? notify(queue: queue.index)
            look(at: queue)
        }
    }

    /// SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ENABLE, GET_VRING_BASE, SET_VRING_ENDIAN, VRING_KICK
    func takeVringState(
        _ request: FrontendRequest, _ payload: UnsafeRawBufferPointer, _ connection: BackendConnection
    ) -> BackendAnswer {
        guard let state = VringState(payload) else { return .malformed }
        guard let queue = queue(Int(clamping: state.queue)) else { return .refused(EINVAL) }
        switch request {
        case .setVringNum:
            guard queue.ring == nil else { return .refused(EBUSY) }
            guard let size = UInt16(exactly: state.number), size <= 1 << 15, UInt64(size).isPowerOfTwo else {
                return .refused(EINVAL)
            }
            queue.setup.size = size
        case .setVringBase:
            guard queue.ring == nil else { return .refused(EBUSY) }
            guard let base = UInt16(exactly: state.number) else { return .refused(EINVAL) }
            queue.setup.base = base
        case .getVringBase:
            return .value(UInt64(state.queue) | UInt64(stop(queue)) << 32)
        case .setVringEndian:
            guard state.number <= 1 else { return .refused(EINVAL) }
            guard queue.ring == nil else { return .refused(EBUSY) }
            // Devices of VIRTIO 1 and later know but one byte order.
            return state.number == 0 ? .done : .refused(EOPNOTSUPP)
        case .vringKick:
            // A queue that was given no kick is started by the first.
            if case .unsaid = queue.setup.kick { queue.setup.kick = .withoutDescriptor }
            look(at: queue)
        default:
            guard state.number <= 1 else { return .refused(EINVAL) }
            queue.setup.isEnabled = state.number == 1
        }
        return refreshed(queue, connection)
    }

    /// SET_VRING_ADDR
    func takeVringAddresses(_ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) -> BackendAnswer {
        guard let addresses = VringAddresses(payload) else { return .malformed }
        guard let queue = queue(Int(clamping: addresses.queue)), addresses.flags & ~VringAddresses.logsUsedRing == 0 else {
            return .refused(EINVAL)
        }
        if queue.ring != nil {
            guard queue.setup.addresses?.hasRings(of: addresses) == true else { return .refused(EBUSY) }
            queue.setup.addresses = addresses
            logChanged(of: queue, connection)
            return .done
        }
        let size = queue.setup.size
        if size > 0, !connection.memory.ranges.isEmpty, RingMemory(size: size, addresses, in: connection.memory) == nil {
            return .refused(EINVAL)
        }
        queue.setup.addresses = addresses
        return refreshed(queue, connection)
    }

    /// SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR
    func takeVringDescriptor(
        _ request: FrontendRequest, _ payload: UnsafeRawBufferPointer, _ connection: BackendConnection
    ) -> BackendAnswer {
        let main = connection.main
        guard let value = payload.integer(at: 0, as: UInt64.self), let vring = VringDescriptor(value),
            main.descriptorCount == (vring.hasDescriptor ? 1 : 0)
        else { return .malformed }
        guard let queue = queue(Int(vring.queue)) else { return .refused(EINVAL) }
        let eventfd = takeEventfd(main)
        guard vring.hasDescriptor == (eventfd != nil) else { return .refused(EINVAL) }
        switch request {
        case .setVringKick:
            let kick = eventfd.map { QueueSetup.Kick.eventfd($0) } ?? .withoutDescriptor
            if queue.isRunning { return replaceKick(of: queue, with: kick) }
            queue.setup.kick = kick
        case .setVringCall:
            queue.setup.call = eventfd
            if queue.owesCall, let eventfd { queue.owesCall = !eventfd.signal() }
        default: queue.setup.err = eventfd
        }
        return refreshed(queue, connection)
    }

    /// A queue that runs goes on with another kick. The one before may have been signalled and not read.
    private func replaceKick(of queue: BackendQueue, with kick: QueueSetup.Kick) -> BackendAnswer {
        unwatchKick(of: queue)
        queue.setup.kick = kick
        look(at: queue)
        return BackendAnswer { () throws(Errno) in
            do throws(Errno) {
                try watchKick(of: queue)
            } catch {
                pause(queue)
                throw error
            }
        }
    }

    /// The descriptor that came with a message; nil: none did, or it is not as harmless as an eventfd: a socket may linger, the server of a
    /// file may not answer, a pipe raises SIGPIPE.
    func takeEventfd(_ main: MessageStream) -> SharedDescriptor? {
        guard let fd = main.firstDescriptor, (try? FileStatus(of: fd))?.isAnonymous == true,
            let descriptor = main.takeFirstDescriptor()
        else { return nil }
        return SharedDescriptor(descriptor)
    }

    private func refreshed(_ queue: BackendQueue, _ connection: BackendConnection) -> BackendAnswer {
        BackendAnswer { () throws(Errno) in try refresh(queue, connection) }
    }
}
