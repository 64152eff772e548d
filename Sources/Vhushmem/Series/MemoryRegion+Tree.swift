// SPDX-License-Identifier: BSD-3-Clause

import CVhushmem

/// Containers in containers: a listener is told of all that is below the one that it watches, at the offsets of that one.
extension MemoryRegionPointer {
    /// What there is to be told of this region to listeners of a container above it, or of its own.
    var sections: [MemoryRegionSection] {
        var all: [MemoryRegionSection] = []
        collect(of: self, at: 0, isReadOnly: false, into: &all)
        return all
    }

    private func collect(
        of root: MemoryRegionPointer, at offset: UInt64, isReadOnly: Bool, into all: inout [MemoryRegionSection]
    ) {
        // What is inside is disabled with it, but for those who watch it itself.
        if isDisabled, self != root { return }
        let isReadOnly = isReadOnly || isMarkedReadOnly
        if let region = sharedRegion {
            for section in region.memoryContainer.sectionsForOthers {
                all.append(section.seen(from: root, at: offset, isReadOnly: isReadOnly))
            }
        } else if let state {
            for child in state.children {
                child.collect(of: root, at: offset &+ child.pointee.addr, isReadOnly: isReadOnly, into: &all)
            }
            guard let host = state.baseAddress else { return }
            all.append(
                MemoryRegionSection(
                    of: root, at: offset, size: pointee.size, host: host, isReadOnly: isReadOnly || state.isReadOnly))
        }
    }

    /// Calls `body` for each container that this is part of, the innermost first, with the offset that this has in it. What is behind
    /// something disabled is nobody's.
    private func forEachAbove(_ body: (ListenerGroup, MemoryRegionPointer, UInt64, _ isReadOnly: Bool) -> Void) {
        var below = self
        var offset: UInt64 = 0
        var isReadOnly = false
        while !below.isDisabled, let container = below.pointee.container, let state = container.state {
            offset &+= below.pointee.addr
            isReadOnly = isReadOnly || below.isMarkedReadOnly || container.isMarkedReadOnly
            body(state.listeners, container, offset, isReadOnly)
            below = container
        }
    }

    func tellAbove(added sections: [MemoryRegionSection]) {
        forEachAbove { listeners, container, offset, isReadOnly in
            for section in sections { listeners.didAdd(section.seen(from: container, at: offset, isReadOnly: isReadOnly)) }
        }
    }

    func tellAbove(removed sections: [MemoryRegionSection]) {
        forEachAbove { listeners, container, offset, isReadOnly in
            for section in sections.reversed() {
                listeners.willRemove(section.seen(from: container, at: offset, isReadOnly: isReadOnly))
            }
        }
    }

    func commitAbove() {
        // Those above something that has just been disabled have a commit due, too.
        pointee.container?.commitUpwards()
    }

    func commitUpwards() {
        var next: MemoryRegionPointer? = self
        while let container = next {
            container.state?.listeners.commit()
            next = container.pointee.container
        }
    }

    /// Whether `other` is this, or a container that this is part of.
    func isInside(_ other: MemoryRegionPointer) -> Bool {
        var next: MemoryRegionPointer? = self
        while let region = next {
            if region == other { return true }
            next = region.pointee.container
        }
        return false
    }

    /// Has become part of `container`, which can be seen in `pointee` already.
    func wasPlaced() {
        if let region = sharedRegion {
            region.memoryContainer.wasPlaced()
        } else {
            tellAbove(added: sections)
        }
        commitAbove()
    }

    /// Is about to be part of none.
    func willBeTaken() {
        if let region = sharedRegion {
            region.memoryContainer.willBeTaken()
        } else {
            tellAbove(removed: sections)
        }
    }

    /// Changes what those above see of it.
    func change(_ body: (MemoryRegionPointer) -> Void) {
        tellAbove(removed: sections)
        body(self)
        tellAbove(added: sections)
        commitAbove()
    }
}
