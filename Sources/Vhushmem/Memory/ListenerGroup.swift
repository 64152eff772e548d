// SPDX-License-Identifier: BSD-3-Clause

import CVhushmem

/// The listeners of one container. Changes of a container that is listened to come from one thread at a time; that is the rule of
/// series.h, as it is QEMU's.
final class ListenerGroup {
    /// By priority, the lowest first.
    private var listeners: [UnsafeMutablePointer<MemoryListener>] = []
    /// Begin was called and commit was not yet.
    private var hasBegun = false

    var isEmpty: Bool { listeners.isEmpty }

    /// Adds a listener and tells it what is there already.
    func add(_ listener: UnsafeMutablePointer<MemoryListener>, existing sections: [MemoryRegionSection]) {
        if !sections.isEmpty {
            listener.pointee.begin?(listener)
            for var section in sections { listener.pointee.region_add?(listener, &section) }
            listener.pointee.commit?(listener)
        }
        let index = listeners.firstIndex { $0.pointee.priority > listener.pointee.priority } ?? listeners.count
        listeners.insert(listener, at: index)
    }

    /// Tells a listener that what is there is gone for it, and takes it out.
    func remove(_ listener: UnsafeMutablePointer<MemoryListener>, existing sections: [MemoryRegionSection]) {
        guard listeners.contains(listener) else { return }
        listeners.removeAll { $0 == listener }
        guard !sections.isEmpty else { return }
        listener.pointee.begin?(listener)
        for var section in sections.reversed() { listener.pointee.region_del?(listener, &section) }
        listener.pointee.commit?(listener)
    }

    func didAdd(_ section: MemoryRegionSection) {
        beginOnce()
        for listener in listeners where isStillHere(listener) {
            var section = section
            listener.pointee.region_add?(listener, &section)
        }
    }

    func willRemove(_ section: MemoryRegionSection) {
        beginOnce()
        for listener in listeners.reversed() where isStillHere(listener) {
            var section = section
            listener.pointee.region_del?(listener, &section)
        }
    }

    /// Commits now, or at the end of the thread's transaction.
    func commit() {
        guard hasBegun else { return }
        if MemoryTransaction.isOpen { return MemoryTransaction.postpone(self) }
        hasBegun = false
        for listener in listeners where isStillHere(listener) { listener.pointee.commit?(listener) }
    }

    /// A callback may take listeners out and free them; the loops here go through the list as it was.
    private func isStillHere(_ listener: UnsafeMutablePointer<MemoryListener>) -> Bool {
        listeners.contains(listener)
    }

    private func beginOnce() {
        guard !hasBegun else { return }
        hasBegun = true
        for listener in listeners where isStillHere(listener) { listener.pointee.begin?(listener) }
    }
}
