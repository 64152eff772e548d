// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Dispatch
/// Wakes a task when a session's descriptor is readable. No thread waits for it: Dispatch does, on which Swift's tasks run
/// anyway.
///
/// The source is suspended unless a task waits, because it would fire again and again for a descriptor that nothing dispatches.
final class ReadableWatch: Sendable {
    private struct State {
        var waiter: Waiter?
        /// The source runs: a task waits.
        var isArmed = false
    }

    /// Shared with the source's handler.
    private let state = Shared(State())
    /// Nonisolated(unsafe): any thread may use a Dispatch object, which the protocol does not say. It is resumed and suspended
    /// under the lock.
    private nonisolated(unsafe) let source: any DispatchSourceRead

    /// `fd` is duplicated: the source may outlive the session for a moment. Throws EMFILE.
    init(_ fd: Int32) throws(Errno) {
        let own = try OwnedDescriptor.duplicate(fd).release()
        unsafe source = DispatchSource.makeReadSource(fileDescriptor: own, queue: ReadableWatch.queue)
        // Nonisolated(unsafe): likewise.
        nonisolated(unsafe) let source = unsafe source
        unsafe source.setEventHandler { [state] in
            let waiter = state.withLock { now -> Waiter? in
                guard now.isArmed else { return nil }
                now.isArmed = false
                unsafe source.suspend()
                return now.waiter.take()
            }
            waiter?.wake()
        }
        unsafe source.setCancelHandler { OwnedDescriptor.close(own) }
    }

    /// Both handlers go with the cancellation, and with them the source's reference to itself. A suspended source would never
    /// be cancelled.
    deinit {
        unsafe source.cancel()
        state.withLock { if !$0.isArmed { unsafe source.resume() } }
    }

    private static let queue = DispatchQueue(label: "vhushmem")

    /// Wakes `waiter`, which replaces the last one, as soon as there is something to read. nil: nothing waits.
    func arm(_ waiter: Waiter?) {
        state.withLock { now in
            now.waiter = waiter
            guard waiter != nil, !now.isArmed else { return }
            now.isArmed = true
            unsafe source.resume()
        }
    }
}
