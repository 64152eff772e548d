// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// The state that a device and its regions share: one lock, one quota. A region that is still held outlives its device.
final class DeviceState {
    typealias Held = Lock<DeviceState>.Held
    typealias Guarded = Lock<DeviceState>.Guarded

    /// Guards the device, its regions and their windows. Translating takes no lock.
    let lock = Lock<DeviceState>()
    var quota: Guarded<Quota>
    var undumped = Guarded(UndumpedRanges())
    /// What its back-end has sent and the library must close.
    let closes = CloseAccount()
    /// The files of its mappings that would take long to free: the thread that undoes the last mapping must not free them.
    var largeFiles = Guarded(LargeFiles())
    /// Once it is set, nothing is mapped any more.
    var isGone = Guarded(false)
    /// Raised when a mapping becomes broken. Once it exists it stays.
    private(set) var alarm = Guarded<Alarm?>(nil)
    /// The flags that the handling of a single message must check, or'ed. Usually it is 0.
    let attention = Atomic<UInt8>(0)
    /// A program that handles single messages has begun a reset.
    static var isResetting: UInt8 { 1 }
    static var isTraced: UInt8 { 2 }
    /// The budget of its regions' page indexes.
    let indexBudget = IndexBudget(chunks: IndexBudget.chunksOfDevice)
    /// The number of the latest mapping.
    private var lastGeneration = Guarded<UInt64>(0)
    /// The time of a loop's next look at them, in microseconds; 0: never.
    private let careTime = Atomic<UInt64>(0)
    /// The number of regions with observers, plus one if maps are traced. Usually there is none, and a look at this takes no
    /// lock.
    private let observedRegions = Atomic<Int>(0)
    /// Some mapped file is neither in memory nor on a local disk: the close of such a file may wait.
    private let hasRemoteFiles = Atomic(false)
    var hasLocalFilesOnly: Bool { !hasRemoteFiles.load(ordering: .relaxed) }
    func noteRemoteFile() { hasRemoteFiles.store(true, ordering: .relaxed) }
    var isObserved: Bool { observedRegions.load(ordering: .relaxed) > 0 }

    /// The quotas of kept descriptors, and of addresses.
    let keptFiles: SharedQuota
    let addressSpace: SharedQuota

    init(_ options: DeviceOptions) {
        quota = Guarded(Quota(maximumMappings: options.maximumMappings, maximumBytes: options.maximumBytes))
        keptFiles = SharedQuota(limit: options.maximumKeptFiles, closes: closes)
        addressSpace = SharedQuota(limit: options.maximumAddressSpace, closes: closes)
    }

    /// A number that no mapping of the device had before.
    @inline(__always)
    func nextGeneration(_ held: Held) -> UInt64 {
        lastGeneration[held] &+= 1
        return lastGeneration[held]
    }

    /// When a loop should call `ShmemDevice.care` next, in microseconds; nil: never.
    @inline(__always)
    var careDeadline: UInt64? {
        let time = careTime.load(ordering: .relaxed)
        return time == 0 ? nil : time
    }

    /// Has a loop look at the regions at `time`, if it would not do so before.
    func careSoon(at time: UInt64, _ held: Held) {
        let planned = careTime.load(ordering: .relaxed)
        guard planned == 0 || time < planned else { return }
        careTime.store(time, ordering: .relaxed)
        // The loop may be waiting for something else.
        if planned == 0 { alarm[held]?.raise() }
    }

    func planCare(at time: UInt64?) {
        lock.withLock { _ in careTime.store(time ?? 0, ordering: .relaxed) }
    }

    func countObserved(_ change: Int) {
        observedRegions.wrappingAdd(change, ordering: .relaxed)
    }

    /// Traces its maps, or not, as traces are now. One thread at a time: `GuardedRange` calls it with its lock held.
    func followTraces() {
        let isTraced = Trace.wants(Trace.all) ? DeviceState.isTraced : 0
        guard attention.load(ordering: .relaxed) & DeviceState.isTraced != isTraced else { return }
        attention.bitwiseXor(DeviceState.isTraced, ordering: .relaxed)
        countObserved(isTraced != 0 ? 1 : -1)
    }

    /// The alarm. The first call makes it.
    func useAlarm() throws(Errno) -> Alarm {
        if let alarm = lock.withLock({ held in alarm[held] }) { return alarm }
        let made = try Alarm.make()
        return lock.withLock { held in
            let used = alarm[held] ?? made
            alarm[held] = used
            return used
        }
    }
}
