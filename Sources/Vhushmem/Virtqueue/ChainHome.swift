// SPDX-License-Identifier: BSD-3-Clause

import Synchronization

/// A chain's link to the queue that it was taken from. The queue may go before the chain does. Each start of a queue has its
/// own.
final class ChainHome: Sendable {
    /// The number of the queue in its device.
    let index: Int
    /// The pieces of all chains that the device holds. A chain that is never given back may go on any thread.
    private let pieces = Atomic<Int>(0)

    init(index: Int) { self.index = index }

    @inline(__always)
    var pieceCount: Int { pieces.load(ordering: .relaxed) }

    @inline(__always)
    func add(pieces count: Int) { pieces.wrappingAdd(count, ordering: .relaxed) }

    @inline(__always)
    func remove(pieces count: Int) { pieces.wrappingSubtract(count, ordering: .relaxed) }
}
