// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// Signals eventfds that a peer has too. Whether a write to one waits is the peer's to say at any moment: the counter is shared, and so is
/// O_NONBLOCK. The kernel's own signals never wait: one that can't be counted any more is one that is seen already. So it is the kernel that
/// signals here, when a read of no bytes is done (a few microseconds' work of io_submit, and never anything that is waited for).
enum EventSignal {
    /// For such reads. 0: not made yet.
    private static let context = Atomic<UInt>(0)
    private static let knowsForks = Atomic(false)

    enum Outcome {
        case done
        /// It is no eventfd.
        case refused
        /// This process can't have the kernel do it now.
        case unavailable
    }

    /// Makes what is needed, so that a peer that uses up what there is of it in the whole system comes too late.
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

    /// Whether it is an eventfd: only to one does the kernel say that a signal would be its own affair. That counts nothing and needs no
    /// /proc, which may be missing, or be another's. nil: this process, or its kernel, can't tell.
    static func isEventfd(_ fd: Int32) -> Bool? {
        guard canTell else { return nil }
        switch refusal(of: fd) {
        case EOPNOTSUPP: return true
        case EINVAL, EBADF: return false
        default: return nil
        }
    }

    /// Linux before 4.13 refuses everything alike.
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
        // A child of fork has none.
        if !knowsForks.exchange(true, ordering: .relaxed) {
            vhu_at_fork(nil, nil, { EventSignal.context.store(0, ordering: .releasing) })
        }
        return made
    }
}
