// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: What the front-end says about memory and queues

extension Backend {
    /// SET_MEM_TABLE: all of guest memory, in the place of what was told before.
    func takeMemoryTable(_ payload: UnsafeRawBufferPointer, _ main: MessageStream) -> BackendAnswer {
        guard let table = MemoryTable(payload), main.descriptorCount == table.regions.count else { return .malformed }
        return BackendAnswer { () throws(Errno) in
            var all = BackendMemory()
            for (index, region) in table.regions.enumerated() {
                all = try all.adding(GuestRange.map(region, fd: main.descriptor(at: index) ?? -1, alarm: useAlarm()))
            }
            useMemory(all)
        }
    }

    /// ADD_MEM_REG
    func addMemory(_ payload: UnsafeRawBufferPointer, _ main: MessageStream) -> BackendAnswer {
        guard let region = SingleMemoryRegion(payload)?.region else { return .malformed }
        return BackendAnswer { () throws(Errno) in
            useMemory(try memory.adding(GuestRange.map(region, fd: main.firstDescriptor ?? -1, alarm: useAlarm())))
        }
    }

    /// REM_MEM_REG
    func removeMemory(_ payload: UnsafeRawBufferPointer) -> BackendAnswer {
        guard let region = SingleMemoryRegion(payload)?.region else { return .malformed }
        guard let left = memory.removing(region) else { return .refused(ENOENT) }
        useMemory(left)
        return .done
    }

    private func useMemory(_ memory: BackendMemory) {
        self.memory = memory
        for queue in queues where queue.ring?.memoryChanged(to: memory) == true {
            _ = try? notify(queue: queue.index)
            look(at: queue)
        }
    }

    /// SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ENABLE, GET_VRING_BASE, SET_VRING_ENDIAN, VRING_KICK
    func takeVringState(_ request: FrontendRequest, _ payload: UnsafeRawBufferPointer) -> BackendAnswer {
        guard let state = VringState(payload) else { return .malformed }
        guard let queue = queue(Int(clamping: state.queue)) else { return .refused(EINVAL) }
        switch request {
        case .setVringNum:
            guard queue.ring == nil else { return .refused(EBUSY) }
            guard let size = UInt16(exactly: state.number), size <= 1 << 15, UInt64(size).isPowerOfTwo else {
                return .refused(EINVAL)
            }
            queue.size = size
        case .setVringBase:
            guard queue.ring == nil else { return .refused(EBUSY) }
            guard let base = UInt16(exactly: state.number) else { return .refused(EINVAL) }
            queue.base = base
        case .getVringBase:
            return .value(UInt64(state.queue) | UInt64(stop(queue)) << 32)
        case .setVringEndian:
            guard state.number <= 1 else { return .refused(EINVAL) }
            guard queue.ring == nil else { return .refused(EBUSY) }
            // Devices of VIRTIO 1 and later know but one byte order.
            return state.number == 0 ? .done : .refused(EOPNOTSUPP)
        case .vringKick:
            // A queue that was given no kick is started by the first.
            queue.hasKick = true
            look(at: queue)
        default:
            guard state.number <= 1 else { return .refused(EINVAL) }
            queue.isEnabled = state.number == 1
        }
        return refreshed(queue)
    }

    /// SET_VRING_ADDR
    func takeVringAddresses(_ payload: UnsafeRawBufferPointer) -> BackendAnswer {
        guard let addresses = VringAddresses(payload) else { return .malformed }
        guard let queue = queue(Int(clamping: addresses.queue)), addresses.flags & ~VringAddresses.logsUsedRing == 0 else {
            return .refused(EINVAL)
        }
        if queue.ring != nil {
            guard queue.addresses?.hasRings(of: addresses) == true else { return .refused(EBUSY) }
            queue.addresses = addresses
            logChanged(of: queue)
            return .done
        }
        if queue.size > 0, !memory.ranges.isEmpty, RingMemory(size: queue.size, addresses, in: memory) == nil {
            return .refused(EINVAL)
        }
        queue.addresses = addresses
        return refreshed(queue)
    }

    /// SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR
    func takeVringDescriptor(
        _ request: FrontendRequest, _ payload: UnsafeRawBufferPointer, _ main: MessageStream
    ) -> BackendAnswer {
        guard let value = payload.integer(at: 0, as: UInt64.self), let vring = VringDescriptor(value),
            main.descriptorCount == (vring.hasDescriptor ? 1 : 0)
        else { return .malformed }
        guard let queue = queue(Int(vring.queue)) else { return .refused(EINVAL) }
        let eventfd = takeEventfd(main)
        guard vring.hasDescriptor == (eventfd != nil) else { return .refused(EINVAL) }
        switch request {
        case .setVringKick:
            unwatchKick(of: queue)
            queue.kick = eventfd
            queue.hasKick = true
            // One that runs goes on, with the other kick; the one before may have been signalled and not read.
            if queue.isRunning {
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
        case .setVringCall:
            queue.call = eventfd
            if queue.owesCall, let eventfd { queue.owesCall = !eventfd.signal() }
        default: queue.err = eventfd
        }
        return refreshed(queue)
    }

    /// The descriptor that came with a message; nil: none did, or it is not as harmless as an eventfd: a socket may linger, the server of a
    /// file may not answer, a pipe raises SIGPIPE.
    func takeEventfd(_ main: MessageStream) -> SharedDescriptor? {
        guard let fd = main.firstDescriptor, (try? FileStatus(of: fd))?.isAnonymous == true,
            let descriptor = main.takeFirstDescriptor()
        else { return nil }
        return SharedDescriptor(descriptor)
    }

    private func refreshed(_ queue: BackendQueue) -> BackendAnswer {
        BackendAnswer { () throws(Errno) in try refresh(queue) }
    }
}

// MARK: What the device does with queues

extension Backend {
    /// Where this process has a range of guest memory; nil: it is not all in one range that the front-end has told of. Good until the
    /// next dispatch.
    public func guestMemory(at guestAddress: UInt64, length: UInt64) -> UnsafeMutableRawPointer? {
        memory.host(at: guestAddress, length: length)
    }

