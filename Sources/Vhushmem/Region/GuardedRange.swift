// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// Addresses whose files another process may truncate: a region's window, or memory that a front-end has given. The guard knows
/// them all.
///
/// The very instruction that touches such an address raises the SIGBUS. The library touches them without a lock or through the
/// kernel alone, so the thread in the handler holds none of its locks: the handler may take them. It must not allocate, free,
/// or log.
@safe final class GuardedRange {
    private let start: UInt
    private let length: UInt
    /// nil: plain memory, which is replaced as a whole.
    private let region: Unmanaged<Region>?
    /// It was replaced.
    private let lost = Atomic(false)
    private let alarm: Alarm?
    /// The device of the region.
    private let device: DeviceState?
    private var next = Guarded<GuardedRange?>(nil)
    /// Not retained: its predecessor is its owner.
    private var previous = unsafe Guarded<Unmanaged<GuardedRange>?>(nil)

    private typealias Guarded = Lock<GuardedRange>.Guarded
    private typealias Held = Lock<GuardedRange>.Held
    /// Guards the list, which is process-wide because a signal is.
    private static let lock = Lock<GuardedRange>()
    /// Nonisolated: `lock` guards it, which its type demands.
    nonisolated(unsafe) private static var first = Guarded<GuardedRange?>(nil)
    /// With it a process without such ranges takes no lock in a handler.
    private static let count = Atomic<Int>(0)
    /// It grows when a range begins or ends.
    private static let version = Atomic<Int>(0)

    private init(
        _ start: UnsafeMutableRawPointer, _ length: UInt, _ region: Unmanaged<Region>?, _ device: DeviceState?, _ alarm: Alarm?
    ) {
        self.start = UInt(bitPattern: start)
        self.length = length
        unsafe self.region = unsafe region
        self.device = device
        self.alarm = alarm
    }

    /// Guards the window of a region, which calls `end` before it goes.
    static func begin(_ region: Region) -> GuardedRange {
        unsafe GuardedRange(
            region.window.baseAddress, UInt(clamping: region.size), Unmanaged.passUnretained(region), region.device, nil
        ).enter()
    }

    /// Guards memory that is lost as a whole if a part of it is lost; `alarm` tells that it was.
    static func begin(_ start: UnsafeMutableRawPointer, length: Int, alarm: Alarm?) -> GuardedRange {
        unsafe GuardedRange(start, UInt(clamping: length), nil, nil, alarm).enter()
    }

    private func enter() -> GuardedRange {
        GuardedRange.lock.withLock { held in
            next[held] = unsafe GuardedRange.first[held]
            unsafe next[held]?.previous[held] = unsafe Unmanaged.passUnretained(self)
            unsafe GuardedRange.first[held] = self
            device?.followTraces()
        }
        _ = GuardedRange.count.wrappingAdd(1, ordering: .releasing)
        GuardedRange.version.wrappingAdd(1, ordering: .releasing)
        return self
    }

    /// Call it before the addresses go.
    func end() {
        GuardedRange.lock.withLock { held in
            if let previous = unsafe previous[held] {
                unsafe previous.takeUnretainedValue().next[held] = next[held]
            } else {
                unsafe GuardedRange.first[held] = next[held]
            }
            unsafe next[held]?.previous[held] = unsafe previous[held]
            next[held] = nil
            unsafe previous[held] = nil
        }
        _ = GuardedRange.count.wrappingSubtract(1, ordering: .relaxed)
        GuardedRange.version.wrappingAdd(1, ordering: .releasing)
    }

    /// The number of changes of the list. If it stays, `listWindows` gives the same.
    static var changes: Int { version.load(ordering: .acquiring) }

    static func holdForFork() {
        lock.hold()
    }

    static func letGoAfterFork() {
        lock.letGo()
    }

    /// Has every device with regions trace its maps, or not, as traces are now.
    static func followTraces() {
        lock.withLock { held in
            var range = unsafe first[held]
            while let here = range {
                here.device?.followTraces()
                range = here.next[held]
            }
        }
    }

    /// Puts the windows of all regions into `windows`, by address. It allocates nothing if there is room already.
    static func listWindows(in windows: inout [Range<UInt>]) {
        while true {
            // Memory is not allocated with the lock held: a handler may need the lock.
            windows.removeAll(keepingCapacity: true)
            let needed = count.load(ordering: .acquiring)
            if windows.capacity <= needed { windows.reserveCapacity(2 &* needed &+ 16) }
            let isComplete = lock.withLock { held -> Bool in
                var range = unsafe first[held]
                while let here = range {
                    if unsafe here.region != nil {
                        guard windows.count < windows.capacity else { return false }
                        windows.append(here.start..<here.start &+ here.length)
                    }
                    range = here.next[held]
                }
                return true
            }
            if isComplete { break }
        }
        // The newest comes first, and usually the kernel has put it below the others. Sorted by insertion, in place.
        var index = 1
        while index < windows.count {
            var place = index
            while place > 0, windows[place].lowerBound < windows[place &- 1].lowerBound {
                windows.swapAt(place, place &- 1)
                place = place &- 1
            }
            index = index &+ 1
        }
    }

    /// Makes the page at an address that raised SIGBUS usable. False: it is not this library's address, or nothing could be
    /// done. For signal handlers.
    static func cover(_ address: UInt) -> Bool {
        withRegion(at: address, orMemory: { $0.replaceAll() }) { $0.coverLostPage(at: $1) }
    }

    /// The same after SIGSEGV: for an access to a hole, or a write to read-only memory. Memory that a front-end gave has no
    /// holes.
    static func cover(_ address: UInt, _ access: GuestAccess) -> Bool {
        withRegion(at: address, orMemory: { _ in false }) { $0.takeAccess(at: $1, access) }
    }

    /// `body` gets the page as an offset in the region.
    private static func withRegion(
        at address: UInt, orMemory replace: (GuardedRange) -> Bool, _ body: (Region, UInt64) -> Bool
    ) -> Bool {
        guard address != 0, count.load(ordering: .acquiring) > 0 else { return false }
        // The region is retained from here on. A program that frees a region while it is being touched would have ended the
        // process anyway.
        var region: Region?
        let isCovered = lock.withLock { held -> Bool in
            var range = unsafe first[held]
            while let here = range {
                if address >= here.start, address &- here.start < here.length {
                    region = unsafe here.region?.takeUnretainedValue()
                    return region == nil && replace(here)
                }
                range = here.next[held]
            }
            return false
        }
        if isCovered { return true }
        guard let region else { return false }
        let offset = unsafe UInt64(address &- UInt(bitPattern: region.window.baseAddress))
        return body(region, offset & ~(Page.size &- 1))
    }

    private func replaceAll() -> Bool {
        guard let address = unsafe UnsafeMutableRawPointer(bitPattern: start) else { return false }
        if lost.load(ordering: .acquiring) { return true }
        do throws(Errno) {
            _ = try unsafe MemoryCalls.map(
                address, Int(clamping: length), protection: PROT_READ | PROT_WRITE,
                flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED)
        } catch {
            return false
        }
        lost.store(true, ordering: .releasing)
        alarm?.raise()
        return true
    }
}
