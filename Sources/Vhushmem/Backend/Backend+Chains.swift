// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: What the device does with queues

extension Backend {
    /// Returns the address of a range of guest memory in this process.
    ///
    /// - Parameters:
    ///   - guestAddress: guest address of its first byte.
    ///   - length: bytes.
    /// - Returns: the first byte, valid until the next dispatch; nil: the range is not all in one range that the front-end has
    ///   told of, or may only be read.
    public func guestMemory(at guestAddress: UInt64, length: UInt64) -> UnsafeMutableRawPointer? {
        unsafe connection?.memory.host(at: guestAddress, length: length, isWritten: true)
    }

    /// The same for an address of the front-end's process, as in SET_VRING_ADDR.
    ///
    /// - Parameters:
    ///   - address: the address there.
    ///   - length: bytes.
    /// - Returns: the address in this process, valid until the next dispatch.
    public func guestMemory(atUser address: UInt64, length: UInt64) -> UnsafeMutableRawPointer? {
        unsafe connection?.memory.host(atUser: address, length: length)
    }

    /// Tells whether a queue runs: it is started, enabled and not broken, and the event has said so.
    ///
    /// - Parameter index: the queue's number.
    /// - Returns: whether it does.
    public func isRunning(queue index: Int) -> Bool {
        queue(index)?.isAnnounced ?? false
    }

    /// Takes the next chain of a running queue.
    ///
    /// - Parameter index: the queue's number.
    /// - Returns: the chain; nil: there is none now.
    /// - Throws: EINVAL (there is no such queue), ENOTCONN (it does not run), EPROTO (it is broken; if this call found that,
    ///   the event came first).
    public func pop(queue index: Int) throws(ShmemError) -> DescriptorChain? {
        var isAll = false
        let chain = unsafe take(from: index, &isAll)?.takeRetainedValue()
        if !isAll { try finishPop(of: index, hasChain: chain != nil) }
        return chain
    }

    /// The part of `pop` that calls nothing of the program. `isAll`: nothing is left to do; else `finishPop` does it. The
    /// caller owns the reference.
    @inline(__always)
    func take(from index: Int, _ isAll: inout Bool) -> Unmanaged<DescriptorChain>? {
        // SAFETY: nothing here lets go of the rings.
        guard let ring = unsafe rings[index] else { return nil }
        return unsafe ring._withUnsafeGuaranteedRef { ring in
            guard ring.isAnnounced, let chain = unsafe ring.take() else { return nil }
            isAll = !ring.refused.isAny
            return unsafe chain
        }
    }

    /// Throws the reason why no chain was taken. It may call the device.
    @inline(never)
    func finishPop(of index: Int, hasChain: Bool) throws(ShmemError) {
        let ring = try running(index)
        if let found = ring.found {
            ring.found = nil
            throw broken(ring, found)
        }
        popped(ring, index, isEnd: !hasChain)
    }

    func popped(_ ring: Virtqueue, _ index: Int, isEnd: Bool) {
        // Chains went back that the device has not seen, so it cannot notify the driver of them.
        guard ring.refused.take() else { return }
        if isEnd, ring.refused.areEnough { lookLater(at: queues[index]) }
        _ = try? notify(queue: index)
    }

    /// Gives a chain back.
    ///
    /// - Parameters:
    ///   - chain: one that was popped.
    ///   - written: how many bytes of the writable memory were written.
    /// - Throws: EINVAL (more than could be), ESTALE (the queue was stopped meanwhile, or the chain was given back before),
    ///   EAGAIN (the front-end has taken the memory of the rings away for now: the event `kicked` tells when it is back),
    ///   EPROTO (the queue is broken).
    public func push(_ chain: DescriptorChain, written: UInt32) throws(ShmemError) {
        guard case .done = giveBack(chain, written: written, isGiven: false) else {
            throw refusal(of: chain, written: written)
        }
    }

    /// If it failed, `refusal` says why. It calls nothing of the program. `isGiven`: as for `Virtqueue.push`.
    @inline(__always)
    func giveBack(_ chain: DescriptorChain, written: UInt32, isGiven: Bool) -> Virtqueue.Return {
        guard UInt64(written) <= chain.writableSize, let ring = unsafe rings[chain.home.index] else { return .notHeld }
        // SAFETY: the rings are in use, so their queue has them.
        let (result, hasMore) = unsafe ring._withUnsafeGuaranteedRef { ring -> (Virtqueue.Return, Bool) in
            guard chain.isHeld(from: ring) else { return (.notHeld, false) }
            return (ring.push(chain, written: written, isGiven: isGiven), ring.hasMoreToDo)
        }
        // If the push was refused, that does no harm.
        if hasMore { unsafe finishPush(ring.takeUnretainedValue()) }
        return result
    }

