// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// Signals eventfds that a peer has too. The peer decides at any moment whether a write to one waits: the counter and
/// O_NONBLOCK are shared. The kernel's own signals never wait; when the counter is full, the signal is visible already. So the
/// kernel signals here, at the end of a read of no bytes. io_submit does that read in a few microseconds, and nothing waits for
/// it.
enum EventSignal {
    /// The context for such reads. 0: not made yet.
    private static let context = Atomic<UInt>(0)
    private static let knowsForks = Atomic(false)

    enum Outcome {
        case done
        /// It is no eventfd.
        case refused
        /// The kernel cannot do it for this process now.
        case unavailable
    }

    /// Makes what the signals need. Call it early: a peer that later uses up the system's limit does no harm then.
    static func prepare() {
        _ = makeContext()
    }

    static func send(to fd: Int32) -> Outcome {
        var context = context.load(ordering: .acquiring)
        if context == 0 {
            guard let made = makeContext() else { return .unavailable }
            context = made
        }
        do throws(Errno) {
            _ = try systemCall(.signal) { vhu_signal(context, fd) }
            return .done
        } catch {
            return error.code == EINVAL || error.code == EBADF ? .refused : .unavailable
        }
    }

    /// Whether the descriptor is an eventfd. The kernel accepts only an eventfd as a read's signal. The test counts nothing and
    /// needs no /proc, which may be missing or belong to another namespace. nil: this process or its kernel cannot tell.
    static func isEventfd(_ fd: Int32) -> Bool? {
        guard canTell else { return nil }
        switch refusal(of: fd) {
        case EOPNOTSUPP: return true
        case EINVAL, EBADF: return false
        default: return nil
        }
    }

    /// Linux before 4.13 refuses every descriptor in the same way.
    private static let canTell: Bool = {
        do throws(Errno) {
            let own = try Readiness.makeEventfd()
            return refusal(of: own.raw) == EOPNOTSUPP
        } catch { return false }
    }()

    private static func refusal(of fd: Int32) -> Int32 {
        guard let context = makeContext() else { return 0 }
        do throws(Errno) {
            _ = try systemCall(.signal) { vhu_refused_signal(context, fd) }
            return 0
        } catch { return error.code }
    }

    private static func makeContext() -> UInt? {
        let present = context.load(ordering: .acquiring)
        guard present == 0 else { return present }
        var made: UInt = 0
        guard (try? systemCall(.signal) { unsafe vhu_signal_setup(&made) }) != nil else { return nil }
        let (isFirst, other) = context.compareExchange(expected: 0, desired: made, ordering: .acquiringAndReleasing)
        guard isFirst else {
            systemCallOnce(.signal) { vhu_signal_end(made) }
            return other
        }
        // A child of fork has no context.
        if !knowsForks.exchange(true, ordering: .relaxed) {
            vhu_at_fork(nil, nil, { EventSignal.context.store(0, ordering: .releasing) })
        }
        return made
    }
}
