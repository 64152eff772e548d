// SPDX-License-Identifier: BSD-3-Clause

import CGLib

/// GLib's log, in the domain "vhushmem". What a peer can cause at will goes to `debug`, which is off unless somebody asks.
enum Log {
    static func warning(_ message: Sentence) {
        message.text.withCString { vhushmem_glib_log(G_LOG_LEVEL_WARNING, $0) }
    }

    /// What is no fault of anybody's, and worth knowing.
    static func message(_ message: Sentence) {
        message.text.withCString { vhushmem_glib_log(G_LOG_LEVEL_MESSAGE, $0) }
    }

    static func critical(_ message: Sentence) {
        message.text.withCString { vhushmem_glib_log(G_LOG_LEVEL_CRITICAL, $0) }
    }

    static func debug(_ message: @autoclosure () -> Sentence) {
        message().text.withCString { vhushmem_glib_log(G_LOG_LEVEL_DEBUG, $0) }
    }
}
