// SPDX-License-Identifier: BSD-3-Clause

/// The table of live mappings without anything around it, for `ordered-map.c`: it has a record at every second page, `entries` in all.
final class OrderedMapBench {
    private static let page: UInt64 = 4096

    private let table: MappingTable
    private let entries: UInt64
    private var random: UInt64 = 1

    init?(entries: UInt64) {
        guard let table = MappingTable(pageSize: Self.page) else { return nil }
        self.table = table
        self.entries = entries
        for index in 0..<entries where !insert(atPage: 2 * index) { return nil }
    }

    @inline(__always)
    private func insert(atPage index: UInt64) -> Bool {
        table.insert(MappingRecord(start: index &* Self.page, length: Self.page, fileOffset: 0, word: 0)) == .done
    }

    /// Adds a record between two others, anywhere, and removes it, so many times. False: the table did not do so.
    func run(pairs: UInt64) -> Bool {
        for _ in 0..<pairs {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            // A number below `entries`, without a division.
            let index = (random >> 32 &* entries) >> 32 &* 2 &+ 1
            guard insert(atPage: index), table.remove(at: index &* Self.page) != nil else { return false }
        }
        return true
    }
}

@_cdecl("bench_ordered_map_new")
func benchOrderedMapNew(_ entries: UInt64) -> UnsafeMutableRawPointer? {
    OrderedMapBench(entries: entries).map { Unmanaged.passRetained($0).toOpaque() }
}

@_cdecl("bench_ordered_map_run")
func benchOrderedMapRun(_ map: UnsafeMutableRawPointer, _ pairs: UInt64) -> Bool {
    // SAFETY: what bench_ordered_map_new returned; it is never released.
    Unmanaged<OrderedMapBench>.fromOpaque(map).takeUnretainedValue().run(pairs: pairs)
}
