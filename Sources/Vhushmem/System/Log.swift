// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import Synchronization

/// GLib's log, in the domain "vhushmem". What a peer can cause at will goes to `debug`, which is off unless somebody asks.
enum Log {
    /// A peer can cause warnings at will, by coming again and again: so many in a second are told, and how many were not.
    private static let mostInASecond: UInt32 = 10
    private static let second = Atomic<UInt64>(0)
    private static let inThisSecond = Atomic<UInt32>(0)

    static func warning(_ message: Sentence) {
        let now = Clock.now() / 1_000_000
        if second.exchange(now, ordering: .relaxed) != now {
            let before = inThisSecond.exchange(0, ordering: .relaxed)
            if before > mostInASecond {
                tell("\(before &- mostInASecond) more warnings were left out: one second had too many")
            }
        }
        guard inThisSecond.wrappingAdd(1, ordering: .relaxed).oldValue < mostInASecond else { return }
        tell(message)
    }

    private static func tell(_ message: Sentence) {
        unsafe message.text.withCString { unsafe vhushmem_glib_log(G_LOG_LEVEL_WARNING, $0) }
    }

    /// What is no fault of anybody's, and worth knowing.
    static func message(_ message: Sentence) {
        unsafe message.text.withCString { unsafe vhushmem_glib_log(G_LOG_LEVEL_MESSAGE, $0) }
    }

    static func critical(_ message: Sentence) {
        unsafe message.text.withCString { unsafe vhushmem_glib_log(G_LOG_LEVEL_CRITICAL, $0) }
    }

    static func debug(_ message: @autoclosure () -> Sentence) {
        unsafe message().text.withCString { unsafe vhushmem_glib_log(G_LOG_LEVEL_DEBUG, $0) }
    }
}
