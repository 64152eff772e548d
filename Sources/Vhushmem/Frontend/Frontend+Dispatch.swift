// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The part that a loop drives: what the front-end waits for, and what it does then.
extension Frontend {
    var pollTargets: PollTargets {
        var targets = PollTargets()
        guard isBegun else {
            if eventQueue.hasDue { targets.deadline = 0 }
            return targets
        }
        targets.alarm = loops.alarmTarget
        targets.deadline = device.state.careDeadline
        switch phase {
        case .listening(let acceptor):
            targets.first = acceptor.pollTarget
            targets.deadline = earliest(targets.deadline, acceptor.deadline)
        case .away(let until): targets.deadline = earliest(targets.deadline, until)
        case .shakingHands(let connection), .restoring(let connection), .ready(let connection):
            targets.first = connection.pollTarget
            targets.deadline = earliest(targets.deadline, connection.deadline)
            if !setup.shares.isEmpty && hasSharesToTell { targets.deadline = 0 }
            guard let channel = connection.channel, !eventQueue.isFull else { break }
            targets.second = channel.pollTarget
            targets.deadline = earliest(targets.deadline, channel.deadline)
        case .idle, .ending, .over: break
        }
        if hasSomethingToTell || (setup.isUndoing && !setup.isCallingOut) { targets.deadline = 0 }
        return targets
    }

    /// The main socket is read before the channel is served: it brings the regions, or the answer to a reset.
    private var mainGoesFirst: Bool { setup.reset == .answer || isShakingHands }

    /// Does all it can without waiting.
    ///
    /// - Returns: how many messages were taken.
    /// - Throws: ENOTCONN: it was not started, or it is over and every event was reported.
    @discardableResult
    public func dispatch() throws(ShmemError) -> Int {
        try dispatchInLoop(history.ending?.message ?? "the front-end was not started")
    }

    @_optimize(speed)
    func dispatch(_ ready: ReadyTargets) -> Int32 {
        let turn = loops.beginTurn()
        defer { loops.endTurn() }
        if eventQueue.hasDue { tellWaiting() }
        guard isBegun else { return -ENOTCONN }
        lookAfterMappings()
        if setup.isUndoing, !setup.isCallingOut { undoMappings() }
        var taken: Int32 = 0
        if let connection = connection ?? connectionFound() {
            if ready.contains(.first) || mainGoesFirst || connection.hasUnfinished { taken = read(connection, turn) }
            if mainGoesFirst {
                taken &+= serveInOrder(turn)
            } else if let channel = connection.channel, !eventQueue.isFull,
                ready.contains(.second) || channel.deadline != nil
            {
                taken &+= serve(channel, turn, atMost: turn.share)
            }
            // This comes after the answers to the maps.
            if !setup.shares.isEmpty { tellShares() }
            // A limit that has passed ends the connection.
            if let error = connection.lateness() { end(error) }
        }
        if eventQueue.hasDue { tellWaiting() }
        watch()
        return taken
    }

    @inline(never)
    private func connectionFound() -> Connection? {
        // The next back-end finds nothing of the one before.
        if setup.isUndoing { return nil }
        if case .away(let until?) = phase { lookAgain(at: until) }
        if case .listening = phase { accept() }
        return connection
    }

    // MARK: The main socket

    private func read(_ connection: Connection, _ turn: Turn) -> Int32 {
        let (taken, error) = connection.read(turn) { self.connection === connection }
        if let error, self.connection === connection { end(error) }
        return taken
    }

    // MARK: The back-end channel

    @_optimize(speed)
    private func serve(_ channel: BackendChannel, _ turn: Turn, atMost bound: Int32) -> Int32 {
        let (count, lost) = channel.serve(turn, atMost: eventQueue.bound(bound), reports: eventQueue.isWanted) { report($0) }
        if let lost { loseChannel(channel, lost) }
        return count
    }

    @inline(__always)
    private func report(_ served: ServedRequest) {
        if served.request == BackendRequest.configChange, served.error == nil {
            emit(.configChanged)
        } else {
            emitInline(.served(served))
        }
    }

    /// Serves one request at a time, and reads the main socket before each: messages that were sent there before the request
    /// have arrived too. It does not rely on what the loop saw, because both may have come later.
    private func serveInOrder(_ turn: Turn) -> Int32 {
        var taken: Int32 = 0
        while mainGoesFirst, taken < turn.share, let connection, connection.channel?.isReady == true {
            taken &+= read(connection, turn)
            guard let channel = self.connection?.channel else { return taken }
            let count = serve(channel, turn, atMost: 1)
            taken &+= count
            if count == 0 { return taken }
        }
        return taken
    }

    func loseChannel(_ channel: BackendChannel?, _ error: ShmemError) {
        guard let channel, let connection, connection.channel === channel else { return }
        channel.isClosed = true
        connection.channel = nil
        history.channelLoss = error
        // This comes while `channel` still holds the socket: a closed one cannot be taken out of an epoll any more.
        stopWatching()
        // Who listens to what is undone may turn the loop.
        watch()
        setup.tellsChannelLoss = true
        if options.keepsMappings { tellChannelLoss() } else { undoMappings() }
        watch()
    }

    /// What was mapped is undone.
    func tellChannelLoss() {
        setup.tellsChannelLoss = false
        if let loss = history.channelLoss { emit(.channelLost(loss)) }
    }
}