    /// Whether a queue runs: started, enabled, not broken, and the event has told so.
    public func isRunning(queue index: Int) -> Bool {
        queue(index)?.isAnnounced ?? false
    }

    /// Takes the next chain of a queue that runs; nil: there is none now. Throws EINVAL (there is no such queue), ENOTCONN (it does not run),
    /// EPROTO (it is broken, maybe just now: then the event has told).
    public func pop(queue index: Int) throws(ShmemError) -> DescriptorChain? {
        let queue = try running(index)
        return try guarded(queue) { ring throws(VirtqueueFault) in try ring.pop() }
    }

    /// Gives a chain back: `written` bytes of what could be written were. Throws EINVAL (more than could be), ESTALE (the queue was
    /// stopped meanwhile, or the chain was given back before), EAGAIN (the front-end has taken the memory of the rings away for now: the
    /// event `kicked` tells when it is back), EPROTO (the queue is broken).
    public func push(_ chain: DescriptorChain, written: UInt32) throws(ShmemError) {
        guard UInt64(written) <= chain.writableSize else {
            throw ShmemError(EINVAL, "more bytes were written than a chain has room for")
        }
        let queue = try holder(of: chain)
        guard let ring = queue.ring else { throw Backend.stale }
        switch ring.push(chain, written: written) {
        case .done: break
        case .notHeld: throw Backend.stale
        case .notNow: throw ShmemError(EAGAIN, "the rings of queue \(queue.index) are not in guest memory now")
        case .broken(let fault): throw fault.error(of: queue.index)
        }
        if isLogging { logCall?.signal() }
        guard ring.hasRoomAgain() else { return }
        look(at: queue)
        watch()
    }

    /// Puts the chain that was taken last back, to be taken again. Throws EINVAL (it is not that one), ESTALE.
    public func putBack(_ chain: DescriptorChain) throws(ShmemError) {
        let queue = try holder(of: chain)
        guard queue.ring?.putBack(chain) == true else {
            throw ShmemError(EINVAL, "it is not the chain that was taken last")
        }
    }

    /// Tells the driver that chains were given back, if it wants to know. Returns whether it was told. Throws EINVAL (there is no such
    /// queue), ENOTCONN (it is not started), EPROTO (it is broken).
    @discardableResult
    public func notify(queue index: Int) throws(ShmemError) -> Bool {
        guard let queue = queue(index), queue.ring != nil else { return try running(index).isRunning }
        guard try guarded(queue, { ring throws(VirtqueueFault) in try ring.wantsCall() }) else { return false }
        queue.owesCall = !tell(queue, by: queue.call, orBy: BackendRequest.vringCall)
        return !queue.owesCall
    }

    /// Says whether the driver is to kick; it need not heed it. Returns whether there is something to take already, of which no kick
    /// will tell. Throws what `pop` does.
    @discardableResult
    public func setKicks(_ wanted: Bool, queue index: Int) throws(ShmemError) -> Bool {
        let queue = try running(index)
        return try guarded(queue) { ring throws(VirtqueueFault) in try ring.setKicks(wanted) }
    }

    /// The device found that what the driver put into a queue can't be: the queue is broken. Throws what `pop` does.
    public func breakQueue(_ index: Int) throws(ShmemError) {
        breakDown(try running(index), VirtqueueFault("the device does not understand what the driver wants"))
    }

    private static var stale: ShmemError { ShmemError(ESTALE, "the queue was stopped since the chain was taken") }

    private func running(_ index: Int) throws(ShmemError) -> BackendQueue {
        guard let queue = queue(index) else { throw ShmemError(EINVAL, "the device has no queue \(index)") }
        if let fault = queue.ring?.fault { throw fault.error(of: index) }
        guard queue.isAnnounced else { throw ShmemError(ENOTCONN, "queue \(index) does not run") }
        return queue
    }

    private func holder(of chain: DescriptorChain) throws(ShmemError) -> BackendQueue {
        for queue in queues where queue.ring === chain.queue { return queue }
        throw Backend.stale
    }

    private func guarded<Result>(
        _ queue: BackendQueue, _ body: (Virtqueue) throws(VirtqueueFault) -> Result
    ) throws(ShmemError) -> Result {
        guard let ring = queue.ring else { throw Backend.stale }
        do throws(VirtqueueFault) {
            return try body(ring)
        } catch {
            breakDown(queue, error)
            throw error.error(of: queue.index)
        }
    }
}
