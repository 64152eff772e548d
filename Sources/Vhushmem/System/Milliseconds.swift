// SPDX-License-Identifier: BSD-3-Clause

/// A time limit in the unit of C programs. Swift programs use a Duration.
struct Milliseconds: Equatable, Sendable {
    let count: UInt32

    init(_ count: UInt32) {
        self.count = count
    }

    /// Rounds up, so that a limit is never shorter than asked. A negative or too large duration becomes the nearest value.
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else {
            count = 0
            return
        }
        let rest = UInt64(attoseconds).addingReportingOverflow(999_999_999_999_999).partialValue / 1_000_000_000_000_000
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1000)
        count = overflow ? .max : UInt32(clamping: whole &+ rest)
    }

    var duration: Duration { .milliseconds(Int64(count)) }

    var microseconds: UInt64 { UInt64(count) &* 1000 }
}
