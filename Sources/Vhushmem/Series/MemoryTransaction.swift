// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The transaction of the calling thread: between begin and the outermost commit, listeners' commits wait.
enum MemoryTransaction {
    private final class Pending {
        var groups: [ListenerGroup] = []
    }

    static var isOpen: Bool {
        unsafe vhu_thread_transaction().pointee.depth > 0
    }

    static func begin() {
        let thread = unsafe vhu_thread_transaction()
        guard let thread = unsafe thread else { return }
        unsafe thread.pointee.depth = unsafe thread.pointee.depth &+ 1
    }

    /// Has a group's commit called by the outermost `commit` of this thread.
    static func postpone(_ group: ListenerGroup) {
        guard let thread = unsafe vhu_thread_transaction() else { return }
        if unsafe thread.pointee.pending == nil {
            unsafe thread.pointee.pending = unsafe Unmanaged.passRetained(Pending()).toOpaque()
        }
        // SAFETY: `pending` is nil or was retained just above, and only `commit` releases it.
        guard
            let pending = unsafe thread.pointee.pending.map({ unsafe Unmanaged<Pending>.fromOpaque($0).takeUnretainedValue() })
        else {
            return
        }
        if !pending.groups.contains(where: { $0 === group }) { pending.groups.append(group) }
    }

    static func commit() {
        guard let thread = unsafe vhu_thread_transaction() else { return }
        guard unsafe thread.pointee.depth > 0 else {
            Log.critical("memory_region_transaction_commit without a begin")
            return
        }
        unsafe thread.pointee.depth = unsafe thread.pointee.depth &- 1
        guard unsafe thread.pointee.depth == 0, let raw = unsafe thread.pointee.pending else { return }
        unsafe thread.pointee.pending = nil
        // SAFETY: retained by `postpone`; the thread has let go of it just now.
        let pending = unsafe Unmanaged<Pending>.fromOpaque(raw).takeRetainedValue()
        for group in pending.groups { group.commit() }
    }
}
