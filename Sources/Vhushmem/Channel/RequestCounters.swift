// SPDX-License-Identifier: BSD-3-Clause

/// What came over back-end channels since the beginning. It is their owner's, and outlives them. Plain integers: who serves a channel
/// is one thread at a time, and it counts on the way of every request.
final class RequestCounters {
    struct Count {
        var served: UInt64 = 0
        var refused: UInt64 = 0
    }

    var maps = Count()
    var unmaps = Count()
    var others = Count()
    /// Those that are complete.
    var resets: UInt64 = 0
    /// Of a front-end: how often there was somebody at the other end.
    var connections: UInt64 = 0

    // Functions of their own: a few lines more in the functions that serve a request, and the compiler makes another choice of what it
    // inlines there, at 200 instructions a request.

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
