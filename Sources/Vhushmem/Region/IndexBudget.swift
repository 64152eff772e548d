// SPDX-License-Identifier: BSD-3-Clause

import Synchronization

/// How many chunks of 2 MiB the page indexes of a device's regions, or of all regions of the process, have words for.
///
/// It is the back-end that says how large its regions are, and an index takes memory by that, not by what is mapped: up to 136 bytes a
/// chunk, most of which stay until no mapping is left. What is beyond a budget has no index, and `translate` asks the table.
struct IndexBudget: ~Copyable {
    /// 128 GiB of regions: at most 8.5 MiB.
    static var chunksOfDevice: UInt64 { 1 << 16 }
    /// 1 TiB of regions: at most 68 MiB.
    static let process = IndexBudget(chunks: 1 << 19)

    private let left: Atomic<UInt64>

    init(chunks: UInt64) {
        left = Atomic(chunks)
    }

    /// Takes as many as there are, and `wanted` at the most. Returns how many.
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
    /// The index of a region of `size` bytes, as far as the budgets go.
    init(size: UInt64, of device: DeviceState) {
        let allowed = device.indexBudget.take(upTo: PageIndex.chunks(for: size))
        let taken = IndexBudget.process.take(upTo: allowed)
        self.init(chunks: taken)
        // What they would not both give, or the kernel had no memory for.
        device.indexBudget.give(allowed &- chunkCount)
        IndexBudget.process.give(taken &- chunkCount)
    }
}

extension DeviceState {
    /// The region whose index had so many goes.
    func giveBack(chunks: UInt64) {
        indexBudget.give(chunks)
        IndexBudget.process.give(chunks)
    }
}
