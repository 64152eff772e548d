// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// How many separate mappings all windows of the process take up, compared with the kernel's limit (vm.max_map_count).
///
/// Without a bound here a back-end that maps a page here and a page there would use up the process's limit. Then any mmap of
/// the VMM would fail, and that of a thread's stack too. The program's own mappings count as well. They are counted when the
/// first region is made, each time the library's count has grown by a sixteenth of the kernel's limit (since the last time, or
/// since its lowest point), and before a map is refused. `MappingCount` tells what that takes.
enum ProcessBudget {
    private static let used = Atomic<Int>(0)
    /// The limit of the library's count. `measure` sets it; before that, it has a value for a program with few mappings.
    private static let allowance = Atomic<Int>(ProcessBudget.maximum &- ProcessBudget.defaultReserve)
    /// Up to here no check is needed: a sixteenth of the kernel's limit above the library's count at the last measurement, and
    /// no more than `allowance`.
    private static let easyLimit = Atomic<Int>(-1)
    /// If the count falls below this, `easyLimit` comes down too: growth from there on is checked again.
    private static let easyFloor = Atomic<Int>(.min)
    /// The time of that, in microseconds.
    private static let measuredAt = Atomic<UInt64>(0)

    /// The program's limit; 0: none.
    private static let mostByProgram = Atomic<Int>(0)
    private static let reserveByProgram = Atomic<Int>(0)

    /// The kernel's limit.
    private static let maximum = MemoryCalls.maximumMappings()
    /// The number that is left to the program beyond its mappings at the time of the count.
    private static var defaultReserve: Int { maximum / 16 }
    /// Before a refusal they are counted again, but only so often in a row, and then once in so many microseconds: a refused
    /// back-end asks again.
    private static let refusalsAtOnce = 12
    private static let pauseBetweenRefusals: UInt64 = 1_000_000
    private static let looksLeft = Atomic<Int>(ProcessBudget.refusalsAtOnce)

    /// The present limit of the library's count.
    static var limit: Int { allowance.load(ordering: .relaxed) }
    static var inUse: Int { used.load(ordering: .relaxed) }

    enum Taking {
        case taken
        /// And the count has grown so much that the program's own mappings should be counted.
        case takenAndMeasureDue
        /// There are not enough, and none was taken.
        case refused
    }

    /// Takes `count` mappings out of the budget.
    @inline(__always)
    static func take(_ count: Int) -> Taking {
        let (_, now) = used.wrappingAdd(count, ordering: .relaxed)
        return now <= easyLimit.load(ordering: .relaxed) ? .taken : takeBeyond(count, now)
    }

    @inline(never)
    private static func takeBeyond(_ count: Int, _ now: Int) -> Taking {
        if now <= limit { return .takenAndMeasureDue }
        give(count)
        return .refused
    }

    /// The same for a caller that does not count the program's mappings. False: there are not enough, and none was taken.
    static func takes(_ count: Int) -> Bool {
        if case .refused = take(count) { return false }
        return true
    }

    @inline(__always)
    static func give(_ count: Int) {
        let now = used.wrappingSubtract(count, ordering: .relaxed).newValue
        if now < easyFloor.load(ordering: .relaxed) { setEasyLimit(from: now) }
    }

    @inline(never)
    private static func setEasyLimit(from now: Int) {
        easyLimit.store(min(now &+ maximum / 16, limit), ordering: .relaxed)
        easyFloor.store(now &- maximum / 16, ordering: .relaxed)
    }

    /// Takes mappings that exist already, whatever the limit is.
    static func note(_ count: Int) {
        _ = used.wrappingAdd(count, ordering: .relaxed)
    }

    /// Whether they should be counted because something was refused.
    static func mayMeasureForRefusal() -> Bool {
        let passed = Clock.now() &- measuredAt.load(ordering: .relaxed)
        if passed > pauseBetweenRefusals {
            let more = Int(clamping: min(passed / pauseBetweenRefusals, UInt64(clamping: refusalsAtOnce)))
            looksLeft.store(min(refusalsAtOnce, max(0, looksLeft.load(ordering: .relaxed)) &+ more), ordering: .relaxed)
        }
        return looksLeft.wrappingSubtract(1, ordering: .relaxed).newValue >= 0
    }

