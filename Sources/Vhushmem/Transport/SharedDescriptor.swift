// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// An eventfd that the other side shares, or another descriptor with several owners.
final class SharedDescriptor {
    let descriptor: OwnedDescriptor
    var fd: Int32 { descriptor.raw }

    init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// Signals it. False: it cannot be signalled.
    @discardableResult
    func signal() -> Bool {
        switch EventSignal.send(to: fd) {
        case .done: return true
        case .refused: return false
        case .unavailable: break
        }
        // A full counter is signalled already. It may become full before the write, and the write may wait; there is no other
        // way here.
        guard (try? Readiness.canWrite(fd)) == true else { return false }
        var one: UInt64 = 1
        return (try? systemCall(.write) { unsafe write(fd, &one, 8) }) == 8
    }

    /// Reads of one eventfd. A read of a semaphore takes one signal and leaves the others, and the peer may signal meanwhile.
    private static let mostReads = 64

    /// Clears the signals, without waiting. Returns whether there were any. Some are left if a semaphore has more than
    /// `mostReads`.
    func drain() -> Bool {
        for count in 0..<SharedDescriptor.mostReads where (try? systemCall(.read) { vhu_read_count(fd) }) != 8 {
            return count > 0
        }
        return true
    }
}
