// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// How many separate mappings all windows of this process may have together. Each copy of the library in a process has its own books, and
/// counts what the others have mapped as the program's own.
public enum ProcessMappings {
    /// Sets the bound in the place of the one that follows from `vm.max_map_count`.
    ///
    /// - Parameters:
    ///   - most: so many mappings at the most; 0: as many as the kernel allows.
    ///   - reserve: so many are left to the program; 0: a sixteenth.
    /// - Throws: EINVAL: numbers that can't be.
    public static func limit(to most: Int, reserve: Int = 0) throws(ShmemError) {
        guard ProcessBudget.configure(most: most, reserve: reserve) else {
            throw ShmemError(EINVAL, "a process cannot have \(most) mappings of which \(reserve) are left to the program")
        }
    }
}
