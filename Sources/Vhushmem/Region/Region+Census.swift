// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A region's books of separate mappings, and when they are compared with what the kernel has.
///
/// They can differ. A VMM that gives the kernel advice for the window behind this library's back makes holes that no longer merge with
/// those made later. At its limit the kernel undoes nothing, and what should be a hole stays a mapping that nobody can touch.
struct Census {
    /// Changes between two looks where the last look found the books right, and where it did not.
    private static let whenRight = 1 << 16
    private static let whenWrong = 1 << 13

    /// The same while the kernel has mappings that should be holes.
    private static let whileKept = 1 << 8

    private var changes = 0
    private var pause = Census.whenWrong
    /// So many changes are due to be looked at: `pause`, or less while some are kept.
    private var due = Census.whenWrong
    /// Separate mappings that the books still count, since the kernel would not undo them.
    private(set) var kept = 0
    /// Something was mapped or undone since the whole window was last one hole.
    var hasChanged = false

    @inline(__always)
    mutating func count() {
        changes &+= 1
        hasChanged = true
    }

    /// The program's own mappings are to be counted as well.
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
    /// It is the number of separate mappings that stands in the way.
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

    /// Compares the books with what the kernel has, for the process and for this window, and mends the window where they differ. It takes
    /// 0.4 to 1 µs for each separate mapping of the process, with no lock held for that.
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

    /// Makes each hole one mapping of the kernel's again. What a guest wrote into holes goes. With the lock held.
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
