// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// A change of a range of a region.
public enum RangeChange: UInt32, Sendable {
    /// A file is mapped there.
    case mapped = 0
    /// Nothing is mapped there any more.
    case unmapped = 1
    /// Another file is mapped there, in one step.
    case replaced = 2
    /// The file has lost pages that were touched: they show zeros.
    case broken = 3
    /// The file has its pages again, and the mapping shows them.
    case healed = 4
}

/// Reports every changed range of a region to the program, after the change and before the back-end gets its answer. A program
/// needs this if it translates guest code, or has its own tables besides the window. The region's listener, if it
/// has one, gets the same calls as without the watch.
final class ChangeWatch: RegionObserver {
    typealias Tell = (Region, RangeChange, MappingRecord) -> Void

    private let tell: Tell
    var listener = Region.Guarded<(any RegionObserver)?>(nil)

    init(_ tell: @escaping Tell) {
        self.tell = tell
    }

    private func listener(of region: Region) -> (any RegionObserver)? {
        region.device.lock.withLock { held in listener[held] }
    }

    func regionDidMap(_ region: Region, _ record: MappingRecord) {
        listener(of: region)?.regionDidMap(region, record)
        tell(region, .mapped, record)
    }

    func regionWillUnmap(_ region: Region, _ record: MappingRecord) {
        listener(of: region)?.regionWillUnmap(region, record)
    }

    func regionDidUnmap(_ region: Region, _ record: MappingRecord) {
        tell(region, .unmapped, record)
    }

    func regionDidReplace(_ region: Region, _ old: MappingRecord, by record: MappingRecord) {
        listener(of: region)?.regionDidReplace(region, old, by: record)
        tell(region, .replaced, record)
    }

    func regionDidCommit(_ region: Region) {
        listener(of: region)?.regionDidCommit(region)
    }
}

extension Region {
    /// The program knows the region by an object of the series.
    func isListenedTo(_ held: Held) -> Bool {
        if let watch = watch[held] { return watch.listener[held] != nil }
        return observer[held] != nil
    }

    /// Nothing is mapped, so there is nothing to report to the watch.
    func beWatched(_ tell: ChangeWatch.Tell?, _ held: Held) {
        let listener: (any RegionObserver)?
        if let watch = watch[held] { listener = watch.listener[held] } else { listener = observer[held] }
        let new = tell.map { ChangeWatch($0) }
        new?.listener[held] = listener
        let before = observer[held] == nil ? 0 : 1
        watch[held] = new
        if let new { observer[held] = new } else { observer[held] = listener }
        device.countObserved((observer[held] == nil ? 0 : 1) &- before)
    }
}

extension ShmemDevice {
    /// Reports every change of a range, in all present and future regions; nil: stop reporting. Throws EBUSY: something is
    /// mapped.
    func watchChanges(_ tell: ChangeWatch.Tell?) throws(ShmemError) {
        let before = try state.lock.withLock { held throws(ShmemError) -> ChangeWatch.Tell? in
            guard state.quota[held].mappings == 0 else {
                throw ShmemError(
                    EBUSY, "\(state.quota[held].mappings) mappings are live already, and the callback would not hear of them")
            }
            let before = changes[held]
            changes[held] = tell
            forEachRegion(held) { $0.beWatched(tell, held) }
            return before
        }
        // Objects of the program may go with it, so it goes with no lock held.
        withExtendedLifetime(before) {}
    }

    /// Checks what is covered for a while, and reports to the watch what has broken or healed. For a device without a front-end
    /// or a channel, which do this themselves.
    ///
    /// - Returns: how many mappings are broken.
    public func check() -> UInt64 {
        let broken = heal()
        forEachNews { _ in true }
        return broken
    }

    // MARK: Reset, for a program that handles single messages

    /// Undoes every mapping. From now on `handleMap` and `handleUnmap` refuse.
    ///
    /// - Returns: how many mappings there were.
    /// - Throws: EALREADY: a reset is under way.
    public func beginReset() throws(ShmemError) -> UInt64 {
        let before = state.attention.bitwiseOr(DeviceState.isResetting, ordering: .sequentiallyConsistent).oldValue
        guard before & DeviceState.isResetting == 0 else {
            throw ShmemError(EALREADY, "a reset of the device is under way")
        }
        return unmapAll()
    }

    /// Ends the reset: the device has been reset, and its requests from now on belong to its new life.
    ///
    /// - Throws: EINVAL: no reset is under way.
    public func endReset() throws(ShmemError) {
        let before = state.attention.bitwiseAnd(~DeviceState.isResetting, ordering: .sequentiallyConsistent).oldValue
        guard before & DeviceState.isResetting != 0 else {
            throw ShmemError(EINVAL, "no reset of the device is under way")
        }
    }
}
