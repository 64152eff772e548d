// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import Synchronization

/// Reports what the library does, if VHUSHMEM_DEBUG or the program asks for it.
enum Trace {
    static let wire: UInt32 = 1
    static let maps: UInt32 = 2
    static let all = wire | maps

    /// The library has not looked at the environment yet.
    private static let unknown: UInt32 = 1 << 31
    private static let wanted = Atomic<UInt32>(unknown)
    private static let sink = Sink()

    /// One trace; the fields are those of vhushmem_trace.
    struct Line {
        var category: UInt32
        var request: UInt32
        var name: StaticString
        var result: Int32 = 0
        var isChannel = false
        var isSent = false
        var shmid: UInt8 = 0
        var flags: UInt32 = 0
        var size: UInt32 = 0
        var offset: UInt64 = 0
        var length: UInt64 = 0
    }

    /// The program's callback, which replaces GLib's log.
    @safe final class Receiver {
        let tell: (Line, UnsafePointer<CChar>) -> Void

        init(_ tell: @escaping (Line, UnsafePointer<CChar>) -> Void) {
            unsafe self.tell = unsafe tell
        }
    }

    /// Unchecked Sendable: the lock guards what it has.
    private final class Sink: @unchecked Sendable {
        let lock = Lock<Sink>()
        var receiver = Lock<Sink>.Guarded<Receiver?>(nil)
    }

    @inline(never)
    static func wants(_ category: UInt32) -> Bool {
        let now = wanted.load(ordering: .relaxed)
        guard now == unknown else { return now & category != 0 }
        let asked = vhushmem_glib_trace_categories()
        // If the program has set something meanwhile, that stays.
        _ = wanted.compareExchange(expected: unknown, desired: asked, ordering: .relaxed)
        return wanted.load(ordering: .relaxed) & category != 0
    }

    static func set(_ categories: UInt32, _ receiver: Receiver?) {
        let before = sink.lock.withLock { held in
            let before = sink.receiver[held]
            sink.receiver[held] = receiver
            return before
        }
        wanted.store(categories, ordering: .relaxed)
        // Objects of the program may go with it, so it goes with no lock held.
        withExtendedLifetime(before) {}
    }

    @inline(never)
    static func tell(_ line: Line, _ message: Sentence) {
        let receiver = sink.lock.withLock { held in sink.receiver[held] }
        unsafe message.text.withCString { text in
            if let receiver { return unsafe receiver.tell(line, text) }
            let name = unsafe UnsafeRawPointer(line.name.utf8Start).assumingMemoryBound(to: CChar.self)
            unsafe vhushmem_glib_trace(text, name, line.category, line.result, UInt32(line.shmid), line.offset, line.length)
        }
    }
}
