// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux

/// A GSource that drives a session.
///
/// A loop pays for each descriptor of each source in each turn. So an idle session has one: an epoll of all that it waits for.
/// For a busy session, GLib itself watches the socket of the requests, because a request that comes through the epoll takes the
/// kernel longer; the epoll has the rest.
@safe final class SessionSource: PollAttachment {
    /// After so many dispatches that found something the session counts as busy; after so many turns without one it is idle
    /// again.
    private static let busyAfter: Int32 = 16
    private static let idleAfter: Int32 = 256

    /// nil: its owner has freed the session.
    private var session: (any Pollable)?
    private let source: UnsafeMutablePointer<GSource>
    /// If this differs from `seen`, the session may wait for something else.
    private let news: PollNews
    private var seen: UInt32 = 0
    private var looked: UInt32 = 0
    /// What the loop waits for, as of the last look.
    private var watched = PollTargets()
    /// nil: not made yet, or there was no descriptor for it. Then GLib watches everything by itself.
    private var set: TargetSet?
    private var setTag: gpointer?
    /// What GLib watches by itself.
    private var direct = PollTargets()
    private var firstTag: gpointer?
    private var secondTag: gpointer?
    private var alarmTag: gpointer?
    /// The ready time of the source.
    private var readyTime: UInt64?
    private var isBusy = false
    /// Idle: dispatches that found something. Busy: turns without a dispatch.
    private var count: Int32 = 0

    private init(_ session: any Pollable, _ source: UnsafeMutablePointer<GSource>) {
        self.session = session
        news = session.loops.news
        unsafe self.source = unsafe source
    }

    /// A source with one reference, the caller's.
    static func make(for session: any Pollable, name: StaticString) -> UnsafeMutablePointer<GSource>? {
        let size = unsafe UInt32(MemoryLayout<vhushmem_glib_source>.size)
        guard let source = unsafe g_source_new(functions, size) else { return nil }
        // Sessions may be dispatched inside their callbacks. Otherwise GLib would prevent that for this source, by a system
        // call for each descriptor before and after each dispatch.
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

    func stopWatching() {
        _ = set?.watch(PollTargets())
        watched = PollTargets()
    }

    // MARK: What GLib calls

    /// Called in each turn. With a thousand idle sessions, this function is their whole cost.
    @_optimize(speed)
    @inline(__always)
    private var isAsSeen: Bool { news.changes == seen }

    /// True: the session is over, by whatever call, and the source must be removed.
    @_optimize(speed)
    @inline(never)
    private func look() -> Bool {
        guard let session else { return false }
        if isBusy {
            count &+= 1
            if count > SessionSource.idleAfter { rest() }
        }
        let changes = news.changes
        if changes == looked, news.dispatches == 0 { return false }
        looked = changes
        // A busy session counts its turns, and a loop inside a callback finds another state each time: both come here again.
        seen = isBusy || news.dispatches != 0 ? changes &- 1 : changes
        let targets = session.pollTargets
        if targets != watched { wait(for: targets) }
        return session.isOver
    }

    @_optimize(speed)
    private func wait(for targets: PollTargets) {
        watched = targets
        var inSet = targets
        var byGLib = PollTargets()
        if !hasSet() {
            swap(&inSet, &byGLib)
        } else if isBusy {
            // If there are two, the second one brings the requests.
            if targets.second != nil { swap(&inSet.second, &byGLib.second) } else { swap(&inSet.first, &byGLib.first) }
        }
        if byGLib != direct {
            unsafe firstTag = unsafe update(firstTag, from: direct.first, to: byGLib.first)
            unsafe secondTag = unsafe update(secondTag, from: direct.second, to: byGLib.second)
            unsafe alarmTag = unsafe update(alarmTag, from: direct.alarm, to: byGLib.alarm)
            byGLib.deadline = nil
            direct = byGLib
        }
        inSet.deadline = targets.deadline
        beReady(at: set.map { $0.watch(inSet) } ?? targets.deadline)
    }

    private func beReady(at time: UInt64?) {
        guard time != readyTime else { return }
        readyTime = time
        unsafe g_source_set_ready_time(source, time.map { gint64(clamping: $0) } ?? -1)
    }

    /// Whether there is an epoll. The first call makes it.
    private func hasSet() -> Bool {
        if set != nil { return true }
        guard let made = try? TargetSet.make() else { return false }
        set = made
        unsafe setTag = unsafe g_source_add_unix_fd(source, made.fd, G_IO_IN)
        return true
    }

    /// Switches to the other way of waiting.
    private func change(toBusy: Bool) {
        isBusy = toBusy
        count = 0
        if session != nil, unsafe g_source_is_destroyed(source) == 0 { wait(for: watched) }
    }

    @inline(never)
    private func rest() { change(toBusy: false) }

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

    /// The descriptors that GLib's poll has found. The epoll tells only that any of the rest may be ready.
    @_optimize(speed)
    private var ready: ReadyTargets {
        var ready: ReadyTargets = unsafe isReady(secondTag) ? .second : []
        if unsafe isReady(firstTag) { ready.insert(.first) }
        if unsafe isReady(setTag) {
            if unsafe firstTag == nil { ready.insert(.first) }
            if unsafe secondTag == nil { ready.insert(.second) }
        }
        return ready
    }

    /// The epoll tells nothing of a descriptor that it could not take. There is a deadline for it.
    @inline(never)
    private func leftOut() -> ReadyTargets { set?.isWhole == false ? .both : [] }

    /// False: the source must be removed.
    @_optimize(speed)
    private func dispatch() -> Bool {
        guard let session else { return false }
        let taken = session.dispatch(readyTime == nil ? ready : ready.union(leftOut()))
        if isBusy { count = 0 } else if taken > 0 { countBusiness() }
        // A deadline that has passed and stands again must be set again: GLib compares, and so does this.
        if readyTime != nil {
            beReady(at: nil)
            watched = PollTargets()
        }
        return self.session != nil && !session.isOver
    }

    @inline(never)
    private func countBusiness() {
        count &+= 1
        if count >= SessionSource.busyAfter, set != nil { change(toBusy: true) }
    }

    private func finalize() {
        session?.detach(self)
        session = nil
    }

    /// GLib keeps the pointer as long as any source lives: it is made once and never freed. Nonisolated: nothing changes what
    /// it points at.
    nonisolated(unsafe) private static let functions: UnsafeMutablePointer<GSourceFuncs> = {
        let functions = UnsafeMutablePointer<GSourceFuncs>.allocate(capacity: 1)
        unsafe functions.initialize(to: GSourceFuncs())
        unsafe functions.pointee.prepare = { source, _ in
            // GLib has set no time limit.
            unsafe SessionSource.with(source) { $0.isAsSeen ? false : $0.look() }
        }
        // There is no check: GLib finds by itself which descriptors are ready, and whether the time has come.
        unsafe functions.pointee.dispatch = { source, callback, userData in
            // GLib's own sources do the same: they call a callback that the program has set.
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
