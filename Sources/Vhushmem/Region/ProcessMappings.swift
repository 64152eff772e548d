// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The limit of separate mappings of all windows of this process. Each copy of the library in a process has its own count, and
/// counts mappings of the others as the program's own.
public enum ProcessMappings {
    /// Sets the limit, which otherwise follows from `vm.max_map_count`.
    ///
    /// - Parameters:
    ///   - most: the most mappings; 0: as many as the kernel allows.
    ///   - reserve: how many are left to the program; 0: a sixteenth.
    /// - Throws: EINVAL: impossible numbers.
    public static func limit(to most: Int, reserve: Int = 0) throws(ShmemError) {
        guard ProcessBudget.configure(most: most, reserve: reserve) else {
            throw ShmemError(EINVAL, "a process cannot have \(most) mappings of which \(reserve) are left to the program")
        }
    }
}
