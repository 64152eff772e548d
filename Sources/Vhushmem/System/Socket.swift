// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux

/// Unix stream sockets. None of these waits.
enum Socket {
    enum Address: ~Copyable {
        case fits(sockaddr_un, socklen_t)
        case tooLong

        init(path: String) {
            var address = sockaddr_un()
            let length = path.withCString { vhu_unix_address(&address, $0) }
            self = length == 0 ? .tooLong : .fits(address, length)
        }
    }

    static func pair() throws(Errno) -> (ours: Int32, theirs: Int32) {
        var ends: (Int32, Int32) = (-1, -1)
        _ = try systemCall(.socketpair) {
            withUnsafeMutableBytes(of: &ends) { vhu_socketpair($0.baseAddress?.assumingMemoryBound(to: Int32.self)) }
        }
        return (ends.0, ends.1)
    }

    static func connect(to path: String) throws(Errno) -> FileDescriptor {
        let socket = FileDescriptor(owning: try systemCall(.socket) { vhu_unix_stream_socket() })
        switch Address(path: path) {
        case .tooLong: throw Errno(ENAMETOOLONG)
        case .fits(var address, let length):
            _ = try systemCall(.connect) { vhu_connect(socket.raw, &address, length) }
        }
        return socket
    }

    /// Listens at `path`. A socket file that nobody listens at is left over from a process that is gone: it is replaced.
    static func listen(at path: String) throws(Errno) -> Listener {
        let socket = FileDescriptor(owning: try systemCall(.socket) { vhu_unix_stream_socket() })
        guard case .fits(var address, let length) = Address(path: path) else { throw Errno(ENAMETOOLONG) }
        do throws(Errno) {
            _ = try systemCall(.bind) { vhu_bind(socket.raw, &address, length) }
        } catch {
            guard error.code == EADDRINUSE, isStale(path) else { throw error }
            _ = try systemCall(.unlink) { path.withCString { unlink($0) } }
            _ = try systemCall(.bind) { vhu_bind(socket.raw, &address, length) }
        }
        let listener = Listener(socket, path: path)
        _ = try systemCall(.listen) { CLinux.listen(listener.fd, 1) }
        return listener
    }

    /// Whether the path is a socket file that no socket is bound to. A datagram socket asks: a stream socket that listens there
    /// answers it EPROTOTYPE and does not take it for a peer, as it would a stream socket that only wanted to see.
    private static func isStale(_ path: String) -> Bool {
        guard isSocketFile(path), case .fits(var address, let length) = Address(path: path) else { return false }
        do throws(Errno) {
            let socket = FileDescriptor(owning: try systemCall(.socket) { vhu_unix_datagram_socket() })
            _ = try systemCall(.connect) { vhu_connect(socket.raw, &address, length) }
            return false
        } catch {
            return error.code == ECONNREFUSED
        }
    }

    private static func isSocketFile(_ path: String) -> Bool {
        SocketFile(at: path) != nil
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
    init?(at path: String) {
        var status = stat()
        guard (try? systemCall(.lstat, { path.withCString { lstat($0, &status) } })) != nil,
            vhu_is_socket(UInt32(status.st_mode))
        else { return nil }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }
}

/// A socket that listens at a path. Its file goes with it, unless somebody has put another one there meanwhile.
struct Listener: ~Copyable {
    private let socket: FileDescriptor
    private let path: String
    private let file: SocketFile?

    fileprivate init(_ socket: consuming FileDescriptor, path: String) {
        self.socket = socket
        self.path = path
        file = SocketFile(at: path)
    }

    deinit {
        guard let file, SocketFile(at: path) == file else { return }
        _ = try? systemCall(.unlink) { path.withCString { unlink($0) } }
    }

    var fd: Int32 { socket.raw }

    /// The next peer; nil: there is none yet.
    func accept() throws(Errno) -> FileDescriptor? {
        do throws(Errno) {
            return FileDescriptor(owning: try systemCall(.accept) { vhu_accept(socket.raw) })
        } catch {
            // A peer that connected and went again is no failure of the listener.
            if error.code == EAGAIN || error.code == ECONNABORTED { return nil }
            throw error
        }
    }
}
