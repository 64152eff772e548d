// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A listener that takes one peer at a time. It rests for a moment when the process has no descriptors or no memory left: the peer
/// would wait at the socket, and a loop would find it readable again and again.
final class Acceptor {
    private let listener: Listener
    private var pause = AcceptPause()

    private init(_ listener: consuming Listener) {
        self.listener = listener
    }

    /// Listens at a path. Throws the errno of socket, bind or listen.
    static func make(at path: String) throws(Errno) -> Acceptor {
        // No initialiser that throws: Embedded Swift leaks an object whose initialiser gives up.
        Acceptor(try Socket.listen(at: path))
    }

    /// nil while it rests.
    var pollTarget: PollTargets.Target? {
        pause.until == nil ? PollTargets.Target(fd: listener.fd, events: Int16(POLLIN)) : nil
    }

    /// When the rest ends (microseconds).
    var deadline: UInt64? { pause.until }

    /// The next peer; nil: there is none yet, or the acceptor rests. `peer` is for the log. Throws what a rest cannot mend.
    func accept(_ peer: StaticString) throws(Errno) -> FileDescriptor? {
        guard !pause.lasts else { return nil }
        do throws(Errno) {
            let socket = try listener.accept()
            pause.end()
            return socket
        } catch {
            guard AcceptPause.isFor(error) else { throw error }
            rest(after: error, peer)
            return nil
        }
    }

    func rest(after error: Errno, _ peer: StaticString) {
        pause.begin(after: error, of: peer)
    }
}
