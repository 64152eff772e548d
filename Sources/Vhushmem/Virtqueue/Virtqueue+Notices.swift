// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: Who wants to be told

extension Virtqueue {
    /// Whether the driver wants a call for the chains that were given back since the last check (VIRTIO 1.2, 2.7.7.2).
    func wantsCall() -> Bool {
        guard fault == nil, unannounced > 0, let rings = findRings() else { return false }
        // The chains must be visible before this reads the driver's wish: the driver writes the wish and looks again.
        vhu_fence_full()
        let count = unannounced
        let isFirst = isFirstCall
        unannounced = 0
        isFirstCall = false
        guard hasEventIndex else { return rings.availableFlags & Virtqueue.noCall == 0 }
        // The driver names a used index, and wants a call when it is passed.
        return isFirst || UInt32(nextUsed &- rings.usedEvent &- 1) < count
    }

    /// Says whether the driver should kick. Returns whether there is something to take for which no kick comes. A caller that
    /// catches a fault calls `breakDown`.
    func setKicks(_ wanted: Bool) throws(VirtqueueFault) -> Bool {
        if let fault { throw fault }
        wantsKicks = wanted
        guard let rings = findRings() else { return false }
        if !hasEventIndex {
            rings.setUsedFlags(wanted ? 0 : Virtqueue.noKick)
            noteUsed(rings.place(of: .flags))
        } else if wanted {
            askForKick(rings)
        }
        guard wanted else { return false }
        // The driver must see the wish before this reads its index: the driver writes the index and looks again.
        vhu_fence_full()
        let hasNew = try waiting(rings)
        return hasNew || !begun.isEmpty
    }

    /// Whether the driver has put in something since the last check that was not all taken, for a driver that does not kick.
    func hasNews() -> Bool {
        guard fault == nil, wantsKicks, let rings = findRings() else { return false }
        let index = rings.availableIndex
        guard index != looked else { return false }
        looked = index
        return index != nextAvailable
    }

    /// With event indices, the driver kicks when its index passes the one that the device names. An index that stays behind
    /// asks for no kick (VIRTIO 1.2, 2.7.10).
    @inline(__always)
    func askForKick(_ rings: RingMemory) {
        guard hasEventIndex else { return }
        rings.setAvailableEvent(nextAvailable)
        if loggedUsedRing != nil { noteUsed(rings.place(of: .event)) }
    }
}

// MARK: Its status

extension Virtqueue {
    /// How many chains the device has.
    private var heldCount: Int {
        var count = 0
        for word in 0..<heldWords { unsafe count &+= held[word].nonzeroBitCount }
        return count
    }

    /// include/vhushmem/status.h describes each key.
    func write(to json: JsonText, _ state: StaticString) {
        json.beginObject()
        json.number("queue", UInt64(clamping: index))
        json.text("state", state)
        json.number("size", UInt64(size))
        json.number("next_avail", UInt64(nextAvailable))
        json.number("next_used", UInt64(nextUsed))
        json.number("held", UInt64(clamping: heldCount))
        json.bool("in_guest_memory", findRings() != nil)
        if let fault { json.text("fault", fault.sentence) } else { json.null("fault") }
        json.endObject()
    }
}
