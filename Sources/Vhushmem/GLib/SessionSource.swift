// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux

/// A GSource that drives a session: it watches the session's sockets themselves, so that one wake-up serves a request.
@safe final class SessionSource: PollAttachment {
    /// nil once the session was freed by its owner.
    private var session: (any Pollable)?
    private let source: UnsafeMutablePointer<GSource>
    private var watched = PollTargets()
    private var firstTag: gpointer?
    private var secondTag: gpointer?
    private var alarmTag: gpointer?
    /// What `check` found, for the dispatch that follows.
    private var ready: ReadyTargets = []

    private init(_ session: any Pollable, _ source: UnsafeMutablePointer<GSource>) {
        self.session = session
        unsafe self.source = unsafe source
    }

    /// A source with one reference, the caller's.
    static func make(for session: any Pollable, name: StaticString) -> UnsafeMutablePointer<GSource>? {
        let size = unsafe UInt32(MemoryLayout<vhushmem_glib_source>.size)
        guard let source = unsafe g_source_new(functions, size) else { return nil }
        // Sessions may be dispatched inside their callbacks. GLib would see to it that this source is not, by a system call for each
        // descriptor before and after each dispatch.
        unsafe g_source_set_can_recurse(source, 1)
        let state = unsafe SessionSource(session, source)
        unsafe source.withState { unsafe $0 = unsafe Unmanaged.passRetained(state).toOpaque() }
        session.attach(state)
        name.withUTF8Buffer { text in
            // SAFETY: a static string ends with a zero byte.
            unsafe text.baseAddress?.withMemoryRebound(to: CChar.self, capacity: text.count) {
                unsafe g_source_set_name(source, $0)
            }
        }
        return unsafe source
    }

    func sessionWasFreed() {
        session = nil
        unsafe g_source_destroy(source)
    }

    // MARK: What GLib calls

    @_optimize(speed)
    private func prepare() {
        guard let session else { return }
        let targets = session.pollTargets
        guard targets != watched else { return }
        unsafe firstTag = unsafe update(firstTag, from: watched.first, to: targets.first)
        unsafe secondTag = unsafe update(secondTag, from: watched.second, to: targets.second)
        unsafe alarmTag = unsafe update(alarmTag, from: watched.alarm, to: targets.alarm)
        if targets.deadline != watched.deadline {
            unsafe g_source_set_ready_time(source, targets.deadline.map { gint64(clamping: $0) } ?? -1)
        }
        watched = targets
    }

    private func update(_ tag: gpointer?, from old: PollTargets.Target?, to new: PollTargets.Target?) -> gpointer? {
        guard old != new else { return unsafe tag }
        let condition = new.map { GIOCondition(rawValue: UInt32(truncatingIfNeeded: Int32($0.events))) }
        if let tag = unsafe tag, let new, let condition, old?.fd == new.fd {
            unsafe g_source_modify_unix_fd(source, tag, condition)
            return unsafe tag
        }
        if let tag = unsafe tag { unsafe g_source_remove_unix_fd(source, tag) }
        guard let new, let condition else { return nil }
        return unsafe g_source_add_unix_fd(source, new.fd, condition)
    }

    @_optimize(speed)
    private func isReady(_ tag: gpointer?) -> Bool {
        guard let tag = unsafe tag else { return false }
        return unsafe g_source_query_unix_fd(source, tag).rawValue != 0
    }

    @_optimize(speed)
    private func check() -> Bool {
        ready = []
        if unsafe isReady(firstTag) { ready.insert(.first) }
        if unsafe isReady(secondTag) { ready.insert(.second) }
        return unsafe !ready.isEmpty || isReady(alarmTag)
    }

    /// False: the source is to be removed.
    @_optimize(speed)
    private func dispatch() -> Bool {
        guard let session else { return false }
        let found = ready
        // A loop inside a callback looks anew.
        ready = []
        _ = session.dispatch(found)
        // A deadline that has passed and stands again must be set again: GLib compares, and so do we.
        if watched.deadline != nil {
            unsafe g_source_set_ready_time(source, -1)
            watched.deadline = nil
        }
        return self.session != nil && !session.isOver
    }

    private func finalize() {
        session?.detach(self)
        session = nil
    }

    /// GLib keeps the pointer for as long as any source lives: made once, never freed. Nonisolated: nobody changes what it
    /// points at.
    nonisolated(unsafe) private static let functions: UnsafeMutablePointer<GSourceFuncs> = {
        let functions = UnsafeMutablePointer<GSourceFuncs>.allocate(capacity: 1)
        unsafe functions.initialize(to: GSourceFuncs())
        unsafe functions.pointee.prepare = { source, timeout in
            unsafe timeout?.pointee = -1
            return unsafe SessionSource.with(source) { state in
                state.prepare()
                // A session that is over, by whatever call, has its source removed: dispatch says so.
                return state.session?.isOver == true
            }
        }
        unsafe functions.pointee.check = { source in
            unsafe SessionSource.with(source) { $0.check() }
        }
        unsafe functions.pointee.dispatch = { source, callback, userData in
            // As GLib's own sources do: who set one wants to know.
            guard let callback = unsafe callback else { return unsafe SessionSource.dispatch(source) }
            let goesOn = unsafe SessionSource.dispatch(source)
            return unsafe callback(userData) != 0 ? goesOn : 0
        }
        unsafe functions.pointee.finalize = { source in
            unsafe source?.withState { pointer in
                // SAFETY: the reference that make gave the source; nothing looks at it after finalize.
                if let pointer = unsafe pointer {
                    unsafe Unmanaged<SessionSource>.fromOpaque(pointer).takeRetainedValue().finalize()
                }
                unsafe pointer = nil
            }
        }
        return unsafe functions
    }()

    @_optimize(speed)
    @inline(never)
    private static func dispatch(_ source: UnsafeMutablePointer<GSource>?) -> gboolean {
        unsafe with(source) { $0.dispatch() }
    }

    /// 1 for true, as GLib has it.
    @inline(__always)
    private static func with(_ source: UnsafeMutablePointer<GSource>?, _ body: (SessionSource) -> Bool) -> gboolean {
        guard let pointer = unsafe source?.withState({ unsafe $0 }) else { return 0 }
        // SAFETY: GLib holds the source during these calls, and the source its state until finalize.
        return unsafe Unmanaged<SessionSource>.fromOpaque(pointer)._withUnsafeGuaranteedRef { body($0) } ? 1 : 0
    }
}

extension UnsafeMutablePointer<GSource> {
    /// The pointer that a source of ours keeps behind the GSource.
    fileprivate func withState<Result>(_ body: (inout UnsafeMutableRawPointer?) -> Result) -> Result {
        // SAFETY: g_source_new was given the size of vhushmem_glib_source, which begins with the GSource.
        unsafe withMemoryRebound(to: vhushmem_glib_source.self, capacity: 1) { unsafe body(&$0.pointee.state) }
    }
}
