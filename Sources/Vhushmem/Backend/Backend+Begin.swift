// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: How a connection begins

extension Backend {
    /// Listens at a path, and serves one front-end at a time: the next one after the last has gone.
    ///
    /// - Parameter path: the path of the socket; one that begins with @ names an abstract socket.
    /// - Throws: EBUSY (there is a connection or a listener), or the errno of socket, bind or listen.
    public func listen(at path: String) throws(ShmemError) { try listen(at: SocketPath(path)) }

    func listen(at path: SocketPath) throws(ShmemError) {
        try checkIdle()
        do throws(Errno) {
            acceptor = try Acceptor.make(at: path)
        } catch {
            throw ShmemError(error.code, "cannot listen at \(path.text): \(Errno.text(error.code)) (errno \(error.code))")
        }
        watch()
    }

    /// Takes front-ends from a Unix stream socket that listens already, as a service manager gives it. It serves one at a time.
    ///
    /// - Parameter socket: the socket; its O_NONBLOCK is set.
    /// - Throws: EBUSY, EINVAL (it is another kind of descriptor, or does not listen), EBADF.
    public func listen(socket: consuming OwnedDescriptor) throws(ShmemError) {
        try listen(socket: socket.raw)
        // The listener owns the descriptor now.
        _ = socket.release()
    }

    /// The same for a descriptor that stays the caller's if this throws.
    func listen(socket: Int32) throws(ShmemError) {
        try checkIdle()
        try Socket.requireListeningStream(socket)
        do throws(Errno) {
            acceptor = try Acceptor.make(given: socket)
        } catch {
            throw ShmemError(
                error.code, "cannot listen at the socket \(socket): \(Errno.text(error.code)) (errno \(error.code))")
        }
        watch()
    }

    /// Connects to a front-end that listens. The next dispatch reports `connected`, so that no callback runs inside this call.
    ///
    /// - Parameter path: the path of the socket; one that begins with @ names an abstract socket.
    /// - Throws: EBUSY, EINVAL (the callbacks ended with the last connection), or the errno of connect.
    public func connect(to path: String) throws(ShmemError) { try connect(to: SocketPath(path)) }

    func connect(to path: SocketPath) throws(ShmemError) {
        try checkIdle()
        do throws(Errno) {
            talk(through: try Socket.connect(to: path))
            eventQueue.keep(.connected)
        } catch {
            throw ShmemError(error.code, "cannot connect to \(path.text): \(Errno.text(error.code)) (errno \(error.code))")
        }
        watch()
    }

    /// Uses a connected Unix stream socket. The next dispatch reports `connected`.
    ///
    /// - Parameter socket: the descriptor; it is closed with the session, and if this throws.
    /// - Throws: EBUSY, EINVAL (it is another kind of descriptor, or the callbacks ended with the last connection), EBADF.
    public func attach(socket: consuming OwnedDescriptor) throws(ShmemError) {
        try attach(socket: socket.raw)
        // The connection owns the descriptor now.
        _ = socket.release()
    }

    /// The same for a descriptor that stays the caller's if this throws.
    func attach(socket: Int32) throws(ShmemError) {
        try checkIdle()
        try Socket.requireConnectedStream(socket)
        talk(through: OwnedDescriptor(owning: socket))
        eventQueue.keep(.connected)
        watch()
    }

    private func checkIdle() throws(ShmemError) {
        guard case .idle = phase, acceptor == nil else {
            throw ShmemError(EBUSY, "the back-end has a connection or a listener")
        }
        guard !callbacksWent else {
            throw ShmemError(EINVAL, "callbacks and handlers ended with the last connection: set them again")
        }
    }

    /// Takes the next front-end, if one waits.
    func accept() {
        do throws(Errno) {
            guard let peer = try acceptor?.accept("front-end") else { return }
            talk(through: peer)
            emit(.connected)
        } catch {
            // The program need not know: the back-end still listens.
            acceptor?.rest(after: error, "front-end")
        }
    }

    private func talk(through socket: consuming OwnedDescriptor) {
        EventSignal.prepare()
        move(to: .connected(BackendConnection(socket, configSize: options.configSize, closes: closes)))
    }
}
