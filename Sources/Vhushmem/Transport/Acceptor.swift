// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A listener that takes one peer at a time. It rests for a moment when the process has no descriptors or no memory left: the
/// peer would still wait at the socket, and a loop would find it readable again and again.
final class Acceptor {
    /// Microseconds.
    private static let rest: UInt64 = 100_000

    private let listener: Listener
    /// The end of the rest (microseconds); nil: it does not rest.
    private(set) var deadline: UInt64?

    private init(_ listener: consuming Listener) {
        self.listener = listener
    }

    /// Listens at a path. Throws the errno of socket, bind or listen.
    static func make(at path: SocketPath) throws(Errno) -> Acceptor {
        // No initialiser throws: Embedded Swift leaks an object whose initialiser gives up.
        Acceptor(try Socket.listen(at: path))
    }

    /// Takes peers from a socket that the program gave; on failure the socket stays the caller's.
    static func make(given socket: Int32) throws(Errno) -> Acceptor {
        Acceptor(try Listener(given: socket))
    }

    /// nil while it rests.
    var pollTarget: PollTargets.Target? {
        deadline == nil ? PollTargets.Target(fd: listener.fd, events: Int16(POLLIN)) : nil
    }

    /// The next peer; nil: there is none yet, or the acceptor rests. `peer` is for the log. Throws errors that a rest cannot
    /// mend.
    func accept(_ peer: StaticString) throws(Errno) -> OwnedDescriptor? {
        if let deadline, Clock.now() < deadline { return nil }
        do throws(Errno) {
            let socket = try listener.accept()
            deadline = nil
            return socket
        } catch {
            switch error.code {
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: rest(after: error, peer)
            default: throw error
            }
            return nil
        }
    }

    func rest(after error: Errno, _ peer: StaticString) {
        if deadline == nil { Log.warning("cannot accept a \(peer): \(Errno.text(error.code)) (errno \(error.code))") }
        deadline = Clock.now() &+ Acceptor.rest
    }
}
