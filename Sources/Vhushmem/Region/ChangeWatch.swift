// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// What has become of a range of a region.
public enum RangeChange: UInt32, Sendable {
    /// A file is mapped there.
    case mapped = 0
    /// Nothing is mapped there any more.
    case unmapped = 1
    /// Another file is mapped there, in one step.
    case replaced = 2
    /// The file has lost pages that were touched: zeros stand there.
    case broken = 3
    /// The file has its pages again, and the mapping shows them.
    case healed = 4
}

/// Tells a program of every range of a region that changes, once it has changed and before the back-end is answered: who translates what a
/// guest runs, or keeps tables of its own beside the window, must know. The region's listener, if it has one, is told as if there were no
/// watch.
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
    /// The program knows the region by something of the series.
    func isListenedTo(_ held: Held) -> Bool {
        if let watch = watch[held] { return watch.listener[held] != nil }
        return observer[held] != nil
    }

    /// Nothing is mapped: there is nothing that the watch would have to be told of.
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
    /// Has every change of a range told, in all regions that there are and will be; nil: nobody is told any more. Throws EBUSY: something is
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
        // What goes with it may be the program's: it goes with no lock held.
        withExtendedLifetime(before) {}
    }

    /// Looks after what is covered for the moment, and tells the watch what has broken or healed: for a device without a front-end or a
    /// channel, which do so.
    ///
    /// - Returns: how many mappings are broken.
    public func check() -> UInt64 {
        let broken = heal()
        forEachNews { _ in true }
        return broken
    }

    // MARK: Reset, for who carries out single messages

    /// From now on `handleMap` and `handleUnmap` refuse, and nothing is mapped any more.
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

    /// The device has been reset, and what it asks from now on is of its new life.
    ///
    /// - Throws: EINVAL: no reset is under way.
    public func endReset() throws(ShmemError) {
        let before = state.attention.bitwiseAnd(~DeviceState.isResetting, ordering: .sequentiallyConsistent).oldValue
        guard before & DeviceState.isResetting != 0 else {
            throw ShmemError(EINVAL, "no reset of the device is under way")
        }
    }
}
