// SPDX-License-Identifier: BSD-3-Clause

/// A session that serves a back-end's channel on a device: a front-end, or a channel alone.
protocol DeviceSession: EventTelling {
    var device: ShmemDevice { get }
    /// The event of a piece of news.
    static func event(_ news: MappingNews) -> Event
}

extension DeviceSession {
    /// Does what mappings need: reports those that broke or healed, and gives covered pages back to their files.
    @inline(__always)
    func lookAfterMappings() {
        if loops.alarm?.wasRaised() == true || eventQueue.newsWait { tellNews() }
        if device.state.careDeadline != nil { careForMappings() }
    }

    private func careForMappings() {
        device.care()
        if loops.alarm?.wasRaised() == true { tellNews() }
    }

    /// News that does not fit among the waiting events is reported later.
    private func tellNews() {
        eventQueue.newsWait = false
        device.forEachNews { news in
            announce(Self.event(news))
            if eventQueue.isFull { eventQueue.newsWait = true }
            return !hasEnded && !eventQueue.isFull
        }
    }

    /// Something waits and can be reported now.
    @inline(__always)
    var hasSomethingToTell: Bool { eventQueue.hasDue || (eventQueue.newsWait && !eventQueue.isFull) }
}
