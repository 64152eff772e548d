// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux

/// Unix stream sockets. None of these waits.
enum Socket {
    struct Address {
        var raw: sockaddr_un
        let length: socklen_t
    }

    static func pair() throws(Errno) -> (ours: Int32, theirs: Int32) {
        var ends: (Int32, Int32) = (-1, -1)
        _ = try systemCall(.socketpair) {
            unsafe withUnsafeMutableBytes(of: &ends) {
                unsafe vhu_socketpair($0.baseAddress?.assumingMemoryBound(to: Int32.self))
            }
        }
        return (ends.0, ends.1)
    }

    /// Throws EINVAL and ENAMETOOLONG (the path), and the errno of socket or connect.
    static func connect(to path: SocketPath) throws(Errno) -> OwnedDescriptor {
        var address = try path.makeAddress()
        let socket = OwnedDescriptor(owning: try systemCall(.socket) { vhu_unix_stream_socket() })
        _ = try systemCall(.connect) { unsafe vhu_connect(socket.raw, &address.raw, address.length) }
        return socket
    }

    static func connect(to path: String) throws(Errno) -> OwnedDescriptor { try connect(to: SocketPath(path)) }

    /// Listens at `path`. A socket file that nobody listens at is left over from a process that is gone: it is replaced. Of several processes
    /// that begin to listen there, one does, and the others get EADDRINUSE.
    static func listen(at path: SocketPath) throws(Errno) -> Listener {
        var address = try path.makeAddress()
        let socket = OwnedDescriptor(owning: try systemCall(.socket) { vhu_unix_stream_socket() })
        do throws(Errno) {
            _ = try systemCall(.bind) { unsafe vhu_bind(socket.raw, &address.raw, address.length) }
        } catch {
            guard error.code == EADDRINUSE, isStale(path) else { throw error }
            // Held until the socket is bound: a process that looks later finds somebody there.
            let lock = try lockFolder(of: path)
            guard isStale(path) else { throw error }
            _ = try systemCall(.unlink) { unsafe path.withCString { unsafe unlink($0) } }
            _ = try systemCall(.bind) { unsafe vhu_bind(socket.raw, &address.raw, address.length) }
            _ = consume lock
        }
        let listener = Listener(socket, path: path)
        _ = try systemCall(.listen) { CLinux.listen(listener.fd, 1) }
        return listener
    }

    static func listen(at path: String) throws(Errno) -> Listener { try listen(at: SocketPath(path)) }

    /// How often a folder is tried that somebody else has locked, and microseconds in between. Who replaces a socket holds it for a few calls;
    /// anybody who may read the folder can hold it for longer, and is not waited for.
    private static let lockAttempts = 100
    private static let lockPause: UInt64 = 1000

    /// Nobody else of this library's replaces a socket in that folder while the descriptor is open. Throws EADDRINUSE: somebody goes on doing
    /// so.
    private static func lockFolder(of path: SocketPath) throws(Errno) -> OwnedDescriptor {
        let folder = path.folder
        let lock = OwnedDescriptor(owning: try systemCall(.open) { unsafe folder.withCString { unsafe vhu_open_folder($0) } })
        for _ in 0..<lockAttempts {
            do throws(Errno) {
                _ = try systemCall(.flock) { vhu_try_lock(lock.raw) }
                return lock
            } catch {
                guard error.code == EAGAIN else { throw error }
                _ = try? Readiness.wait(for: (-1, 0), until: Clock.now() &+ lockPause)
            }
        }
        throw Errno(EADDRINUSE)
    }

    /// Whether the path is a socket file that no socket is bound to. A datagram socket asks: a stream socket that listens there
    /// answers it EPROTOTYPE and does not take it for a peer, as it would a stream socket that only wanted to see.
    private static func isStale(_ path: SocketPath) -> Bool {
        guard !path.isAbstract, SocketFile(at: path) != nil else { return false }
        do throws(Errno) {
            var address = try path.makeAddress()
            let socket = OwnedDescriptor(owning: try systemCall(.socket) { vhu_unix_datagram_socket() })
            _ = try systemCall(.connect) { unsafe vhu_connect(socket.raw, &address.raw, address.length) }
            return false
        } catch {
            return error.code == ECONNREFUSED
        }
    }

    /// How many bytes wait to be read.
    static func readableBytes(_ fd: Int32) throws(Errno) -> Int32 {
        let bytes = try systemCall(.ioctl) { max(vhu_readable_bytes(fd), -1) }
        return bytes
    }
}

/// Which socket file a path names.
private struct SocketFile: Equatable {
    let device: UInt64
    let inode: UInt64

    /// nil: there is no socket at the path.
    init?(at path: SocketPath) {
        var status = stat()
        guard (try? systemCall(.lstat, { unsafe path.withCString { unsafe lstat($0, &status) } })) != nil,
            vhu_is_socket(UInt32(status.st_mode))
        else { return nil }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }
}

/// A socket that listens: at a path, whose file goes with it, unless somebody has put another one there meanwhile; or one that was given, which
/// others may have too.
struct Listener: ~Copyable {
    let fd: Int32
    /// nil: it was given.
    private let path: SocketPath?
    private let file: SocketFile?
    private let process = getpid()

    fileprivate init(_ socket: consuming OwnedDescriptor, path: SocketPath) {
        fd = socket.release()
        self.path = path
        // An abstract name goes with the last descriptor.
        file = path.isAbstract ? nil : SocketFile(at: path)
    }

    /// Takes over a socket that listens; on failure it stays the caller's.
    init(given socket: Int32) throws(Errno) {
        _ = try systemCall(.fcntl) { vhu_make_listener(socket) }
        fd = socket
        path = nil
        file = nil
    }

    deinit {
        guard let path else { return OwnedDescriptor.closeGivenListener(fd) }
        // A child of fork leaves its parent's where it is.
        if let file, getpid() == process, SocketFile(at: path) == file {
            _ = try? systemCall(.unlink) { unsafe path.withCString { unsafe unlink($0) } }
        }
        // Peers that were not accepted may have sent something all the same.
        OwnedDescriptor.closeListener(fd, process: process)
    }

    /// The next peer; nil: there is none yet.
    func accept() throws(Errno) -> OwnedDescriptor? {
        do throws(Errno) {
            return OwnedDescriptor(owning: try systemCall(.accept) { vhu_accept(fd) })
        } catch {
            // A peer that connected and went again is no failure of the listener.
            if error.code == EAGAIN || error.code == ECONNABORTED { return nil }
            throw error
        }
    }
}
