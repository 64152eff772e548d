// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// One turn of a loop: the time in which it takes messages of one peer. The others on the loop wait as long.
///
/// So the sessions of a loop share a turn: each may take its share of messages, and one at least. The number of sessions shows
/// in how many of them had a turn since this session's last turn; sessions with nothing to do have none. A turn also has a time
/// limit, because a message may keep the kernel busy for long.
struct Turn {
    /// The messages of all sessions together; the share of a session that is alone.
    static let most: UInt32 = 64
    /// Microseconds, likewise.
    static let longest: UInt64 = 10_000

    /// Greater numbers are no sessions of one loop.
    private static let mostOnLoop: UInt32 = 4096

    /// A session that has had no turn begins to count here.
    static var numberOfLast: UInt32 { unsafe vhu_turns().pointee }

    /// The number among all sessions' turns in this thread.
    let number: UInt32
    /// 1: the session is alone.
    private let sessions: UInt32
    /// The time of the third message. Usually there is only one, which needs no look at a clock.
    private var began: UInt64 = 0

    /// `last`: the number of the session's last turn, in this thread. After a pause, or in another thread, it means nothing;
    /// the next turn is right again.
    @inline(__always)
    init(after last: UInt32) {
        number = vhu_next_turn()
        sessions = number &- last
    }

    /// How many messages the session may take.
    @inline(__always)
    var share: Int32 { sessions == 1 ? Int32(Turn.most) : shareOfMany }

    @inline(never)
    private var shareOfMany: Int32 {
        sessions > Turn.mostOnLoop ? 8 : Int32(max(1, Turn.most / max(1, sessions)))
    }

    /// Whether the turn must take no more. Ask before each message; every fourth time this looks at the clock.
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
