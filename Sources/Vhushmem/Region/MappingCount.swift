// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// Counts the mappings of the process: how many are the program's, and how many are inside one window.
///
/// A process with 60,000 mappings takes 20 to 60 ms to count. So a count usually goes in steps: each map that finds a count
/// due reads some of them. Only a refusal needs the number at once.
struct MappingCount: ~Copyable {
    /// The mappings that a step reads, or some more. It takes 0.05 to 0.15 ms.
    private static let step = 128
    /// If nobody has done a step for so many microseconds, the numbers are old.
    private static let patience: UInt64 = 1_000_000

    private var maps: ProcessMaps
    /// nil: no window asks.
    private let window: Range<UInt>?
    /// A child of fork would read its parent's mappings.
    private let process = getpid()
    private var readAt: UInt64 = 0
    private var all = 0
    private var ours = 0
    private var inWindow = 0

    private init(_ window: Range<UInt>?) throws(Errno) {
        maps = try ProcessMaps()
        self.window = window
    }

    /// Reads the next mappings. False: there are no more.
    private mutating func read(_ most: Int, _ held: Held) throws(Errno) -> Bool {
        unsafe GuardedRange.listWindows(in: &MappingCount.windows[held])
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
        readAt = Clock.now()
        return hasMore
    }

    private var program: Int { max(0, all &- ours) }

    private var canGoOn: Bool { process == getpid() && Clock.now() &- readAt < MappingCount.patience }

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
    /// The count that goes on in steps. Nonisolated: as above.
    nonisolated(unsafe) private static var present = Guarded<MappingCount?>(nil)
    private static let isUnderWay = Atomic(false)

    /// Counts all at once, and tells the number of the program's. Returns how many are inside the range of `window`; nil:
    /// /proc cannot be read. Not for signal handlers. No lock may be held.
    static func all(inside window: Range<UInt>?, _ tell: (_ program: Int) -> Void) -> Int? {
        lock.withLock { held in
            drop(held)
            guard var count = try? MappingCount(window), (try? count.read(.max, held)) == false else { return nil }
            tell(count.program)
            return count.inWindow
        }
    }

    enum Outcome {
        /// Another thread counts, or the count of another window goes on.
        case notNow
        /// `isFirst`: the count has begun with this step.
        case goesOn(isFirst: Bool)
        /// nil: /proc cannot be read.
        case ended(inWindow: Int?, isFirst: Bool)
    }

    /// Does one step of a window's count. Rules as for `all`. `begin` is called before the first step, and `tell` after the last.
    static func step(inside window: Range<UInt>, begin: () -> Void, _ tell: (_ program: Int) -> Void) -> Outcome {
        lock.withLockIfFree { held in
            let goes = unsafe present[held]?.canGoOn ?? false
            if goes, unsafe present[held]?.window != window { return .notNow }
            if !goes {
                drop(held)
                begin()
                guard let count = try? MappingCount(window) else { return .ended(inWindow: nil, isFirst: true) }
                unsafe present[held] = consume count
                isUnderWay.store(true, ordering: .relaxed)
            }
            let hasMore = try? unsafe present[held]?.read(step, held)
            if hasMore == true { return .goesOn(isFirst: !goes) }
            defer { drop(held) }
            guard hasMore != nil, let program = unsafe present[held]?.program, let found = unsafe present[held]?.inWindow else {
                return .ended(inWindow: nil, isFirst: !goes)
            }
            tell(program)
            return .ended(inWindow: found, isFirst: !goes)
        } ?? .notNow
    }

    /// The region of the window goes.
    static func forget(_ window: Range<UInt>) {
        guard isUnderWay.load(ordering: .relaxed) else { return }
        _ = lock.withLockIfFree { held in if unsafe present[held]?.window == window { drop(held) } }
    }

    private static func drop(_ held: Held) {
        unsafe present[held] = nil
        isUnderWay.store(false, ordering: .relaxed)
    }
}
