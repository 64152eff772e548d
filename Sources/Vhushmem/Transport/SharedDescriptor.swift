// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// An eventfd that is shared with the other side, or another descriptor that several hold.
final class SharedDescriptor {
    let descriptor: OwnedDescriptor
    var fd: Int32 { descriptor.raw }

    init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// Signals it. False: that can't be done.
    @discardableResult
    func signal() -> Bool {
        // One that is full is signalled already.
        guard (try? Readiness.canWrite(fd)) == true else { return false }
        switch EventSignal.send(to: fd) {
        case .done: return true
        case .refused: return false
        // It may be filled before it is written to, and be one that waits; here there is no other way.
        case .unavailable: break
        }
        var one: UInt64 = 1
        return (try? systemCall(.write) { unsafe write(fd, &one, 8) }) == 8
    }

    /// Takes what was signalled; to be called when it can be read. False: it is no eventfd that could be read again.
    func drain() -> Bool {
        do throws(Errno) {
            return try systemCall(.read) { vhu_read_count(fd) } == 8
        } catch {
            return error.code == EAGAIN
        }
    }
}
