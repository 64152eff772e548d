// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: From one state of a queue to another

extension Backend {
    /// Starts or stops working on a queue, as what is known of it demands. Throws EINVAL (its rings are not in guest memory), and what
    /// waiting for its kick does.
    func refresh(_ queue: BackendQueue, _ connection: BackendConnection) throws(ShmemError) {
        guard let addresses = queue.setup.runnableAddresses, queue.ring?.fault == nil else { return pause(queue) }
        guard !queue.isRunning else { return }
        // First: a queue that is refused its kick has not been started.
        try watchKick(of: queue)
        if queue.ring != nil {
            queue.move(to: .starting)
        } else {
            do throws(VirtqueueFault) {
                queue.start(
                    try Virtqueue(
                        index: queue.index, size: queue.setup.size, base: queue.setup.base, features: connection.features,
                        addresses: addresses, memory: connection.memory,
                        ledger: connection.inflight?.ledger(queue: queue.index, size: queue.setup.size)))
            } catch {
                unwatchKick(of: queue)
                throw ShmemError.ringsOutside(queue.index)
            }
        }
        // The device is told when the front-end has its answer, for whose sake it may ask the front-end something. By then there may be
        // something in the queue for which no kick comes.
        reports = .due
        logChanged(of: queue, connection)
    }

    /// No more chains are taken. The device may give back what it holds.
    func pause(_ queue: BackendQueue) {
        guard queue.isRunning else { return }
        let wasAnnounced = queue.isAnnounced
        unwatchKick(of: queue)
        queue.move(to: .paused)
        if wasAnnounced { callNow { handlers.queue?(self, queue.index, .stopped) } }
    }

    /// Stops a queue for good, and gives where it stopped.
    func stop(_ queue: BackendQueue) -> UInt16 {
        // The device gives back what it holds while it is told; so the ring goes after that.
        pause(queue)
        if let ring = queue.ring { queue.setup.base = ring.nextAvailable }
        queue.move(to: .stopped)
        if case .unsaid = queue.setup.kick { return queue.setup.base }
        queue.setup.kick = .unsaid
        return queue.setup.base
    }

    /// All queues stop, and are disabled.
    func stopQueues() {
        for queue in queues {
            _ = stop(queue)
            if queue.setup.enableWasSaid || queue.setup.isEnabled {
                queue.setup.isEnabled = false
                queue.setup.enableWasSaid = false
            }
        }
    }

    /// All are as they were before a front-end has said anything. The device is not told.
    func forgetQueues() {
        for queue in queues {
            if queue.isRunning { unwatchKick(of: queue) }
            queue.forget()
        }
        reports = .none
        polling.end()
    }

    /// A queue that can't go on, be it paused: it is left alone, and all who may care are told.
    func breakDown(_ queue: BackendQueue, _ fault: VirtqueueFault) {
        queue.ring?.breakDown(fault)
        guard queue.isRunning || queue.state == .paused else { return }
        if queue.isRunning { unwatchKick(of: queue) }
        queue.move(to: .broken)
        connection?.status |= DeviceStatus.needsReset
        tell(queue, .error)
        callNow { handlers.queue?(self, queue.index, .broken(fault.error(of: queue.index))) }
    }

    func queue(_ index: Int) -> BackendQueue? {
        queues.indices.contains(index) ? queues[index] : nil
    }
}

// MARK: Kicks and reports

extension Backend {
    /// A kick that can't be waited for is forgotten: what comes next is not refused for its sake.
    func watchKick(of queue: BackendQueue) throws(ShmemError) {
        guard case .eventfd(let kick) = queue.setup.kick else {
            if !protocolFeatures.contains(.inbandNotifications) { polling.begin() }
            return
        }
        do throws(Errno) {
            // Once: an eventfd that counts down by one with each read can be filled so that it is never read empty.
            try waitAlso(for: kick.fd, tag: UInt32(clamping: queue.index), once: true)
        } catch {
            queue.setup.kick = .unsaid
            throw ShmemError(
                error.code, "cannot wait for the kick of queue \(queue.index): \(Errno.text(error.code))")
        }
    }

