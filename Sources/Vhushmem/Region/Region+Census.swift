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
    /// How often a look has ended.
    private var looks = 0

    /// The time at which a look begins.
    struct Moment {
        fileprivate var looks = 0
        fileprivate var mappings = 0
        fileprivate var changes = 0
    }

    @inline(__always)
    mutating func count() {
        changes &+= 1
        hasChanged = true
    }

    /// The program's own mappings must be counted, for which this region's next look does a step.
    mutating func makeDue() {
        due = 0
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

    /// Whether a look at the region itself is due.
    mutating func isOwnDue() -> Bool {
        setDue()
        return isDue
    }

    /// `mappings`: the live ones, and pages that are covered.
    func now(mappings: Int) -> Moment {
        Moment(looks: looks, mappings: mappings, changes: changes)
    }

    /// There were never more of these since that moment. nil: another look has ended since.
    func most(since moment: Moment) -> Int? {
        looks == moment.looks ? moment.mappings &+ (changes &- moment.changes) : nil
    }

    mutating func restart(isRight: Bool) {
        looks &+= 1
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
    /// no lock of the device while it counts.
    @inline(never)
    func takeCensus() {
        let question = device.lock.withLock { held in ask(held) }
        compare(MappingCount.Answer(question: question, inWindow: ProcessBudget.measure(inside: addresses)))
    }

    /// Does one step of a count that is due, for the process or for this window.
    @inline(never)
    func goOnWithCensus() {
        let question = device.lock.withLock { held in census[held].isOwnDue() ? ask(held) : nil }
        if let answer = ProcessBudget.measureStep(question) { compare(answer) }
    }

    /// The addresses of the window.
    var addresses: Range<UInt> {
        let start = unsafe UInt(bitPattern: window.baseAddress)
        return start..<start &+ UInt(clamping: size)
    }

    private func ask(_ held: Held) -> MappingCount.Question {
        let mappings = Int(clamping: quota[held].mappings) &+ covers[held].count
        return MappingCount.Question(window: addresses, state: census[held].now(mappings: mappings))
    }

    private func compare(_ answer: MappingCount.Answer) {
        device.lock.withLock { held in
            guard let live = census[held].most(since: answer.question.state) else { return }
            // Each mapping and each cover is at most three.
            let most = live &* 3 &+ covers[held].count &* 3 &+ 64
            let isWrong = (answer.inWindow ?? 0) > most || census[held].kept > 0
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
