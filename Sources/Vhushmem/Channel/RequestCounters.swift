// SPDX-License-Identifier: BSD-3-Clause

/// Counts the requests of back-end channels since the beginning. A channel's owner has it, and it outlives the channel. The
/// numbers are plain integers: one thread at a time serves a channel, and it counts on the path of every request.
final class RequestCounters {
    struct Count {
        var served: UInt64 = 0
        var refused: UInt64 = 0
    }

    var maps = Count()
    var unmaps = Count()
    var others = Count()
    /// Complete resets.
    var resets: UInt64 = 0
    /// For a front-end: how many connections it had.
    var connections: UInt64 = 0

    // These are functions of their own: with a few more lines in the functions that serve a request, the compiler would inline
    // other things there, at 200 instructions a request.

    @inline(never)
    func countServed(_ request: UInt32) {
        switch request {
        case BackendRequest.shmemMap: maps.served &+= 1
        case BackendRequest.shmemUnmap: unmaps.served &+= 1
        default: others.served &+= 1
        }
    }

    @inline(never)
    func countRefused(_ request: UInt32) {
        switch request {
        case BackendRequest.shmemMap: maps.refused &+= 1
        case BackendRequest.shmemUnmap: unmaps.refused &+= 1
        default: others.refused &+= 1
        }
    }

    @inline(never)
    func count(_ answer: OtherAnswer, _ request: UInt32) {
        switch answer {
        case .done, .descriptor: countServed(request)
        case .refused, .noDescriptor: countRefused(request)
        case .later: break  // counted when it is answered
        }
    }

    func write(to json: JsonText) {
        json.beginObject("requests")
        write(maps, "map", to: json)
        write(unmaps, "unmap", to: json)
        write(others, "other", to: json)
        json.endObject()
        json.number("resets", resets)
    }

    private func write(_ count: Count, _ key: StaticString, to json: JsonText) {
        json.beginObject(key)
        json.number("served", count.served)
        json.number("refused", count.refused)
        json.endObject()
    }
}