    /// The reason why a chain cannot be given back.
    @inline(never)
    func refusal(of chain: DescriptorChain, written: UInt32) -> ShmemError {
        if UInt64(written) > chain.writableSize { return Backend.tooMuch }
        do throws(ShmemError) {
            let (queue, ring) = try holder(of: chain)
            return ring.fault.map { $0.error(of: queue.index) } ?? Backend.ringsAway(queue.index)
        } catch {
            return error
        }
    }

    private static func ringsAway(_ queue: Int) -> ShmemError {
        ShmemError(EAGAIN, "the rings of queue \(queue) are not in guest memory now")
    }

    @inline(never)
    func finishPush(_ ring: Virtqueue) {
        if ring.tellsOfWrites { connection?.logCall?.signal() }
        if ring.hasRoomAgain() { lookLater(at: queues[ring.index]) }
    }

    /// A later dispatch tells the device that the queue was kicked.
    private func lookLater(at queue: BackendQueue) {
        look(at: queue)
        watch()
    }

    /// Puts the chain that was taken last back, to be taken again.
    ///
    /// - Parameter chain: one that was popped.
    /// - Throws: EINVAL (it is not that one), ESTALE, EPROTO (the queue is broken).
    public func putBack(_ chain: DescriptorChain) throws(ShmemError) {
        let (queue, ring) = try holder(of: chain)
        if let fault = ring.fault { throw fault.error(of: queue.index) }
        guard ring.putBack(chain) else {
            throw ShmemError(EINVAL, "it is not the chain that was taken last")
        }
        // The back-end has let go of its kick, and this chain was not among those that the device had not taken.
        if !queue.isRunning { queue.kick?.signal() }
    }

    /// Tells the driver that chains were given back, if it wants to know.
    ///
    /// - Parameter index: the queue's number.
    /// - Returns: whether the driver was told. If that is impossible now, the back-end does it later.
    /// - Throws: EINVAL (there is no such queue), ENOTCONN (it is not started), EPROTO (it is broken).
    @discardableResult
    public func notify(queue index: Int) throws(ShmemError) -> Bool {
        // SAFETY: a ring that is in use belongs to its queue.
        guard let ring = unsafe rings[index]?.takeUnretainedValue() else { throw refusal(index) }
        if let fault = ring.fault { throw broken(ring, fault) }
        guard ring.wantsCall() else { return false }
        let queue = queues[index]
        let isTold = tell(queue, .call)
        // A message may wait for the socket.
        if queue.call == nil, connection?.calls.isBusy == true { watch() }
        return isTold
    }

    /// Says whether the driver should kick. It need not heed it.
    ///
    /// - Parameters:
    ///   - wanted: whether the driver should kick.
    ///   - index: the queue's number.
    /// - Returns: whether there is something to take already, for which no kick comes.
    /// - Throws: what `pop` does.
    @discardableResult
    public func setKicks(_ wanted: Bool, queue index: Int) throws(ShmemError) -> Bool {
        let ring = try running(index)
        do throws(VirtqueueFault) {
            return try ring.setKicks(wanted)
        } catch {
            throw broken(ring, error)
        }
    }

    /// Breaks a queue, because the device found that the driver put something impossible into it.
    ///
    /// - Parameter index: the queue's number.
    /// - Throws: what `pop` does.
    public func breakQueue(_ index: Int) throws(ShmemError) {
        _ = try running(index)
        breakDown(queues[index], VirtqueueFault("the device does not understand what the driver wants"))
    }

    static var tooMuch: ShmemError { ShmemError(EINVAL, "more bytes were written than a chain has room for") }

    static var stale: ShmemError { ShmemError(ESTALE, "the queue was stopped since the chain was taken") }

    /// The rings of a queue that runs, as far as the device was told.
    func running(_ index: Int) throws(ShmemError) -> Virtqueue {
        // SAFETY: a ring that is in use belongs to its queue.
        guard let ring = unsafe rings[index]?.takeUnretainedValue(), ring.isAnnounced, ring.fault == nil else {
            throw refusal(index)
        }
        return ring
    }

    /// The reason why a queue cannot be used.
    func refusal(_ index: Int) -> ShmemError {
        guard let queue = queue(index) else { return ShmemError(EINVAL, "the device has no queue \(index)") }
        return queue.ring?.fault.map { $0.error(of: index) } ?? ShmemError(ENOTCONN, "queue \(index) does not run")
    }

    /// The rings that the chain was taken from, if they are still in use.
    private func holder(of chain: DescriptorChain) throws(ShmemError) -> (BackendQueue, Virtqueue) {
        guard let queue = queue(chain.home.index), let ring = queue.ring, chain.isHeld(from: ring) else { throw Backend.stale }
        return (queue, ring)
    }

    /// Breaks the queue. Returns the error to throw.
    func broken(_ ring: Virtqueue, _ fault: VirtqueueFault) -> ShmemError {
        breakDown(queues[ring.index], fault)
        return fault.error(of: ring.index)
    }
}