    /// Counts the program's own mappings at once, and sets the limit by them. Returns how many mappings are inside the range of
    /// `window`; nil: /proc cannot be read, and the limit stays. Not for signal handlers. No lock may be held.
    @discardableResult
    static func measure(inside window: Range<UInt>? = nil) -> Int? {
        MappingCount.all(inside: window, counted)
    }

    /// The same in steps, of which this does one. If the library's mappings grow meanwhile, each map does a step, and waits for
    /// another thread's.
    static func measureStep(_ question: MappingCount.Question?) -> MappingCount.Answer? {
        let waits = inUse &- easyLimit.load(ordering: .relaxed) > maximum / 32
        return MappingCount.step(question, waits: waits, counted)
    }

    /// For a new region.
    static func measureIfDue() {
        let limit = easyLimit.load(ordering: .relaxed)
        if limit < 0 { measure() } else if inUse > limit { _ = measureStep(nil) }
    }

    /// nil: /proc cannot be read.
    private static func counted(program: Int?) {
        measuredAt.store(Clock.now(), ordering: .relaxed)
        if let program { set(program: program) } else { setEasyLimit(from: inUse) }
    }

    private static func set(program: Int) {
        let reserve = reserveByProgram.load(ordering: .relaxed)
        var most = maximum &- program &- (reserve > 0 ? reserve : defaultReserve)
        let own = mostByProgram.load(ordering: .relaxed)
        if own > 0 { most = min(most, own) }
        // Mappings in use stay granted: a mapping that goes may come again.
        allowance.store(max(inUse, most), ordering: .relaxed)
        setEasyLimit(from: inUse)
    }

    /// Sets the program's limits: at most `most` mappings for all windows, and `reserve` left to the program beyond what it
    /// has. 0: the default. False: no kernel grants so many.
    static func configure(most: Int, reserve: Int) -> Bool {
        guard most >= 0, reserve >= 0, most <= Int(Int32.max), reserve <= Int(Int32.max) else { return false }
        mostByProgram.store(most, ordering: .relaxed)
        reserveByProgram.store(reserve, ordering: .relaxed)
        if measure() == nil { set(program: 0) }
        return true
    }
}

/// A few separate mappings that can be given up. At its limit the kernel refuses each new mapping, even one that makes them
/// fewer. Then these go for a moment, so that the kernel can make that one.
enum Ballast {
    private static let pages = 6
    private static let lock = Lock<Ballast>()
    /// Nonisolated: `lock` guards it, which its type demands.
    nonisolated(unsafe) private static var memory = unsafe Lock<Ballast>.Guarded<UnsafeMutableRawPointer?>(nil)
    private static let length = Int(clamping: Page.size)

    /// Makes them, if they do not exist. They count as mappings of the process, not of the windows.
    static func prepare() {
        lock.withLock { held in if unsafe memory[held] == nil { make(held) } }
    }

    /// Calls `body` while they are away; nil: there were none.
    static func lend<Result>(_ body: () -> Result) -> Result? {
        lock.withLock { held in
            guard let given = unsafe memory[held] else { return nil }
            // The whole range at once splits nothing, so the kernel unmaps it at its limit too.
            guard unsafe (try? MemoryCalls.unmap(given, length &* pages)) != nil else { return nil }
            unsafe memory[held] = nil
            defer { make(held) }
            return body()
        }
    }

    /// Every other page has another protection, so that each is a mapping of its own.
    private static func make(_ held: Lock<Ballast>.Held) {
        guard
            let made = try? unsafe MemoryCalls.map(
                nil, length &* pages, protection: PROT_NONE, flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
        else { return }
        unsafe memory[held] = unsafe made
        for page in stride(from: 0, to: pages, by: 2) {
            try? unsafe MemoryCalls.protect(made + page &* length, length, PROT_READ)
        }
    }
}
