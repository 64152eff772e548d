// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import CVhushmem

/// The listeners of one container. One thread at a time changes a container that has listeners: series.h has this rule, as QEMU
/// has. If a program breaks it, its callbacks come in another order, and nothing worse: a removed listener is never called
/// again.
@safe final class ListenerGroup {
    private typealias Listener = UnsafeMutablePointer<MemoryListener>

    private typealias Guarded = Lock<ListenerGroup>.Guarded

    private let lock = Lock<ListenerGroup>()
    private let callEnded = Condition()
    /// By priority, the lowest first.
    private var listeners = unsafe Guarded<[Listener]>([])
    /// begin was called, and commit was not yet.
    private var hasBegun = Guarded(false)
    /// Calls that are under way.
    private var calls = unsafe Guarded<[(listener: Listener, thread: pthread_t)]>([])

    var isEmpty: Bool { lock.withLock { held in unsafe listeners[held].isEmpty } }

    /// Adds a listener and tells it what is there already.
    func add(_ listener: UnsafeMutablePointer<MemoryListener>, existing sections: [MemoryRegionSection]) {
        if unsafe !sections.isEmpty {
            unsafe listener.pointee.begin?(listener)
            // swift-format-ignore
            for unsafe var section in unsafe sections { unsafe listener.pointee.region_add?(listener, &section) }
            unsafe listener.pointee.commit?(listener)
        }
        lock.withLock { held in
            let next = unsafe listeners[held].firstIndex { unsafe $0.pointee.priority > listener.pointee.priority }
            unsafe listeners[held].insert(listener, at: next ?? listeners[held].count)
        }
    }

    /// Tells a listener that the present sections are gone for it, and removes it. Waits for calls of it in other threads.
    func remove(_ listener: UnsafeMutablePointer<MemoryListener>, existing sections: [MemoryRegionSection]) {
        let wasThere = lock.withLock { held -> Bool in
            guard unsafe listeners[held].contains(listener) else { return false }
            unsafe listeners[held].removeAll { unsafe $0 == listener }
            let thread = pthread_self()
            while unsafe calls[held].contains(where: { unsafe $0.listener == listener && $0.thread != thread }) {
                lock.wait(for: callEnded, held)
            }
            return true
        }
        guard wasThere, unsafe !sections.isEmpty else { return }
        unsafe listener.pointee.begin?(listener)
        // swift-format-ignore
        for unsafe var section in unsafe sections.reversed() { unsafe listener.pointee.region_del?(listener, &section) }
        unsafe listener.pointee.commit?(listener)
    }

    func didAdd(_ section: MemoryRegionSection) {
        beginOnce()
        // swift-format-ignore
        for unsafe listener in unsafe all {
            var section = unsafe section
            unsafe call(listener) { unsafe $0.pointee.region_add?($0, &section) }
        }
    }

    func willRemove(_ section: MemoryRegionSection) {
        beginOnce()
        // swift-format-ignore
        for unsafe listener in unsafe all.reversed() {
            var section = unsafe section
            unsafe call(listener) { unsafe $0.pointee.region_del?($0, &section) }
        }
    }

    /// Commits now, or at the end of the thread's transaction.
    func commit() {
        guard lock.withLock({ held in hasBegun[held] }) else { return }
        if MemoryTransaction.isOpen { return MemoryTransaction.postpone(self) }
        lock.withLock { held in hasBegun[held] = false }
        // swift-format-ignore
        for unsafe listener in unsafe all { unsafe call(listener) { unsafe $0.pointee.commit?($0) } }
    }

    private var all: [Listener] { unsafe lock.withLock { held in unsafe listeners[held] } }

    /// Calls a listener, with no lock held, if it is still there: a callback or another thread may remove listeners and free
    /// them.
    private func call(_ listener: Listener, _ body: (Listener) -> Void) {
        let thread = pthread_self()
        let isThere = lock.withLock { held -> Bool in
            guard unsafe listeners[held].contains(listener) else { return false }
            unsafe calls[held].append((listener, thread))
            return true
        }
        guard isThere else { return }
        unsafe body(listener)
        lock.withLock { held in
            if let index = unsafe calls[held].lastIndex(where: { unsafe $0.listener == listener && $0.thread == thread }) {
                unsafe calls[held].remove(at: index)
            }
            callEnded.wakeAll()
        }
    }

    private func beginOnce() {
        let isFirst = lock.withLock { held -> Bool in
            defer { hasBegun[held] = true }
            return !hasBegun[held]
        }
        guard isFirst else { return }
        // swift-format-ignore
        for unsafe listener in unsafe all { unsafe call(listener) { unsafe $0.pointee.begin?($0) } }
    }
}
