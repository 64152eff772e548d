// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import Synchronization

/// GLib's log, in the domain "vhushmem". A message that a peer can cause at will goes to `debug`, which is off by default.
enum Log {
    /// A peer can cause warnings at will, by connecting again and again. So the log shows this many a second, and the number of
    /// those it left out.
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
        unsafe message.text.withCString { unsafe vhushmem_glib_log(VHUSHMEM_LOG_WARNING, $0) }
    }

    /// Logs something worth knowing that is no fault.
    static func message(_ message: Sentence) {
        unsafe message.text.withCString { unsafe vhushmem_glib_log(VHUSHMEM_LOG_MESSAGE, $0) }
    }

    /// Unchecked Sendable: the lock guards what it has.
    private final class Waiting: @unchecked Sendable {
        static let most = 16
        let lock = Lock<Waiting>()
        var lines = Lock<Waiting>.Guarded<[(text: Sentence, isCritical: Bool)]>([])
    }

    private static let waiting = Waiting()
    private static let areWaiting = Atomic(false)

    /// For a caller that may hold a lock: the program's log writer, which may call the library, must not run under it.
    /// `tellWaiting` logs the message later.
    @inline(never)
    static func later(_ message: Sentence, isCritical: Bool = false) {
        waiting.lock.withLock { held in
            if waiting.lines[held].count < Waiting.most { waiting.lines[held].append((message, isCritical)) }
        }
        areWaiting.store(true, ordering: .releasing)
    }

    /// For a caller that has let a lock go.
    @inline(__always)
    static func tellWaiting() {
        if areWaiting.load(ordering: .relaxed) { tellAllThatWait() }
    }

    @inline(never)
    private static func tellAllThatWait() {
        areWaiting.store(false, ordering: .sequentiallyConsistent)
        let lines = waiting.lock.withLock { held in
            let lines = waiting.lines[held]
            waiting.lines[held] = []
            return lines
        }
        for line in lines {
            if line.isCritical { critical(line.text) } else { warning(line.text) }
        }
    }

    static func critical(_ message: Sentence) {
        unsafe message.text.withCString { unsafe vhushmem_glib_log(VHUSHMEM_LOG_CRITICAL, $0) }
    }

    static func debug(_ message: @autoclosure () -> Sentence) {
        unsafe message().text.withCString { unsafe vhushmem_glib_log(VHUSHMEM_LOG_DEBUG, $0) }
    }
}
