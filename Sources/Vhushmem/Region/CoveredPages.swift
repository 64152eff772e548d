// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// Pages of a window that show private memory in the place of their own. Their number is bounded, so that neither a guest nor a
/// back-end can make the host allocate without end. There is room for all from the start, because signal handlers cover pages
/// too.
@safe struct CoveredPages: ~Copyable {
    /// The most of each group. A guest that writes to all the pages it may must not use up the room of pages that files have
    /// lost.
    static let maximum = 64
    /// The least time, in microseconds, for which a page that its file lacks is covered: enough for the instruction that
    /// touched it.
    static let lease: UInt64 = 10_000

    enum Kind {
        /// In a hole that a guest wrote to. It makes room for newer ones.
        case inHole
        /// In a mapping, with bytes that its file does not get. It lasts as long as the mapping.
        case apart
        /// In a mapping whose file lacks the page. It ends with its lease, and then the page is the file's again.
        case lease
        /// Nothing is covered any more. The file had lost this page, and the mapping is broken until the file has it again.
        case watched
    }

    enum Group {
        /// A guest wrote to them.
        case written
        case lost
    }

    @safe struct Page {
        let offset: UInt64
        var kind: Kind
        /// That of the mapping; 0 in a hole.
        let generation: UInt64
        /// The address of a second mapping of the file's page in this process; nil: there is none.
        var shadow: UnsafeMutableRawPointer?
        /// The file had the page when it was mapped.
        let isLoss: Bool
        /// The page shows zeros, or what a guest wrote to them, because its file lacks it. Reads and writes of the program
        /// fail.
        let hidesLoss: Bool
        /// Microseconds.
        let since: UInt64

        /// How many more separate mappings one page in the middle of a mapping or a hole makes.
        var cost: Int {
            switch kind {
            case .inHole, .apart: 2
            case .lease: 3
            case .watched: 0
            }
        }

        var isThere: Bool { kind != .watched }

        var group: Group {
            switch kind {
            case .inHole, .apart: .written
            case .lease, .watched: .lost
            }
        }
    }

    /// Oldest first.
    private let pages: UnsafeMutablePointer<Page>
    private(set) var count = 0

    init() {
        unsafe pages = .allocate(capacity: 2 &* CoveredPages.maximum)
    }

    deinit {
        unsafe pages.deallocate()
    }

    var isEmpty: Bool { count == 0 }

    func isFull(_ group: Group) -> Bool {
        var members = 0
        for index in 0..<count where unsafe pages[index].group == group { members = members &+ 1 }
        return members >= CoveredPages.maximum
    }

    subscript(index: Int) -> Page {
        // SAFETY: callers name one of the first `count` pages, which are initialised.
        get { unsafe pages[index] }
        set { unsafe pages[index] = newValue }
    }

    func firstIndex(where isRight: (Page) -> Bool) -> Int? {
        var index = 0
        while index < count {
            if unsafe isRight(pages[index]) { return index }
            index &+= 1
        }
        return nil
    }

    /// The cover of the page at an offset.
    func cover(of offset: UInt64) -> Page? {
        firstIndex { $0.offset == offset && $0.isThere }.map { unsafe pages[$0] }
    }

    /// The first page of a range of the region that is kept apart, or covered in a hole.
    func firstToKeep(in range: Range<UInt64>) -> UInt64? {
        var first: UInt64?
        for index in 0..<count {
            let page = unsafe pages[index]
            guard page.kind == .apart || page.kind == .inHole, range.contains(page.offset) else { continue }
            if page.offset < first ?? .max { first = page.offset }
        }
        return first
    }

    /// Adds a page; there must be room.
    mutating func append(_ page: Page) {
        unsafe (pages + count).initialize(to: page)
        count = count &+ 1
    }

    mutating func remove(at index: Int) -> Page {
        let page = unsafe pages[index]
        var next = index &+ 1
        while next < count {
            unsafe pages[next &- 1] = unsafe pages[next]
            next = next &+ 1
        }
        count = count &- 1
        return page
    }
}

/// Tells a thread that copies bytes, and holds no lock, about the pages that hide a loss: whether there are any, and whether
/// that has changed.
struct CoverState: ~Copyable {
    /// Their number, in 16 bits, and above them how often that has changed.
    private let word = Atomic<UInt64>(0)

    struct Look: Equatable {
        fileprivate let word: UInt64
        var hasNone: Bool { word & 0xffff == 0 }
    }

    borrowing func look() -> Look { Look(word: word.load(ordering: .acquiring)) }

    /// Changes the number of such pages. Call it before one is put into the window, and after it has gone. A thread that copied
    /// its bytes meanwhile sees that the number has changed, or that it is not 0, and waits for the lock.
    borrowing func count(_ change: Int64, _ held: DeviceState.Held) {
        let now = word.load(ordering: .relaxed)
        let count = UInt64(bitPattern: Int64(bitPattern: now & 0xffff) &+ change) & 0xffff
        word.store((now &>> 16 &+ 1) &<< 16 | count, ordering: .releasing)
    }
}

/// Counts the faults after which the instruction runs again without any change. A page for which
/// this does not help gets other memory in the end.
struct RecentAnswers {
    /// How often a page may be answered so: more often than a VM has vCPUs that fault at it together.
    static let most: UInt32 = 256
    private static let capacity = 16
    /// Microseconds without a fault after which the count begins again.
    private static let memory: UInt64 = 1_000_000

    private struct Answer {
        var page: UInt64 = .max
        var generation: UInt64 = 0
        var count: UInt32 = 0
        var last: UInt64 = 0
    }

    private var answers: [Answer] = Array(repeating: Answer(), count: RecentAnswers.capacity)

    /// Whether the instruction may run again without a change; counts it.
    mutating func allows(_ page: UInt64, of generation: UInt64, atMost limit: UInt32) -> Bool {
        let now = Clock.now()
        if let index = answers.firstIndex(where: { $0.page == page && $0.generation == generation }) {
            if now &- answers[index].last > RecentAnswers.memory { answers[index].count = 0 }
            answers[index].last = now
            guard answers[index].count < limit else { return false }
            answers[index].count &+= 1
            return true
        }
        let index = leastWorthKeeping(at: now)
        // A page that replaces another one continues with its count. So the answers end, however many pages take turns. Each
        // page has one more try.
        let before = now &- answers[index].last > RecentAnswers.memory ? 0 : min(answers[index].count, limit &- 1)
        answers[index] = Answer(page: page, generation: generation, count: before &+ 1, last: now)
        return true
    }

    /// The index of a page that is over, or else of the one with the lowest count.
    private func leastWorthKeeping(at now: UInt64) -> Int {
        var least = 0
        for index in 0..<answers.count {
            if now &- answers[index].last > RecentAnswers.memory { return index }
            if answers[index].count < answers[least].count { least = index }
        }
        return least
    }
}

/// The reason why the memory of a page cannot be replaced. It needs no allocation: signal handlers come here.
enum PageTrouble: Error {
    case budget, tooManyPages
    case failed(Int32)

    func error(at page: UInt64, of region: Region) -> ShmemError {
        switch self {
        case .budget: ShmemError(ENOSPC, "the process has used up its budget of \(ProcessBudget.limit) separate mappings")
        case .tooManyPages:
            ShmemError(ENOSPC, "the guest wrote to \(CoveredPages.maximum) pages of region \(region.shmid) that cannot take it")
        case .failed(let code):
            ShmemError(code, "no memory for the page at \(hex(page)) of region \(region.shmid): \(Errno.text(code))")
        }
    }
}