    func waitAlso(for fd: Int32, tag: UInt32, once: Bool = false) throws(Errno) {
        let set: ReadableSet
        if let kicks { set = kicks } else { set = try ReadableSet.make() }
        kicks = set
        try set.insert(fd, tag: tag, once: once)
    }

    func unwatchKick(of queue: BackendQueue) {
        guard case .eventfd(let kick) = queue.setup.kick else { return }
        kicks?.remove(kick.fd)
    }

    /// It is to be reported as kicked.
    func look(at queue: BackendQueue) {
        guard queue.isRunning else { return }
        if queue.state == .running { queue.move(to: .due) }
        reports = .due
    }

    /// Reports the queues that have begun to run, those that were kicked, and those that have to be looked at unasked. Returns how many
    /// of the latter there were.
    func serveKicks(_ areReady: Bool) -> Int32 {
        if reports == .due { reportStarts() }
        if areReady { takeKicks() }
        guard reports == .due else { return 0 }
        reports = .none
        return reportKicks()
    }

    private func reportStarts() {
        for queue in queues where queue.state == .starting {
            queue.move(to: .due)
            report(queue, .started)
        }
    }

    private func takeKicks() {
        guard let kicks else { return }
        for tag in kicks.readable() {
            // A callback may have stopped it, or the front-end has given it another kick.
            guard let queue = queue(Int(tag)), queue.isRunning, case .eventfd(let kick) = queue.setup.kick else { continue }
            if kick.drain() {
                look(at: queue)
            } else {
                breakDown(queue, VirtqueueFault("its kick cannot be read"))
            }
        }
    }

    private func reportKicks() -> Int32 {
        var count: Int32 = 0
        for queue in queues {
            switch queue.state {
            case .due:
                queue.move(to: .running)
                count = count &+ 1
                report(queue, .kicked)
            // One that was started in a callback is told so first, in the next turn.
            case .starting: reports = .due
            default: break
            }
        }
        return count
    }

    /// By the descriptor that the front-end gave for it; where it gave none, by a message, if it wants those. What can be told in neither way
    /// now is owed. False: it was not told.
    @discardableResult
    func tell(_ queue: BackendQueue, _ notice: BackendQueue.Notices) -> Bool {
        let isTold: Bool
        if let eventfd = notice == .call ? queue.setup.call : queue.setup.err {
            isTold = eventfd.signal()
        } else {
            isTold = send(notice, of: queue)
        }
        if isTold { queue.owed.remove(notice) } else { queue.owed.insert(notice) }
        return isTold
    }

    /// Nobody waits here for a front-end that does not read: what its socket does not take is sent later.
    private func send(_ notice: BackendQueue.Notices, of queue: BackendQueue) -> Bool {
        guard let connection, connection.protocolFeatures.contains(.inbandNotifications), let channel = connection.channel
        else { return false }
        channel.flush()
        if channel.hasUnsent {
            sendSoon(connection)
            return false
        }
        let state = VringState(queue: UInt32(clamping: queue.index), number: 0)
        let sending = unsafe withUnsafeTemporaryAllocation(byteCount: VringState.size, alignment: 8) { payload in
            unsafe state.encode(into: payload)
            // Whatever answer is awaited: this one has none.
            return unsafe channel.send(
                .request(notice == .call ? BackendRequest.vringCall : BackendRequest.vringErr, needsReply: false),
                UnsafeRawBufferPointer(payload))
        }
        if channel.hasUnsent { sendSoon(connection) }
        return sending == .done
    }

    /// Tells by messages what could not be told so.
    func tellOwed(_ connection: BackendConnection) {
        guard connection.protocolFeatures.contains(.inbandNotifications) else { return }
        for queue in queues where !queue.owed.isEmpty {
            if queue.owed.contains(.error), queue.state == .broken { tell(queue, .error) }
            if queue.owed.contains(.call) { tell(queue, .call) }
        }
    }
}
