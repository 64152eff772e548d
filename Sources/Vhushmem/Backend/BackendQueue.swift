// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What happened to a virtqueue of a back-end.
public enum BackendQueueEvent {
    /// From now on chains can be taken.
    case started
    /// The driver has put something in, or may have before the queue was started: take chains until there are no more.
    case kicked
    /// No more chains are to be taken. Those that the device holds are given back now, or never.
    case stopped
    /// The driver, or the front-end, did what can't be; the queue is not touched until it is set up again. No `stopped` follows, and the
    /// chains that the device holds can't be given back.
    case broken(ShmemError)
}

/// A virtqueue as the front-end sets it up, message by message.
///
/// It is started once it has a size, addresses and a kick and is enabled; it is stopped by GET_VRING_BASE. While it is started and
/// enabled it runs.
final class BackendQueue {
    let index: Int
    /// Entries; 0: not said.
    var size: UInt16 = 0
    /// Where in the available ring to begin.
    var base: UInt16 = 0
    var addresses: VringAddresses?
    var kick: SharedDescriptor?
    var call: SharedDescriptor?
    var err: SharedDescriptor?
    /// SET_VRING_KICK came, with a descriptor or (for a device that looks by itself) with none.
    var hasKick = false
    var isEnabled = false
    /// There from the start of the queue until it is stopped.
    var ring: Virtqueue?
    var isRunning = false
    /// The device was told that it runs, and not yet that it does not.
    var isAnnounced = false
    /// The kick is among those that the back-end waits for.
    var isWatched = false
    /// To be reported as kicked, though nobody has.
    var mustBeLookedAt = false
    /// The driver wanted to be told, and there was nothing to tell it by.
    var owesCall = false

    init(_ index: Int) {
        self.index = index
    }

    var canRun: Bool {
        isEnabled && hasKick && size > 0 && addresses != nil && ring?.fault == nil
    }

    /// As it is before the front-end has said anything. The kick is not watched.
    func reset() {
        size = 0
        base = 0
        addresses = nil
        kick = nil
        call = nil
        err = nil
        hasKick = false
        isEnabled = false
        ring = nil
        mustBeLookedAt = false
        owesCall = false
    }
}

// MARK: Running

extension Backend {
    /// Starts or stops working on a queue, as what is known of it demands. Throws EINVAL (its rings are not in guest memory), and what
    /// waiting for its kick does.
    func refresh(_ queue: BackendQueue) throws(Errno) {
        guard queue.canRun else { return pause(queue) }
        guard !queue.isRunning, let addresses = queue.addresses else { return }
        // First: a queue that is refused its kick has not been started.
        try watchKick(of: queue)
        if queue.ring == nil {
            do throws(VirtqueueFault) {
                queue.ring = try Virtqueue(
                    size: queue.size, base: queue.base, features: features, addresses: addresses, memory: memory,
                    ledger: inflight?.ledger(queue: queue.index, size: queue.size))
            } catch {
                unwatchKick(of: queue)
                throw Errno(EINVAL)
            }
        }
        queue.isRunning = true
        logChanged(of: queue)
        // The device is told when the front-end has its answer, for whose sake it may ask the front-end something. By then there may be
        // something in the queue for which no kick comes.
        look(at: queue)
    }

    /// It is to be reported as kicked.
    func look(at queue: BackendQueue) {
        guard queue.isRunning else { return }
        queue.mustBeLookedAt = true
        hasQueueToLookAt = true
    }

    func pause(_ queue: BackendQueue) {
        unwatchKick(of: queue)
        guard queue.isRunning else { return }
        queue.isRunning = false
        queue.mustBeLookedAt = false
        guard queue.isAnnounced else { return }
        queue.isAnnounced = false
        handlers.queue?(self, queue.index, .stopped)
    }

    /// Stops a queue for good, and gives where it stopped.
    func stop(_ queue: BackendQueue) -> UInt16 {
        // The device gives back what it holds while it is told; so the ring goes after that.
        pause(queue)
        let base = queue.ring?.nextAvailable ?? queue.base
        queue.ring = nil
        queue.base = base
        queue.kick = nil
        queue.hasKick = false
        return base
    }

