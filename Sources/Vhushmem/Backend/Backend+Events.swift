// SPDX-License-Identifier: BSD-3-Clause

/// Reports events to the program. While one of its callbacks runs, events wait, and so do STARTED and KICKED of queues. STOPPED
/// and BROKEN do not wait, because a device gives its chains back during them. Requests that the device answers itself do not
/// wait either. They nest no deeper than what is on the stack: no message is served while one is, and what they cause waits.
extension Backend: EventTelling {
    func callBack(_ event: BackendEvent) {
        onEvent?(self, event)
        if case .disconnected = event { letCallbacksGo() }
    }

    var hasEnded: Bool { isOver }

    func emit(_ event: BackendEvent) { announce(event) }

    /// Tells the device that a queue has begun, or was kicked. Call it while no callback runs.
    func report(_ queue: BackendQueue, _ event: BackendQueueEvent) {
        tell { handlers.queue?(self, queue.index, event) }
        queueListener?(queue.index)
    }

    /// The same if the device may refuse. Returns 0, or a negative errno.
    func askDevice(_ body: () throws(ShmemError) -> Void) -> Int32 {
        var result: Int32 = 0
        callNow {
            do throws(ShmemError) {
                try body()
            } catch {
                result = 0 &- error.code
            }
        }
        return result
    }
}
