// SPDX-License-Identifier: BSD-3-Clause

import CVhushmem

/// Containers in containers: a listener hears of all that is below the container that it watches, at the offsets of that one.
extension MemoryRegionPointer {
    /// The sections of this region for listeners of a container above it, or of its own.
    var sections: [MemoryRegionSection] {
        var all: [MemoryRegionSection] = unsafe []
        unsafe collect(of: self, at: 0, isReadOnly: false, into: &all)
        return unsafe all
    }

    private func collect(
        of root: MemoryRegionPointer, at offset: UInt64, isReadOnly: Bool, into all: inout [MemoryRegionSection]
    ) {
        // What is inside is disabled with it, except for listeners of the region itself.
        if unsafe isDisabled, unsafe self != root { return }
        let isReadOnly = unsafe isReadOnly || isMarkedReadOnly
        if let region = unsafe sharedRegion {
            // swift-format-ignore
            for unsafe section in unsafe region.memoryContainer.sectionsForOthers {
                unsafe all.append(section.seen(from: root, at: offset, isReadOnly: isReadOnly))
            }
        } else if let state = unsafe state {
            // swift-format-ignore
            for unsafe child in unsafe state.children {
                unsafe child.collect(of: root, at: offset &+ child.pointee.addr, isReadOnly: isReadOnly, into: &all)
            }
            guard let host = unsafe state.baseAddress else { return }
            unsafe all.append(
                MemoryRegionSection(
                    of: root, at: offset, size: pointee.size, host: host, isReadOnly: isReadOnly || state.isReadOnly))
        }
    }

    /// Calls `body` for each container that this is part of, the innermost first, with the offset in it. Nothing above a
    /// disabled region sees what is below it.
    private func forEachAbove(_ body: (ListenerGroup, MemoryRegionPointer, UInt64, _ isReadOnly: Bool) -> Void) {
        var below = unsafe self
        var offset: UInt64 = 0
        var isReadOnly = false
        while unsafe !below.isDisabled, let container = unsafe below.pointee.container, let state = unsafe container.state {
            unsafe offset &+= below.pointee.addr
            isReadOnly = unsafe isReadOnly || below.isMarkedReadOnly || container.isMarkedReadOnly
            unsafe body(state.listeners, container, offset, isReadOnly)
            unsafe below = unsafe container
        }
    }

    func tellAbove(added sections: [MemoryRegionSection]) {
        unsafe forEachAbove { listeners, container, offset, isReadOnly in
            // swift-format-ignore
            for unsafe section in unsafe sections { unsafe listeners.didAdd(section.seen(from: container, at: offset, isReadOnly: isReadOnly)) }
        }
    }

    func tellAbove(removed sections: [MemoryRegionSection]) {
        unsafe forEachAbove { listeners, container, offset, isReadOnly in
            // swift-format-ignore
            for unsafe section in unsafe sections.reversed() {
                unsafe listeners.willRemove(section.seen(from: container, at: offset, isReadOnly: isReadOnly))
            }
        }
    }

    func commitAbove() {
        // Containers above a region that has just been disabled have a commit due, too.
        unsafe pointee.container?.commitUpwards()
    }

    func commitUpwards() {
        var next: MemoryRegionPointer? = unsafe self
        while let container = unsafe next {
            unsafe container.state?.listeners.commit()
            unsafe next = unsafe container.pointee.container
        }
    }

    /// Whether `other` is this, or a container that this is part of.
    func isInside(_ other: MemoryRegionPointer) -> Bool {
        var next: MemoryRegionPointer? = unsafe self
        while let region = unsafe next {
            if unsafe region == other { return true }
            unsafe next = unsafe region.pointee.container
        }
        return false
    }

    /// It has become part of `container`, which `pointee` already shows.
    func wasPlaced() {
        if let region = unsafe sharedRegion {
            region.memoryContainer.wasPlaced()
        } else {
            unsafe tellAbove(added: sections)
        }
        unsafe commitAbove()
    }

    /// It is about to leave its container.
    func willBeTaken() {
        if let region = unsafe sharedRegion {
            region.memoryContainer.willBeTaken()
        } else {
            unsafe tellAbove(removed: sections)
        }
    }

    /// Changes what the containers above see of it.
    func change(_ body: (MemoryRegionPointer) -> Void) {
        unsafe tellAbove(removed: sections)
        unsafe body(self)
        unsafe tellAbove(added: sections)
        unsafe commitAbove()
    }
}
