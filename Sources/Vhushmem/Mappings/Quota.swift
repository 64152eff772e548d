// SPDX-License-Identifier: BSD-3-Clause

/// Limits of what may be mapped, and counters of what is mapped. A limit of 0 is no limit.
struct Quota {
    let maximumMappings: UInt64
    let maximumBytes: UInt64
    private let isLimited: Bool
    /// Counted since the beginning, with those that are gone.
    private(set) var mappingsEver: UInt64 = 0
    private(set) var bytesEver: UInt64 = 0
    /// Those that are gone.
    private var mappingsGone: UInt64 = 0
    private var bytesGone: UInt64 = 0

    init(maximumMappings: UInt64 = 0, maximumBytes: UInt64 = 0) {
        self.maximumMappings = maximumMappings
        self.maximumBytes = maximumBytes
        isLimited = maximumMappings != 0 || maximumBytes != 0
    }

    var mappings: UInt64 { mappingsEver &- mappingsGone }
    var bytes: UInt64 { bytesEver &- bytesGone }

    enum Shortage: Equatable {
        case mappings(limit: UInt64)
        case bytes(used: UInt64, limit: UInt64)
    }

    /// The limit that forbids one more mapping of `length` bytes; nil: none does.
    @inline(__always)
    func shortage(for length: UInt64) -> Shortage? {
        guard isLimited else { return nil }
        if maximumMappings != 0, mappings >= maximumMappings { return .mappings(limit: maximumMappings) }
        guard maximumBytes != 0 else { return nil }
        let (total, overflow) = bytes.addingReportingOverflow(length)
        return overflow || total > maximumBytes ? .bytes(used: bytes, limit: maximumBytes) : nil
    }

    mutating func add(_ length: UInt64) {
        mappingsEver &+= 1
        bytesEver &+= length
    }

    mutating func remove(_ length: UInt64) {
        mappingsGone &+= 1
        bytesGone &+= length
    }

    /// Writes the use of each limit, and the counters since the beginning.
    func write(to json: JsonText) {
        json.beginObject("quotas")
        json.quota("mappings", used: mappings, limit: maximumMappings)
        json.quota("bytes", used: bytes, limit: maximumBytes)
        json.endObject()
        json.beginObject("counters")
        json.number("maps", mappingsEver)
        json.number("unmaps", mappingsGone)
        json.number("mapped_bytes", bytesEver)
        json.number("unmapped_bytes", bytesGone)
        json.endObject()
    }
}

extension JsonText {
    /// A limit of 0 is no limit.
    func quota(_ key: StaticString, used: UInt64, limit maximum: UInt64) {
        beginObject(key)
        number("used", used)
        limit("limit", maximum)
        endObject()
    }
}
