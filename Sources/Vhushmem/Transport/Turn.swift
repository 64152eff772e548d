// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// One turn of a loop, as long as it takes messages of one peer. The others on the loop wait for as long.
///
/// So the sessions of a loop share a turn: each may take as many messages as is its share, and one at least. How many they are shows in how
/// many of them had a turn since the session had its last: those that have nothing to do get none. A turn is bounded in time besides, since
/// what a message asks for may take the kernel long.
struct Turn {
    /// Messages of all sessions together; the share of one that is alone.
    static let most: UInt32 = 64
    /// Microseconds, likewise.
    static let longest: UInt64 = 10_000

    /// More than that are no sessions of one loop.
    private static let mostOnLoop: UInt32 = 4096

    /// Where a session begins to count that has had no turn.
    static var numberOfLast: UInt32 { unsafe vhu_turns().pointee }

    /// Of all sessions' turns in this thread.
    let number: UInt32
    /// 1: it is alone.
    private let sessions: UInt32
    /// When the third message was to be taken. As a rule there is but one, which is no reason to look at a clock.
    private var began: UInt64 = 0

    /// `last`: the number of the session's turn before, in this thread. After a pause, or in another thread, it says nothing; the next turn
    /// knows better.
    @inline(__always)
    init(after last: UInt32) {
        number = vhu_next_turn()
        sessions = number &- last
    }

    /// How many messages it may take.
    @inline(__always)
    var share: Int32 { sessions == 1 ? Int32(Turn.most) : shareOfMany }

    @inline(never)
    private var shareOfMany: Int32 {
        sessions > Turn.mostOnLoop ? 8 : Int32(max(1, Turn.most / max(1, sessions)))
    }

    /// Whether no more is to be taken in this turn. To be asked before each message; every fourth time there is a look at the clock.
    @inline(__always)
    mutating func isOver(after count: Int32) -> Bool {
        count & 3 == 2 && hasLasted(count)
    }

    @inline(never)
    private mutating func hasLasted(_ count: Int32) -> Bool {
        let now = Clock.now()
        if count == 2 { began = now }
        return now &- began >= Turn.longest / UInt64(max(1, min(sessions, Turn.most)))
    }
}
