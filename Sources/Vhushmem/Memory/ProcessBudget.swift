// SPDX-License-Identifier: BSD-3-Clause

import Synchronization

/// How many separate mappings all windows of the process take up, against what the kernel grants it (vm.max_map_count).
///
/// Without a bound of our own a back-end that maps a page here and a page there would use up the process's, and then any mmap of
/// the VMM, a thread's stack among them, would fail.
enum ProcessBudget {
    private static let used = Atomic<Int>(0)

    /// Fifteen sixteenths of what the kernel grants: the rest is the program's own.
    static let limit: Int = {
        let maximum = Memory.maximumMappings()
        return maximum &- maximum / 16
    }()

    /// Takes `count` mappings out of the budget; false: they are not there, and none was taken.
    static func take(_ count: Int) -> Bool {
        let (_, now) = used.wrappingAdd(count, ordering: .relaxed)
        guard now > limit else { return true }
        give(count)
        return false
    }

    static func give(_ count: Int) {
        _ = used.wrappingSubtract(count, ordering: .relaxed)
    }

    static var inUse: Int { used.load(ordering: .relaxed) }
}
