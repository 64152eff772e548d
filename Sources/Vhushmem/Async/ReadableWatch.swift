// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Dispatch
import Synchronization

/// Wakes a task when a session's descriptor is readable. No thread waits for it: Dispatch does, which Swift's tasks run on anyway.
///
/// The source is suspended but while somebody waits, since it would fire again and again for a descriptor that nobody dispatches.
final class ReadableWatch: Sendable {
    private struct State {
        var waiter: Waiter?
        /// The source runs. It was resumed as often as it was suspended, and once more.
        var isArmed = false
    }

    /// Shared with the source's handler.
    private final class Shared: Sendable {
        let state = Mutex(State())
    }

    private let shared = Shared()
    /// Unchecked: a Dispatch object may be used by any thread, which the protocol does not say. It is resumed and suspended under the lock.
    private nonisolated(unsafe) let source: any DispatchSourceRead

    /// `fd` is duplicated: the source may outlive the session for a moment. Throws EMFILE.
    init(_ fd: Int32) throws(Errno) {
        let own = try FileDescriptor.duplicate(fd).release()
        source = DispatchSource.makeReadSource(fileDescriptor: own, queue: ReadableWatch.queue)
        nonisolated(unsafe) let source = source
        source.setEventHandler { [shared] in
            let waiter = shared.state.withLock { state -> Waiter? in
                guard state.isArmed else { return nil }
                state.isArmed = false
                source.suspend()
                return state.waiter.take()
            }
            waiter?.wake()
        }
        source.setCancelHandler { FileDescriptor.close(own) }
    }

    /// Both handlers go with the cancellation, and with them the source's hold on itself. One that is suspended would never be cancelled.
    deinit {
        source.cancel()
        shared.state.withLock { if !$0.isArmed { source.resume() } }
    }

    private static let queue = DispatchQueue(label: "vhushmem")

    /// Wakes `waiter`, in the place of the one before, as soon as there is something to read. nil: nobody.
    func arm(_ waiter: Waiter?) {
        shared.state.withLock { state in
            state.waiter = waiter
            guard waiter != nil, !state.isArmed else { return }
            state.isArmed = true
            source.resume()
        }
    }
}
