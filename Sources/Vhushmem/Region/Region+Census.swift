// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A region's count of separate mappings, and the time of its comparison with the kernel's.
///
/// They can differ. If a VMM gives the kernel advice for the window behind this library's back, it makes holes that do not
/// merge with later ones. At its limit the kernel undoes nothing, so a part that should be a hole stays a mapping that nothing
/// can touch.
struct Census {
    /// Changes between two looks if the last look found the count right, and if it did not.
    private static let whenRight = 1 << 16
    private static let whenWrong = 1 << 13

    /// The same while the kernel has mappings that should be holes.
    private static let whileKept = 1 << 8

    private var changes = 0
    private var pause = Census.whenWrong
    /// The number of changes until the next look: `pause`, or less while some are kept.
    private var due = Census.whenWrong
    /// Separate mappings that still count, because the kernel would not undo them.
    private(set) var kept = 0
    /// Something was mapped or undone since the whole window was last one hole.
    var hasChanged = false

    @inline(__always)
    mutating func count() {
        changes &+= 1
        hasChanged = true
    }

    /// The program's own mappings must be counted as well.
    mutating func makeDue() {
        changes = pause
    }

    @inline(__always)
    var isDue: Bool { changes >= due }

    mutating func keep(_ cost: Int) {
        kept &+= cost
        setDue()
    }

    mutating func forgetKept() {
        ProcessBudget.give(kept)
        kept = 0
        setDue()
    }

    mutating func restart(isRight: Bool) {
        changes = 0
        pause = isRight ? Census.whenRight : Census.whenWrong
        setDue()
    }

    private mutating func setDue() {
        due = kept > 0 ? min(pause, Census.whileKept) : pause
    }
}

extension ShmemError {
    /// The number of separate mappings is the obstacle.
    fileprivate var isAboutSeparateMappings: Bool {
        switch reason {
        case .processBudget, .kernelBudget: true
        default: false
        }
    }
}

extension Region {
    /// Whether to count before an error is believed.
    func wantsCensus(after error: ShmemError) -> Bool {
        error.code == ENOSPC && error.isAboutSeparateMappings && ProcessBudget.mayMeasureForRefusal()
    }

    /// Compares the count with the kernel's, for the process and for this window, and mends the window if they differ. It takes
    /// 0.4 to 1 µs for each separate mapping of the process, and holds no lock for that.
    @inline(never)
    func takeCensus() {
        let start = unsafe UInt(bitPattern: window.baseAddress)
        let found = ProcessBudget.measure(inside: start..<start &+ UInt(clamping: size))
        device.lock.withLock { held in
            // Each mapping and each cover is at most three.
            let most = Int(clamping: quota[held].mappings) &* 3 &+ covers[held].count &* 3 &+ 64
            let isWrong = (found ?? 0) > most || census[held].kept > 0
            census[held].restart(isRight: !isWrong)
            if isWrong { mergeHoles(held) }
        }
    }

    /// Makes each hole one mapping of the kernel again. Bytes that a guest wrote into holes go. The lock must be held.
    private func mergeHoles(_ held: Held) {
        var from: UInt64 = 0
        var isDone = true
        while from < size {
            let next = table[held].first(endingAfter: from)
            let end = next?.start ?? size
            if let hole = ByteRange(start: from, length: end &- from), hole.length > 0 {
                if (try? window.clear(hole, held)) != .isHole { isDone = false }
                forgetCovers(in: hole.start..<hole.end, held)
            }
            guard let next, let pages = ownedPages(next) else { break }
            from = pages.end
        }
        if isDone { census[held].forgetKept() }
    }
}
