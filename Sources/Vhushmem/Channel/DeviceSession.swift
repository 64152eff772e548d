// SPDX-License-Identifier: BSD-3-Clause

/// A session that serves a back-end's channel on a device: a front-end, or a channel alone.
protocol DeviceSession: EventTelling {
    var device: ShmemDevice { get }
    /// The event that tells it.
    static func event(_ news: MappingNews) -> Event
}

extension DeviceSession {
    /// What there is to do for mappings: to tell of those that broke or are whole again, and to give covered pages back to their files.
    @inline(__always)
    func lookAfterMappings() {
        if loops.alarm?.wasRaised() == true || eventQueue.newsWait { tellNews() }
        if device.state.careDeadline != nil { careForMappings() }
    }

    private func careForMappings() {
        device.care()
        if loops.alarm?.wasRaised() == true { tellNews() }
    }

    /// What does not fit among the events that wait is told later.
    private func tellNews() {
        eventQueue.newsWait = false
        device.forEachNews { news in
            announce(Self.event(news))
            if eventQueue.isFull { eventQueue.newsWait = true }
            return !hasEnded && !eventQueue.isFull
        }
    }

    /// Something waits to be told, and can be now.
    @inline(__always)
    var hasSomethingToTell: Bool { eventQueue.hasDue || (eventQueue.newsWait && !eventQueue.isFull) }
}
