// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// Counts the mappings of the process: how many are the program's, and how many are inside one window.
///
/// A process with 60,000 mappings takes 20 to 60 ms to count. So a count usually goes in steps, and each map for which a count
/// is due does the next one, whatever region it is for. So the library's own mappings grow only by some hundreds during a
/// count. Only a refusal needs the number at once.
struct MappingCount: ~Copyable {
    /// The mappings that a step reads, or some more. It takes 0.05 to 0.15 ms.
    private static let step = 128

    /// A region's question: how many mappings are inside its window.
    struct Question {
        let window: Range<UInt>
        /// The region's state when it asked.
        let state: Census.Moment
    }

    struct Answer {
        let question: Question
        /// nil: /proc cannot be read.
        let inWindow: Int?
    }

    private var maps: ProcessMaps
    private var question: Question?
    /// A child of fork would read its parent's mappings.
    private let process = getpid()
    private var all = 0
    private var ours = 0
    private var inWindow = 0

    private init(_ question: Question?) throws(Errno) {
        maps = try ProcessMaps()
        self.question = question
    }

    /// Reads the next mappings. False: there are no more.
    @inline(never)
    private mutating func read(_ most: Int, _ held: Held) throws(Errno) -> Bool {
        MappingCount.listWindows(held)
        let window = question?.window
        var all = 0
        var ours = 0
        var inWindow = 0
        var next = 0
        let hasMore = try unsafe maps.next(most, readingInto: MappingCount.buffer[held]) { start in
            all &+= 1
            // Both are in ascending order.
            let windows = unsafe MappingCount.windows[held].count
            while next < windows, unsafe MappingCount.windows[held][next].upperBound <= start { next &+= 1 }
            if next < windows, unsafe MappingCount.windows[held][next].contains(start) { ours &+= 1 }
            if let window, window.contains(start) { inWindow &+= 1 }
        }
        self.all &+= all
        self.ours &+= ours
        self.inWindow &+= inWindow
        return hasMore
    }

    private var program: Int { max(0, all &- ours) }

    // MARK: - The counts of the process

    private typealias Guarded = Lock<ProcessBudget>.Guarded
    private typealias Held = Lock<ProcessBudget>.Held
    /// One thread counts at a time, with memory that is kept for it: a pair of map and unmap allocates nothing.
    private static let lock = Lock<ProcessBudget>()
    /// Nonisolated, like the next: `lock` guards it, which its type demands.
    nonisolated(unsafe) private static var buffer = unsafe Guarded(
        UnsafeMutableRawPointer.allocate(byteCount: ProcessMaps.bufferSize, alignment: 8))
    /// Nonisolated: as above.
    nonisolated(unsafe) private static var windows = Guarded<[Range<UInt>]>([])
    /// The changes of the list of windows when it was copied. Nonisolated: as above.
    nonisolated(unsafe) private static var windowsAt = Guarded(-1)
    /// The count that goes on in steps. Nonisolated: as above.
    nonisolated(unsafe) private static var present = Guarded<MappingCount?>(nil)
    /// The answer of the last count that ended in another region's step. Nonisolated: as above.
    nonisolated(unsafe) private static var answer = Guarded<Answer?>(nil)
    /// There is one of the two.
    private static let hasSome = Atomic(false)
    /// Nonisolated: as above.
    nonisolated(unsafe) private static var knowsForks = Guarded(false)

    /// Counts all at once, and tells the number of the program's. Returns how many are inside the range of `window`; nil:
    /// /proc cannot be read. Not for signal handlers. No lock may be held.
    static func all(inside window: Range<UInt>?, _ tell: (_ program: Int?) -> Void) -> Int? {
        lock.withLock { held in
            prepareForForks(held)
            unsafe present[held] = nil
            let question = window.map { Question(window: $0, state: Census.Moment()) }
            guard var count = try? MappingCount(question), (try? count.read(.max, held)) == false else {
                tell(nil)
                return nil
            }
            tell(count.program)
            return count.inWindow
        }
    }

    /// Does one step. Returns an answer for the window that asks, if there is one now. `waits`: it waits for another thread's
    /// step. At the end of a count it tells the number of the program's mappings. Rules as for `all`.
    static func step(_ question: Question?, waits: Bool, _ tell: (_ program: Int?) -> Void) -> Answer? {
        if waits { return lock.withLock { held in step(question, held, tell) } }
        return lock.withLockIfFree { held in step(question, held, tell) } ?? nil
    }

    @inline(never)
    private static func step(_ question: Question?, _ held: Held, _ tell: (_ program: Int?) -> Void) -> Answer? {
        if let ready = takeAnswer(for: question, held) { return ready }
        if unsafe present[held]?.process != getpid() {
            unsafe present[held] = try? MappingCount(question)
            hasSome.store(true, ordering: .relaxed)
        }
        let hasMore = try? unsafe present[held]?.read(step, held)
        if hasMore == true { return nil }
        tell(hasMore == nil ? nil : unsafe present[held]?.program)
        // A process without /proc has no count, and the question is answered all the same.
        let asked = unsafe present[held]?.question ?? (hasMore == nil ? question : nil)
        let ended = asked.map { Answer(question: $0, inWindow: hasMore == nil ? nil : unsafe present[held]?.inWindow) }
        unsafe present[held] = nil
        if ended?.question.window == question?.window { return ended }
        if let ended { unsafe answer[held] = ended }
        return nil
    }

    /// The answer to this question, or to an earlier one of the same window.
    private static func takeAnswer(for question: Question?, _ held: Held) -> Answer? {
        guard let question, let ready = unsafe answer[held], ready.question.window == question.window else { return nil }
        unsafe answer[held] = nil
        return ready
    }

    /// The region of the window goes. `isLast`: the process has no other.
    static func forget(_ window: Range<UInt>, isLast: Bool) {
        guard hasSome.load(ordering: .relaxed) else { return }
        lock.withLock { held in
            if unsafe answer[held]?.question.window == window { unsafe answer[held] = nil }
            if unsafe present[held]?.question?.window == window { unsafe present[held]?.question = nil }
            if isLast { unsafe present[held] = nil }
        }
    }

    private static func listWindows(_ held: Held) {
        let changes = GuardedRange.changes
        guard unsafe windowsAt[held] != changes else { return }
        unsafe GuardedRange.listWindows(in: &windows[held])
        unsafe windowsAt[held] = changes
    }

    /// A child of fork finds the locks free.
    private static func prepareForForks(_ held: Held) {
        guard unsafe !knowsForks[held] else { return }
        unsafe knowsForks[held] = true
        vhu_at_fork({ MappingCount.hold() }, { MappingCount.letGo() }, { MappingCount.letGo() })
    }

    private static func hold() {
        lock.hold()
        GuardedRange.holdForFork()
    }

    private static func letGo() {
        GuardedRange.letGoAfterFork()
        lock.letGo()
    }
}
