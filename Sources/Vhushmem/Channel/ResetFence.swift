// SPDX-License-Identifier: BSD-3-Clause

/// Refuses requests that a back-end sent before it knew of a reset.
enum ResetFence {
    /// Nothing is refused.
    case open
    /// The back-end has not answered the reset: every request is refused.
    case closed
    /// It has answered. This many bytes had arrived by then: the requests in them are older than the reset.
    case opensAfter(bytes: Int)

    /// The back-end has answered the reset, and `bytes` have arrived that were not looked at.
    mutating func open(after bytes: Int) {
        self = bytes > 0 ? .opensAfter(bytes: bytes) : .open
    }

    /// Whether a message of `length` bytes is refused. Ask once for every message, in order.
    @inline(__always)
    mutating func holdsBack(_ length: Int) -> Bool {
        if case .open = self { return false }
        return isClosedFor(length)
    }

    private mutating func isClosedFor(_ length: Int) -> Bool {
        guard case .opensAfter(let bytes) = self else { return true }
        open(after: bytes &- length)
        return true
    }
}
