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

    /// Listens at `path`. A socket file at which nobody listens is left over from a process that is gone: it is replaced. If
    /// several processes begin to listen there, one succeeds, and the others get EADDRINUSE.
    static func listen(at path: SocketPath) throws(Errno) -> Listener {
        var address = try path.makeAddress()
        let socket = OwnedDescriptor(owning: try systemCall(.socket) { vhu_unix_stream_socket() })
        do throws(Errno) {
            _ = try systemCall(.bind) { unsafe vhu_bind(socket.raw, &address.raw, address.length) }
        } catch {
            guard error.code == EADDRINUSE, isStale(path) else { throw error }
            // The lock is held until the socket is bound: a process that looks later finds a listener.
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

    /// How often a locked folder is tried, and microseconds in between. A process that replaces a socket holds the lock for a
    /// few calls. Anybody who may read the folder can hold it longer; the function does not wait for that.
    private static let lockAttempts = 100
    private static let lockPause: UInt64 = 1000

    /// While the descriptor is open, no other process with this library replaces a socket in that folder. Throws EADDRINUSE:
    /// another process still does so.
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

    /// Whether the path is a socket file that no socket is bound to. A datagram socket asks. A stream socket that listens there
    /// answers EPROTOTYPE, and does not take the asker for a peer, as it would take a stream socket.
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

/// Identifies the socket file at a path.
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

/// A listening socket. Either it is at a path, and its file goes with it, unless another process has put another one there
/// meanwhile. Or the program gave it, and other processes may have it too.
struct Listener: ~Copyable {
    let fd: Int32
    /// nil: the program gave the socket.
    private let path: SocketPath?
    private let file: SocketFile?
    private let process = getpid()

    fileprivate init(_ socket: consuming OwnedDescriptor, path: SocketPath) {
        fd = socket.release()
        self.path = path
        // The last descriptor frees an abstract name.
        file = path.isAbstract ? nil : SocketFile(at: path)
    }

    /// Takes over a listening socket; on failure it stays the caller's.
    init(given socket: Int32) throws(Errno) {
        _ = try systemCall(.fcntl) { vhu_make_listener(socket) }
        fd = socket
        path = nil
        file = nil
    }

    deinit {
        guard let path else { return OwnedDescriptor.closeGivenListener(fd) }
        // A child of fork leaves its parent's file in place.
        if let file, getpid() == process, SocketFile(at: path) == file {
            _ = try? systemCall(.unlink) { unsafe path.withCString { unsafe unlink($0) } }
        }
        // Peers that were not accepted may already have sent descriptors.
        OwnedDescriptor.closeListener(fd, process: process)
    }

    /// The next peer; nil: there is none yet.
    func accept() throws(Errno) -> OwnedDescriptor? {
        do throws(Errno) {
            return OwnedDescriptor(owning: try systemCall(.accept) { vhu_accept(fd) })
        } catch {
            // A peer that connected and left is no failure of the listener.
            if error.code == EAGAIN || error.code == ECONNABORTED { return nil }
            throw error
        }
    }
}
