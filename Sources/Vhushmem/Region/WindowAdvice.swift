// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Advice for all of a window, now and later. The kernel keeps it with each of its mappings, so it is given again whenever
/// something is mapped or becomes a hole: two holes with different advice would stay two mappings.
struct WindowAdvice {
    /// Pairs of which one undoes the other.
    private static let pairs: [(does: Int32, undoes: Int32)] = [
        (MADV_DONTFORK, MADV_DOFORK), (MADV_HUGEPAGE, MADV_NOHUGEPAGE), (MADV_MERGEABLE, MADV_UNMERGEABLE),
    ]

    /// The advice that was given, of each pair the later one; 0: neither, or what new mappings have by themselves.
    private var given: (Int32, Int32, Int32) = (0, 0, 0)
    private(set) var isEmpty = true

    /// Whether it is advice of this kind.
    static func isKnown(_ advice: Int32) -> Bool {
        pairs.contains { advice == $0.does || advice == $0.undoes }
    }

    mutating func add(_ advice: Int32) {
        switch advice {
        case MADV_DONTFORK: given.0 = advice
        case MADV_DOFORK: given.0 = 0
        case MADV_HUGEPAGE, MADV_NOHUGEPAGE: given.1 = advice
        case MADV_MERGEABLE, MADV_UNMERGEABLE: given.2 = advice
        default: return
        }
        isEmpty = given == (0, 0, 0)
    }

    /// A mapping that cannot have it is as good as before.
    func give(_ address: UnsafeMutableRawPointer, _ length: Int) {
        if given.0 != 0 { try? unsafe MemoryCalls.advise(address, length, given.0) }
        if given.1 != 0 { try? unsafe MemoryCalls.advise(address, length, given.1) }
        if given.2 != 0 { try? unsafe MemoryCalls.advise(address, length, given.2) }
    }
}
