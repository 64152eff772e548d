// SPDX-License-Identifier: BSD-3-Clause

/// One turn of a loop, as long as it takes messages of one peer. It is bounded in time besides: what a message asks for may take the kernel
/// long, and the others on the loop wait.
struct Turn {
    /// Microseconds.
    static let longest: UInt64 = 10_000

    /// When the third message was to be taken. As a rule there is but one, which is no reason to look at a clock.
    private var began: UInt64 = 0

    /// Whether no more is to be taken in this turn. To be asked before each message; every fourth time there is a look at the clock.
    @inline(__always)
    mutating func isOver(after count: Int32) -> Bool {
        count & 3 == 2 && hasLasted(count)
    }

    @inline(never)
    private mutating func hasLasted(_ count: Int32) -> Bool {
        let now = Clock.now()
        if count == 2 { began = now }
        return now &- began >= Turn.longest
    }
}
