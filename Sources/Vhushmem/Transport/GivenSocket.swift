// SPDX-License-Identifier: BSD-3-Clause

import CLinux

extension Socket {
    /// Checks that the library can talk through `fd`. Throws EBADF, EINVAL (it is no Unix stream socket), ENOTCONN (it never
    /// had a peer).
    static func requireConnectedStream(_ fd: Int32) throws(ShmemError) {
        try requireStream(fd)
        guard vhu_is_connected(fd) else {
            throw ShmemError(ENOTCONN, "the socket \(fd) is not connected")
        }
    }

    /// Checks that peers can be taken from `fd`. Throws EBADF, EINVAL (it is no Unix stream socket, or does not listen).
    static func requireListeningStream(_ fd: Int32) throws(ShmemError) {
        try requireStream(fd)
        guard vhu_socket_option(fd, SO_ACCEPTCONN) == 1 else {
            throw ShmemError(EINVAL, "the socket \(fd) does not listen")
        }
    }

    private static func requireStream(_ fd: Int32) throws(ShmemError) {
        for (option, wanted) in [(SO_DOMAIN, AF_UNIX), (SO_TYPE, vhu_sock_stream)] {
            let value = vhu_socket_option(fd, option)
            guard value == wanted else {
                throw ShmemError(value == -EBADF ? EBADF : EINVAL, "the descriptor \(fd) is no Unix stream socket")
            }
        }
    }
}
