// SPDX-License-Identifier: BSD-3-Clause

import CLinux

extension Frontend {
    /// The phase of a front-end. A phase carries what belongs to it, and drops it in the end.
    enum Phase {
        /// Not started.
        case idle
        /// Waiting for a back-end to connect.
        case listening(Acceptor)
        case shakingHands(Connection)
        /// The front-end tells a back-end that came back what the last one knew.
        case restoring(Connection)
        case ready(Connection)
        /// The connection has ended, what was mapped is being undone, and the program was not told.
        case ending(ConnectionEnd)
        /// Without a back-end until the next attempt (microseconds; nil: the program has not been told of the loss yet).
        case away(until: UInt64?)
        /// `history.ending` says why.
        case over
    }

    /// The only place where the phase changes.
    func move(to next: Phase) {
        switch (phase, next) {
        // Started, as a server or as a client; and again after a loss.
        case (.idle, .listening), (.idle, .shakingHands), (.away, .listening), (.away, .shakingHands): break
        // A back-end has connected.
        case (.listening, .shakingHands): break
        // The handshake is done: the back-end is new, or it came back to a device that runs.
        case (.shakingHands, .ready), (.shakingHands, .restoring), (.restoring, .ready): break
        // The back-end was lost, or accept failed. The front-end looks for a back-end again, or it does not.
        case (.idle, .ending), (.listening, .ending), (.shakingHands, .ending), (.restoring, .ending), (.ready, .ending),
            (.ending, .away), (.ending, .over):
            break
        // An attempt failed.
        case (.away, .away): break
        // Given up before it began, or freed.
        case (.idle, .over), (.listening, .over), (.shakingHands, .over), (.restoring, .over), (.ready, .over), (.away, .over):
            break
        default:
            Log.warning("a front-end was to go from \"\(phase.name)\" to \"\(next.name)\", which is a fault of this library")
            return
        }
        phase = next
    }

    /// nil: there is no back-end.
    @inline(__always)
    var connection: Connection? {
        switch phase {
        case .ready(let connection), .shakingHands(let connection), .restoring(let connection): connection
        case .idle, .listening, .ending, .away, .over: nil
        }
    }

    /// There is a back-end at the other end.
    @inline(__always)
    var isConnected: Bool {
        switch phase {
        case .shakingHands, .restoring, .ready: true
        case .idle, .listening, .ending, .away, .over: false
        }
    }

    /// Started, and not over.
    @inline(__always)
    var isBegun: Bool {
        switch phase {
        case .idle, .over: false
        case .listening, .shakingHands, .restoring, .ready, .ending, .away: true
        }
    }

    /// The handshake is done and the connection is not over.
    public var isReady: Bool {
        if case .ready = phase { return true }
        return false
    }

    var hasEnded: Bool {
        if case .over = phase { return true }
        return false
    }

    /// There will be no other back-end, though the program may not know yet.
    var isLost: Bool {
        if case .ending(let end) = phase { return !end.comesBack }
        return hasEnded
    }

    /// No loop has to look at it any more.
    var isOver: Bool { hasEnded && !eventQueue.hasWaiting }

    var isAtEnd: Bool { hasEnded }

    /// Without a back-end until the next one.
    var isAway: Bool {
        switch phase {
        case .away: true
        case .ending(let end): end.comesBack
        default: false
        }
    }

    var isShakingHands: Bool {
        if case .shakingHands = phase { return true }
        return false
    }

    /// It waits for the back-end before it can do anything else.
    var isExpecting: Bool {
        switch phase {
        case .listening, .shakingHands, .restoring: true
        case .idle, .ready, .ending, .away, .over: false
        }
    }

    /// Requests can be sent. A back-end that came back is told what it has to know at the same time.
    var isTalking: Bool {
        switch phase {
        case .ready, .restoring: true
        default: false
        }
    }
}

/// The end of a connection that the program was not told of.
struct ConnectionEnd {
    let error: ShmemError
    /// The back-end is looked for again.
    let comesBack: Bool
    let wasUp: Bool
}

extension Frontend.Phase {
    var name: StaticString {
        switch self {
        case .idle: "new"
        case .listening: "listening"
        case .shakingHands: "handshake"
        case .restoring: "restoring"
        case .ready: "ready"
        case .ending(let end): end.comesBack ? "away" : "disconnected"
        case .away: "away"
        case .over: "disconnected"
        }
    }
}