    /// All queues stop, and are disabled.
    func stopQueues() {
        for queue in queues {
            _ = stop(queue)
            queue.isEnabled = false
        }
    }

    /// A kick that can't be waited for is forgotten: what comes next is not refused for its sake.
    func watchKick(of queue: BackendQueue) throws(Errno) {
        guard let kick = queue.kick, !queue.isWatched else { return }
        do throws(Errno) {
            let set: ReadableSet
            if let kicks { set = kicks } else { set = try ReadableSet.make() }
            kicks = set
            try set.insert(kick.fd, tag: UInt32(clamping: queue.index))
            queue.isWatched = true
        } catch {
            queue.kick = nil
            queue.hasKick = false
            throw error
        }
    }

    func unwatchKick(of queue: BackendQueue) {
        guard queue.isWatched, let kick = queue.kick else { return }
        kicks?.remove(kick.fd)
        queue.isWatched = false
    }

    /// Reports the queues that have begun to run, those that were kicked, and those that have to be looked at unasked. Returns how many
    /// of the latter there were.
    func serveKicks(_ areReady: Bool) -> Int32 {
        var count: Int32 = 0
        if hasQueueToLookAt { announceQueues() }
        if areReady, let kicks {
            for tag in kicks.readable() {
                guard let queue = queue(Int(tag)), queue.isWatched, let kick = queue.kick else { continue }
                guard kick.drain() else {
                    breakDown(queue, VirtqueueFault("its kick can't be read"))
                    continue
                }
                look(at: queue)
            }
        }
        guard hasQueueToLookAt else { return 0 }
        hasQueueToLookAt = false
        for queue in queues where queue.mustBeLookedAt {
            // One that was started in a callback is told so first, in the next turn.
            guard queue.isAnnounced else {
                hasQueueToLookAt = true
                continue
            }
            queue.mustBeLookedAt = false
            count = count &+ 1
            handlers.queue?(self, queue.index, .kicked)
        }
        return count
    }

    /// By the descriptor that the front-end gave for it; where it gave none, by a message, if it wants those. False: in neither way.
    @discardableResult
    func tell(_ queue: BackendQueue, by eventfd: SharedDescriptor?, orBy request: UInt32) -> Bool {
        if let eventfd { return eventfd.signal() }
        guard protocolFeatures.contains(.inbandNotifications), let channel else { return false }
        let state = VringState(queue: UInt32(clamping: queue.index), number: 0)
        return withUnsafeTemporaryAllocation(byteCount: VringState.size, alignment: 8) { payload in
            state.encode(into: payload)
            // Whatever answer is awaited: this one has none.
            return (try? transmit(request, UnsafeRawBufferPointer(payload), fd: nil, needsReply: false, on: channel)) == 0
        }
    }

    private func announceQueues() {
        for queue in queues where queue.isRunning && !queue.isAnnounced {
            queue.isAnnounced = true
            handlers.queue?(self, queue.index, .started)
        }
    }

    func queue(_ index: Int) -> BackendQueue? {
        queues.indices.contains(index) ? queues[index] : nil
    }

    /// A queue that can't go on: it is left alone, and all who may care are told.
    func breakDown(_ queue: BackendQueue, _ fault: VirtqueueFault) {
        queue.ring?.breakDown(fault)
        unwatchKick(of: queue)
        guard queue.isRunning else { return }
        queue.isRunning = false
        queue.isAnnounced = false
        queue.mustBeLookedAt = false
        status |= DeviceStatus.needsReset
        tell(queue, by: queue.err, orBy: BackendRequest.vringErr)
        handlers.queue?(self, queue.index, .broken(fault.error(of: queue.index)))
    }
}

extension VirtqueueFault {
    func error(of queue: Int) -> ShmemError {
        ShmemError(EPROTO, "queue \(queue) is broken: \(sentence)")
    }
}
