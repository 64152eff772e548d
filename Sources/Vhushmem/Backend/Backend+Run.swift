// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: What a loop does with a back-end

extension Backend {
    /// The descriptor that stands for all that the back-end waits for: readable when there is something to dispatch, and when
    /// the connection is over and no other can come. The back-end owns it; it stays the same for the back-end's life.
    ///
    /// - Returns: the descriptor.
    /// - Throws: EMFILE, ENFILE, ENOMEM.
    public func pollDescriptor() throws(ShmemError) -> Int32 {
        try waitDescriptor()
    }

    var pollTargets: PollTargets {
        var targets = PollTargets()
        if let connection {
            let main = connection.main
            // A loop inside a callback finds nothing to do while a message is under way, while too many events wait, or while
            // the connection ends.
            if work.isDisjoint(with: [.serving, .ending]), !eventQueue.isFull {
                if main.wantsToWrite || !main.isHeldUp {
                    targets.first = .init(fd: main.fd, events: Int16(main.hasUnsent ? POLLOUT : POLLIN))
                }
                // While replies wait, the back-end reads nothing, so a buffered message is nothing to do.
                if !main.hasUnsent {
                    targets.deadline = main.hasBufferedMessage ? 0 : main.deadline
                } else if main.isHeldUp {
                    targets.deadline = main.deadline
                }
            }
            targets.alarm = connection.alarm.map { PollTargets.Target(fd: $0.fd, events: Int16(POLLIN)) }
        } else if let acceptor {
            targets.first = acceptor.pollTarget
            targets.deadline = acceptor.deadline
        }
        // Reports by callbacks wait for the callback that runs.
        if eventQueue.isTelling { return targets }
        if let kicks { targets.second = .init(fd: kicks.fd, events: Int16(POLLIN)) }
        targets.deadline = reports == .due || eventQueue.hasDue ? 0 : earliest(targets.deadline, polling.next)
        if let connection { targets.deadline = earliest(targets.deadline, deadline(of: connection.calls)) }
        return targets
    }

    /// Does all it can without waiting.
    ///
    /// - Returns: how many messages, kicks and answers were taken.
    /// - Throws: ENOTCONN: there is no connection, and no listener to bring one.
    @discardableResult
    public func dispatch() throws(ShmemError) -> Int {
        try dispatchInLoop("the back-end has neither a connection nor a listener")
    }

    /// Waits until there is something to dispatch, at most so many milliseconds (-1: no limit), and dispatches it. Returns how
    /// many messages, kicks and answers were taken, or a negative errno.
    func dispatch(within limit: Int32) -> Int32 {
        do throws(ShmemError) {
            _ = try pollDescriptor()
        } catch { return -error.code }
        // While the connection ends, a callback would wait for ever.
        guard limit != 0, isConnected || acceptor != nil, !work.contains(.ending) else { return dispatch(.both) }
        guard let ready = takeKicks(within: limit) else { return 0 }
        return dispatch(loops.descriptor?.isWhole == true ? ready : .both)
    }

    func dispatch(_ ready: ReadyTargets) -> Int32 {
        var turn = loops.beginTurn()
        defer { loops.endTurn() }
        if eventQueue.hasDue { tellWaiting() }
        guard isConnected || acceptor != nil else {
            watch()
            return -ENOTCONN
        }
        if connection?.alarm?.wasRaised() == true {
            drop(ShmemError(EFAULT, "the front-end has truncated the file of its guest memory"))
        }
        // The epoll does not have the socket of a front-end that comes in this turn.
        let ready = isConnected ? found(ready) : .both
        if !isConnected { accept() }
        var taken: Int32 = 0
        if ready.contains(.first) || hasUnfinished {
            while taken < turn.share, !turn.isOver(after: taken), serveOne() { taken &+= 1 }
        }
        // This comes after the messages: a kick is for the queues as they are now.
        if isConnected, !eventQueue.isTelling {
            pollQueues()
            taken &+= serveKicks(ready.contains(.second) || taken > 0)
        }
        taken &+= serveCalls()
        if eventQueue.hasDue { tellWaiting() }
        watch()
        return taken
    }

    /// A program that waits for the descriptor does not know what is ready, but the epoll behind it does. This takes its kicks
    /// too, even for a loop inside a callback: it would find the descriptor readable again and again.
    private func found(_ ready: ReadyTargets) -> ReadyTargets {
        guard ready == .both, let descriptor = loops.descriptor else { return ready }
        let found = takeKicks() ?? []
        return descriptor.isWhole ? found : ready
    }

    /// There may be something to do with the main socket even if it is not ready.
    private var hasUnfinished: Bool {
        guard let main = connection?.main else { return false }
        return main.hasUnsent || main.deadline != nil || main.hasBufferedMessage
    }

    /// Sends what waits, and serves the next message. False: there is nothing more to do now.
    @discardableResult
    func serveOne() -> Bool {
        // A callback dispatches: the message that is being served lies in the buffer, and its answer comes first.
        guard let connection, work.isDisjoint(with: [.serving, .ending]), !eventQueue.isFull else { return false }
        if case .failed(let error) = connection.main.flush() {
            drop(lost("writing", error))
            return false
        }
        // A front-end that reads no replies gets no further.
        return connection.main.hasUnsent ? false : readOne(connection)
    }

    private func readOne(_ connection: BackendConnection) -> Bool {
        switch connection.main.receive() {
        case .nothing: return false
        case .closed: drop(ShmemError(ECONNRESET, "the front-end closed the connection"))
        case .failed(let error): drop(lost("reading", error))
        case .violation(let violation): drop(ShmemError(violation.code, "the front-end sent \(violation.sentence)"))
        case .message(let header, let payload):
            unsafe serve(header, payload, connection)
            return true
        }
        return false
    }

    private func serve(_ header: MessageHeader, _ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) {
        let wasNegotiated = isNegotiated
        work.insert(.serving)
        do throws(ShmemError) {
            let wasReset = try unsafe take(header, payload, connection)
            work.remove(.serving)
            // Notify the device only after replying: it may call the front-end, which waits for the reply.
            if wasReset { emit(.reset) }
        } catch {
            work.remove(.serving)
            drop(error)
        }
        if isNegotiated, !wasNegotiated { emit(.negotiated) }
    }
}
