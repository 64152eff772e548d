// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Ends regions whose device has gone. No other code can look at them, so no caller waits until their mappings are gone. If
/// there are many mappings, a thread of the library undoes them, a few at a time, and then lets the window go. Until then the
/// window stays reserved, so no other mapping of the process gets into it.
///
/// Unchecked Sendable: its lock guards what changes.
final class OrphanedRegions: @unchecked Sendable {
    typealias Guarded = Lock<OrphanedRegions>.Guarded

    private static let shared = OrphanedRegions()

    private let lock = Lock<OrphanedRegions>()
    private var waiting = Guarded<[Region]>([])
    private var isRunning = Guarded(false)
    private var knowsForks = Guarded(false)

    private init() {}

    /// Ends the regions. A region that the program still holds, or has put into a guest, is empty when this returns. So are the
    /// first few mappings of all regions.
    static func end(_ regions: inout [Region]) {
        var count: UInt64 = 0
        while var region = regions.popLast() {
            let live = region.mappingCount
            if live <= Region.fewEnough &- min(count, Region.fewEnough) || !isKnownUniquelyReferenced(&region)
                || region.isFollowed
            {
                region.unmapAll()
                count = count &+ live
            } else {
                shared.take(region)
            }
        }
    }

    private func take(_ region: Region) {
        let isNeeded = lock.withLock { held -> Bool in
            waiting[held].append(region)
            guard !isRunning[held] else { return false }
            isRunning[held] = true
            if !knowsForks[held] {
                knowsForks[held] = true
                // A child has none of the threads. What one was busy with stays as it is there, as a region does that the
                // parent has still.
                vhu_at_fork(
                    { OrphanedRegions.shared.lock.hold() }, { OrphanedRegions.shared.lock.letGo() },
                    {
                        OrphanedRegions.shared.lock.letGo()
                        OrphanedRegions.shared.lock.withLock { held in OrphanedRegions.shared.isRunning[held] = false }
                    })
            }
            return true
        }
        guard isNeeded else { return }
        do throws(Errno) {
            _ = try systemCall(.thread) {
                unsafe vhu_start_thread { _ in
                    unsafe vhu_name_thread("vhushmem-unmap")
                    OrphanedRegions.shared.run()
                    return nil
                }
            }
        } catch {
            // Then the caller waits.
            run()
        }
    }

    private func run() {
        while let region = next() {
            var count: UInt64 = 0
            _ = region.unmapAll(until: nil, count: &count, tells: false)
        }
    }

    private func next() -> Region? {
        lock.withLock { held in
            if let region = waiting[held].popLast() { return region }
            isRunning[held] = false
            return nil
        }
    }
}

extension Region {
    /// Somebody is to be told, or changes with the region, when a mapping goes.
    fileprivate var isFollowed: Bool {
        device.lock.withLock { held in observer[held] != nil || !followers[held].isEmpty }
    }
}
