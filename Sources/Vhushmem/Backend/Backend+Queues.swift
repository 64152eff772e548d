// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: What the front-end says about queues

extension Backend {
    /// SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ENABLE, GET_VRING_BASE, SET_VRING_ENDIAN, VRING_KICK: a queue and a number.
    func takeVringState(
        _ payload: UnsafeRawBufferPointer, _ body: (BackendQueue, UInt32) -> BackendAnswer
    ) -> BackendAnswer {
        guard let state = unsafe VringState(payload) else { return .malformed }
        guard let queue = queue(Int(clamping: state.queue)) else { return noQueue(state.queue) }
        return body(queue, state.number)
    }

    private func noQueue(_ index: UInt32) -> BackendAnswer {
        .refused(EINVAL, "there is no queue \(index): the device has \(queues.count)")
    }

    private func isStarted(_ queue: BackendQueue) -> BackendAnswer {
        .refused(EBUSY, "queue \(queue.index) is started")
    }

    /// SET_VRING_NUM
    func takeSize(_ number: UInt32, of queue: BackendQueue, _ connection: BackendConnection) -> BackendAnswer {
        guard queue.ring == nil else { return isStarted(queue) }
        guard let size = UInt16(exactly: number), size <= 1 << 15, UInt64(size).isPowerOfTwo else {
            return .refused(EINVAL, "a queue cannot have \(number) entries: its size is a power of two, at most 32768")
        }
        queue.setup.size = size
        return refreshed(queue, connection)
    }

    /// SET_VRING_BASE
    func takeBase(_ number: UInt32, of queue: BackendQueue, _ connection: BackendConnection) -> BackendAnswer {
        guard queue.ring == nil else { return isStarted(queue) }
        guard let base = UInt16(exactly: number) else {
            return .refused(EINVAL, "\(number) is no index of a split queue: an index has 16 bits")
        }
        queue.setup.base = base
        return refreshed(queue, connection)
    }

    /// GET_VRING_BASE
    func answerBase(of queue: BackendQueue) -> BackendAnswer {
        .value(UInt64(UInt32(clamping: queue.index)) | UInt64(stop(queue)) << 32)
    }

    /// SET_VRING_ENABLE
    func takeEnable(_ number: UInt32, of queue: BackendQueue, _ connection: BackendConnection) -> BackendAnswer {
        guard number <= 1 else { return .refused(EINVAL, "\(number) is neither 0 nor 1") }
        queue.setup.isEnabled = number == 1
        queue.setup.enableWasSaid = true
        return refreshed(queue, connection)
    }

    /// SET_VRING_ENDIAN
    func takeByteOrder(_ number: UInt32, of queue: BackendQueue) -> BackendAnswer {
        guard number <= 1 else { return .refused(EINVAL, "\(number) is neither 0 nor 1") }
        guard queue.ring == nil else { return isStarted(queue) }
        // Devices of VIRTIO 1 and later have only one byte order.
        return number == 0 ? .done : .refused(EOPNOTSUPP, "this library supports little-endian rings only")
    }

    /// VRING_KICK
    func takeKick(of queue: BackendQueue, _ connection: BackendConnection) -> BackendAnswer {
        // The first kick starts a queue that got no descriptor for kicks.
        if case .unsaid = queue.setup.kick { queue.setup.kick = .withoutDescriptor }
        look(at: queue)
        return refreshed(queue, connection)
    }

    /// SET_VRING_ADDR
    func takeVringAddresses(_ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) -> BackendAnswer {
        guard let addresses = unsafe VringAddresses(payload) else { return .malformed }
        guard let queue = queue(Int(clamping: addresses.queue)) else { return noQueue(addresses.queue) }
        guard addresses.flags & ~VringAddresses.logsUsedRing == 0 else {
            return .refused(EINVAL, "the flags \(hex(UInt64(addresses.flags))) have unknown bits")
        }
        if queue.ring != nil {
            guard queue.setup.addresses?.hasRings(of: addresses) == true else { return isStarted(queue) }
            queue.setup.addresses = addresses
            logChanged(of: queue, connection)
            return .done
        }
        let size = queue.setup.size
        if size > 0, !connection.memory.ranges.isEmpty, RingMemory(size: size, addresses, in: connection.memory) == nil {
            return .refused(ShmemError.ringsOutside(queue.index))
        }
        queue.setup.addresses = addresses
        return refreshed(queue, connection)
    }

    /// SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR: a queue, and an eventfd or none.
    func takeVringDescriptor(
        _ payload: UnsafeRawBufferPointer, _ connection: BackendConnection,
        _ body: (BackendQueue, SharedDescriptor?) -> BackendAnswer
    ) -> BackendAnswer {
        let main = connection.main
        guard let value = unsafe payload.integer(at: 0, as: UInt64.self), let vring = VringDescriptor(value),
            main.descriptorCount == (vring.hasDescriptor ? 1 : 0)
        else { return .malformed }
        guard let queue = queue(Int(vring.queue)) else { return noQueue(UInt32(vring.queue)) }
        let eventfd = takeEventfd(main)
        guard vring.hasDescriptor == (eventfd != nil) else { return .refused(.noEventfd) }
        return body(queue, eventfd)
    }

    /// SET_VRING_KICK
    func setKick(
        _ eventfd: SharedDescriptor?, of queue: BackendQueue, _ connection: BackendConnection
    ) -> BackendAnswer {
        let kick = eventfd.map { QueueSetup.Kick.eventfd($0) } ?? .withoutDescriptor
        if queue.isRunning { return replaceKick(of: queue, with: kick) }
        queue.setup.kick = kick
        return refreshed(queue, connection)
    }

    /// SET_VRING_CALL
    func setCall(
        _ eventfd: SharedDescriptor?, of queue: BackendQueue, _ connection: BackendConnection
    ) -> BackendAnswer {
        queue.setup.call = eventfd
        if queue.owed.contains(.call) { tell(queue, .call) }
        return .done
    }

    /// A running queue gets another kick. The old one may be signalled and not read.
    private func replaceKick(of queue: BackendQueue, with kick: QueueSetup.Kick) -> BackendAnswer {
        unwatchKick(of: queue)
        queue.setup.kick = kick
        look(at: queue)
        return BackendAnswer { () throws(ShmemError) in
            do throws(ShmemError) {
                try watchKick(of: queue)
            } catch {
                pause(queue)
                throw error
            }
        }
    }

    /// The eventfd that came with a message; nil: none did, or it may do harm that an eventfd cannot: a socket may linger, the
    /// server of a file may not answer, a pipe raises SIGPIPE, and a look at an epoll waits for another process that is inside
    /// of it.
    func takeEventfd(_ main: MessageStream) -> SharedDescriptor? {
        guard let fd = main.firstDescriptor, (try? FileStatus(of: fd))?.mayBeEventfd(fd) == true,
            let descriptor = main.takeFirstDescriptor()
        else { return nil }
        return SharedDescriptor(descriptor)
    }

    private func refreshed(_ queue: BackendQueue, _ connection: BackendConnection) -> BackendAnswer {
        BackendAnswer { () throws(ShmemError) in try refresh(queue, connection) }
    }
}

extension ShmemError {
    static func ringsOutside(_ queue: Int) -> ShmemError {
        ShmemError(EINVAL, "the rings of queue \(queue) are not all in guest memory, or not aligned")
    }

    static var noEventfd: ShmemError { ShmemError(EINVAL, "its descriptor is no eventfd") }
}
