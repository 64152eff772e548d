// SPDX-License-Identifier: BSD-3-Clause

/// How much may be mapped, and how much is. A limit of 0 is no limit.
struct Quota {
    let maximumMappings: UInt64
    let maximumBytes: UInt64
    private(set) var mappings: UInt64 = 0
    private(set) var bytes: UInt64 = 0

    init(maximumMappings: UInt64 = 0, maximumBytes: UInt64 = 0) {
        self.maximumMappings = maximumMappings
        self.maximumBytes = maximumBytes
    }

    enum Shortage: Equatable {
        case mappings(limit: UInt64)
        case bytes(used: UInt64, limit: UInt64)
    }

    /// What stands in the way of one more mapping of `length` bytes.
    func shortage(for length: UInt64) -> Shortage? {
        if maximumMappings != 0, mappings >= maximumMappings { return .mappings(limit: maximumMappings) }
        guard maximumBytes != 0 else { return nil }
        let (total, overflow) = bytes.addingReportingOverflow(length)
        return overflow || total > maximumBytes ? .bytes(used: bytes, limit: maximumBytes) : nil
    }

    mutating func add(_ length: UInt64) {
        mappings &+= 1
        bytes &+= length
    }

    mutating func remove(_ length: UInt64) {
        mappings &-= 1
        bytes &-= length
    }
}
