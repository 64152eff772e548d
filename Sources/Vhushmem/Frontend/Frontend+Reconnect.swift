// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What happens when a back-end has gone and another one comes in its place.
extension Frontend {
    /// Requests can be sent, if only to tell a back-end that came back what it has to know.
    var isTalking: Bool { phase == .ready || phase == .restoring }

    /// Microseconds.
    var attemptAfterPause: UInt64 { Clock.now() &+ UInt64(options.reconnectInterval) &* 1000 }

    /// Looks for a back-end if it is time to.
    func lookAgain() {
        guard let when = nextAttempt, Clock.now() >= when else { return }
        nextAttempt = nil
        negotiated = Negotiated()
        ending = nil
        do throws(Errno) {
            try open()
        } catch {
            // Nobody is there yet: nothing has happened that would be worth an event.
            phase = .away
            nextAttempt = attemptAfterPause
        }
    }

    /// The device does not run any more, and nothing is mapped: what a reset leaves.
    func forgetRunning() {
        running.isStarted = false
        running.life &+= 1
        // What is in flight there is nothing to a device that begins anew.
        running.inflight = nil
        device.unmapAll()
    }

    /// Tells a back-end that came back all that a running device needs; then it is ready.
    func restore() {
        phase = .restoring
        do throws(ShmemError) {
            guard running.features & ~features == 0 else {
                throw ShmemError(
                    EPROTO,
                    "the back-end came back without the virtio features \(hex(running.features & ~features)), which are in use")
            }
            for index in running.queues.indices {
                // Where it began is long gone by, unless the back-end has a book that tells it more.
                if let error = running.queues[index].goOnFromUsed(), running.inflight == nil {
                    throw ShmemError(
                        error.code,
                        "queue \(index) can't go on: the index of its used ring at \(hex(running.queues[index].used)) can't be read:"
                            + " \(Errno.text(error.code))")
                }
            }
            tell(try startSteps()) { [self] in finishRestoring() }
        } catch {
            end(error)
        }
    }

    private func finishRestoring() {
        // It may have been stopped meanwhile, and guest memory may have changed.
        guard running.isStarted else { return tell(stopSteps { _ in }) { [self] in announceReady() } }
        do throws(ShmemError) {
            let steps = try memorySteps()
            guard steps.isEmpty else { return tell(steps) { [self] in finishRestoring() } }
        } catch {
            return end(error)
        }
        // What was signalled to the one before may have been lost with it.
        for queue in running.queues { queue.kick.signal() }
        announceReady()
    }

    private func tell(_ steps: [FrontendSequence.Step], then goOn: @escaping () -> Void) {
        FrontendSequence(steps).run(on: self) { [self] error in
            if let error { end(error) } else { goOn() }
        }
    }
}

extension FrontendQueue {
    /// A back-end that is gone can't tell where it stopped: what it has not used is to be taken anew, and the used ring's index says
    /// where that begins. Returns why that can't be read; nil: it was.
    fileprivate mutating func goOnFromUsed() -> Errno? {
        var index: UInt16 = 0
        guard let ring = UnsafeMutableRawPointer(bitPattern: UInt(used &+ 2)) else { return Errno(EFAULT) }
        do throws(Errno) {
            let copied = try withUnsafeMutableBytes(of: &index) { bytes throws(Errno) in
                try bytes.baseAddress.map { start throws(Errno) in try MemoryCalls.copy(from: ring, to: start, 2) }
            }
            guard copied == 2 else { return Errno(EFAULT) }
        } catch {
            return error
        }
        base = index
        return nil
    }
}

extension SharedMemoryConfig {
    /// The regions can't change, since the guest has seen them. nil: they have not; else how they differ.
    func difference(from now: SharedMemoryConfig) -> ShmemError? {
        var differences = ""
        for shmid in UInt8.min...UInt8.max where self[shmid] != now[shmid] {
            let what: Sentence =
                if self[shmid] == 0 {
                    "region \(shmid) of \(hex(now[shmid])) bytes is new"
                } else if now[shmid] == 0 {
                    "region \(shmid) of \(hex(self[shmid])) bytes is missing"
                } else {
                    "region \(shmid) has \(hex(now[shmid])) bytes and had \(hex(self[shmid]))"
                }
            if !differences.isEmpty { differences += ", " }
            differences += what.text
        }
        return differences.isEmpty ? nil : ShmemError(EPROTO, "the back-end came back with other regions: \(differences)")
    }
}
