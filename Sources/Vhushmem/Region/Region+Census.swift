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
    /// Live mappings when the present look began, and changes until then.
    private var atBegin: (mappings: Int, changes: Int) = (0, 0)

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

    /// A look begins, which may take many changes.
    mutating func begin(mappings: Int) {
        atBegin = (mappings, changes)
    }

    /// There were never more live mappings since the look began.
    var mostSinceBegin: Int { atBegin.mappings &+ (changes &- atBegin.changes) }

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

    /// Compares the count with the kernel's, for the process and for this window, and mends the window if they differ. It holds
    /// no lock while it counts.
    @inline(never)
    func takeCensus() {
        device.lock.withLock { held in beginCensus(held) }
        compare(ProcessBudget.measure(inside: addresses))
    }

    /// Does one step of that.
    @inline(never)
    func goOnWithCensus() {
        switch ProcessBudget.measureStep(inside: addresses) {
        case .notNow: break
        case .goesOn(let isFirst): if isFirst { device.lock.withLock { held in beginCensus(held) } }
        case .ended(let found, let isFirst):
            if isFirst { device.lock.withLock { held in beginCensus(held) } }
            compare(found)
        }
    }

    /// The addresses of the window.
    var addresses: Range<UInt> {
        let start = unsafe UInt(bitPattern: window.baseAddress)
        return start..<start &+ UInt(clamping: size)
    }

    private func beginCensus(_ held: Held) {
        census[held].begin(mappings: Int(clamping: quota[held].mappings))
    }

    private func compare(_ found: Int?) {
        device.lock.withLock { held in
            // Each mapping and each cover is at most three.
            let most = census[held].mostSinceBegin &* 3 &+ covers[held].count &* 3 &+ 64
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
