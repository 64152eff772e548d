// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: From one state of a queue to another

extension Backend {
    /// Starts or stops the work on a queue, as its setup demands. Throws EINVAL (its rings are not in guest memory), and the
    /// errors of waiting for its kick.
    func refresh(_ queue: BackendQueue, _ connection: BackendConnection) throws(ShmemError) {
        guard let addresses = queue.setup.runnableAddresses, queue.ring?.fault == nil else { return pause(queue) }
        guard !queue.isRunning else { return }
        // This comes first: a queue whose kick is refused has not been started.
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
        // The device is told when the front-end has its answer, because the device may ask the front-end something. By then the
        // queue may have chains for which no kick comes.
        reports = .due
        logChanged(of: queue, connection)
    }

    /// Stops taking chains. The device may give back its chains.
    func pause(_ queue: BackendQueue) {
        guard queue.isRunning else { return }
        let wasAnnounced = queue.isAnnounced
        unwatchKick(of: queue)
        queue.move(to: .paused)
        if wasAnnounced { callNow { handlers.queue?(self, queue.index, .stopped) } }
    }

    /// Stops a queue for good, and returns where it stopped.
    func stop(_ queue: BackendQueue) -> UInt16 {
        // The device gives its chains back while it is told, so the ring goes after that.
        pause(queue)
        if let ring = queue.ring { queue.setup.base = ring.nextAvailable }
        queue.leftKick = queue.lastKick
        queue.move(to: .stopped)
        // Without another queue that has rings, nobody drains it.
        if !queues.contains(where: { $0.ring != nil }) { queues.forEach { $0.leftKick = nil } }
        if case .unsaid = queue.setup.kick { return queue.setup.base }
        queue.setup.kick = .unsaid
        return queue.setup.base
    }

    /// Stops and disables all queues.
    func stopQueues() {
        for queue in queues {
            _ = stop(queue)
            if queue.setup.enableWasSaid || queue.setup.isEnabled {
                queue.setup.isEnabled = false
                queue.setup.enableWasSaid = false
            }
        }
    }

    /// Makes all queues as they were before a front-end has said anything. The device is not told.
    func forgetQueues() {
        for queue in queues {
            if queue.isRunning { unwatchKick(of: queue) }
            queue.forget()
        }
        reports = .none
        polling.end()
    }

    /// Breaks a queue that cannot go on, even a paused one. The back-end leaves it alone, and tells the device, the driver and
    /// the front-end.
    func breakDown(_ queue: BackendQueue, _ fault: VirtqueueFault) {
        queue.ring?.breakDown(fault)
        guard queue.isRunning || queue.state == .paused else { return }
        if queue.isRunning { unwatchKick(of: queue) }
        queue.move(to: .broken)
        connection?.status |= DeviceStatus.needsReset
        tell(queue, .error)
        callNow { handlers.queue?(self, queue.index, .broken(fault.error(of: queue.index))) }
        // No dispatch may be under way, and what came inside the callback waits for one.
        watch()
    }

    func queue(_ index: Int) -> BackendQueue? {
        queues.indices.contains(index) ? queues[index] : nil
    }
}

// MARK: Kicks and reports

extension Backend {
    /// Forgets a kick that cannot be waited for, so that the next one is not refused because of it.
    func watchKick(of queue: BackendQueue) throws(ShmemError) {
        guard case .eventfd(let kick) = queue.setup.kick else {
            if !protocolFeatures.contains(.inbandNotifications) { polling.begin() }
            return
        }
        do throws(Errno) {
            // `once`: so a kick costs no read.
            try waitAlso(for: kick.fd, tag: UInt32(clamping: queue.index), once: true)
        } catch {
            queue.setup.kick = .unsaid
            throw ShmemError(
                error.code, "cannot wait for the kick of queue \(queue.index): \(Errno.text(error.code))")
        }
    }

    func waitAlso(for fd: Int32, tag: UInt32, once: Bool = false) throws(Errno) {
        try makeWaitSet().insert(fd, tag: tag, once: once)
    }

    func makeWaitSet() throws(Errno) -> TargetSet {
        if let kicks { return kicks }
        let made = try TargetSet.make()
        kicks = made
        return made
    }

