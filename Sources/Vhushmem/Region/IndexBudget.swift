// SPDX-License-Identifier: BSD-3-Clause

import Synchronization

/// The budget of chunks of 2 MiB that have words in page indexes, for a device's regions or for all regions of the process.
///
/// The back-end decides the size of its regions. The memory of an index depends on this size, not on the mappings: up to 136
/// bytes a chunk, most of which stay until no mapping is left. Regions beyond the budget have no index, and `translate` asks
/// the table.
struct IndexBudget: ~Copyable {
    /// 128 GiB of regions: at most 8.5 MiB.
    static var chunksOfDevice: UInt64 { 1 << 16 }
    /// 1 TiB of regions: at most 68 MiB.
    static let process = IndexBudget(chunks: 1 << 19)

    private let left: Atomic<UInt64>

    init(chunks: UInt64) {
        left = Atomic(chunks)
    }

    /// Takes as many as are left, at most `wanted`. Returns how many.
    borrowing func take(upTo wanted: UInt64) -> UInt64 {
        var found = left.load(ordering: .relaxed)
        while true {
            let taken = min(found, wanted)
            let (exchanged, original) = left.weakCompareExchange(expected: found, desired: found &- taken, ordering: .relaxed)
            if exchanged { return taken }
            found = original
        }
    }

    borrowing func give(_ chunks: UInt64) {
        left.wrappingAdd(chunks, ordering: .relaxed)
    }
}

extension PageIndex {
    /// The index of a region of `size` bytes, as far as the budgets allow.
    init(size: UInt64, of device: DeviceState) {
        let allowed = device.indexBudget.take(upTo: PageIndex.chunks(for: size))
        let taken = IndexBudget.process.take(upTo: allowed)
        self.init(chunks: taken)
        // Chunks go back if only one budget gave them, or the kernel had no memory for them.
        device.indexBudget.give(allowed &- chunkCount)
        IndexBudget.process.give(taken &- chunkCount)
    }
}

extension DeviceState {
    /// Gives back the chunks of the index of a region that goes.
    func giveBack(chunks: UInt64) {
        indexBudget.give(chunks)
        IndexBudget.process.give(chunks)
    }
}