    /// Nobody reads the kicks of a queue that runs, so its eventfd has old ones. Whoever has the queue next must not take them
    /// for new ones, and must hear of what the device has not taken.
    func unwatchKick(of queue: BackendQueue) {
        // A queue whose start failed has no rings. Nobody has looked for its kicks, so none is old.
        guard let kick = queue.kick, kicks?.remove(kick.fd) == true, let ring = queue.ring else { return }
        drain(kick, of: queue)
        if ring.mayHaveMore { kick.signal() }
    }

    /// Other queues may have the same eventfd, under other numbers. None of them loses a kick.
    private func drain(_ kick: SharedDescriptor, of queue: BackendQueue) {
        // Kicks that come after this look are new. So an eventfd that is empty in the next looks is another one.
        guard Readiness.canRead(kick.fd) else { return }
        // The rings of these are not known, but only a kick that was there can be lost.
        for other in queues where other !== queue && other.ring == nil {
            other.wasKicked = other.lastKick.map { Readiness.canRead($0.fd) } ?? false
        }
        guard kick.drain() else { return }
        for other in queues where other !== queue {
            if other.isRunning {
                // The epoll forgets the kick too.
                look(at: other)
            } else if other.ring?.mayHaveMore ?? other.wasKicked {
                other.lastKick?.signal()
            }
        }
    }

    /// Reports the queue as kicked, later.
    func look(at queue: BackendQueue) {
        guard queue.isRunning else { return }
        if queue.state == .running { queue.move(to: .due) }
        reports = .due
    }

    /// Reports the queues that have begun to run, those that were kicked, and those that must be looked at without a kick.
    /// Returns how many of the latter there were.
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

    /// Notes the kicks that came. The epoll reports each once, so nobody need read them. Returns the other targets that are
    /// ready; nil: nothing is. Waits at most `limit` milliseconds for something; -1: no limit.
    @discardableResult
    func takeKicks(within limit: Int32 = 0) -> ReadyTargets? {
        guard let kicks else { return nil }
        var ready: ReadyTargets = []
        let count = kicks.forEachReady(within: limit) { tag in
            if tag == TargetSet.Tag.first { ready.insert(.first) }
            // A callback may have stopped it, or the front-end has given it another kick.
            if let queue = queue(Int(tag)) { look(at: queue) }
        }
        return count == 0 ? nil : count < TargetSet.most ? ready : .both
    }

    private func reportKicks() -> Int32 {
        var count: Int32 = 0
        for queue in queues {
            switch queue.state {
            case .due:
                queue.move(to: .running)
                count = count &+ 1
                report(queue, .kicked)
            // A queue that was started in a callback is first reported as started, in the next turn.
            case .starting: reports = .due
            default: break
            }
        }
        return count
    }

    /// Notifies by the descriptor that the front-end gave; without one, by a message, if the front-end wants those. If neither
    /// is possible now, the notice is owed. False: it was not sent.
    @discardableResult
    func tell(_ queue: BackendQueue, _ notice: BackendQueue.Notices) -> Bool {
        let isTold: Bool
        if let eventfd = notice == .call ? queue.call : queue.err {
            isTold = eventfd.signal()
        } else {
            isTold = send(notice, of: queue)
        }
        if isTold { queue.owed.remove(notice) } else { queue.owed.insert(notice) }
        return isTold
    }

    /// This does not wait for a front-end that does not read: what its socket does not take is sent later.
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
            // This one has no answer, whatever answer is awaited.
            return unsafe channel.send(
                .request(notice == .call ? BackendRequest.vringCall : BackendRequest.vringErr, needsReply: false),
                UnsafeRawBufferPointer(payload))
        }
        if channel.hasUnsent { sendSoon(connection) }
        return sending == .done
    }

    /// Sends the owed notices by messages.
    func tellOwed(_ connection: BackendConnection) {
        guard connection.protocolFeatures.contains(.inbandNotifications) else { return }
        for queue in queues where !queue.owed.isEmpty {
            if queue.owed.contains(.error), queue.state == .broken { tell(queue, .error) }
            if queue.owed.contains(.call) { tell(queue, .call) }
        }
    }
}
