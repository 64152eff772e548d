// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// What a device and its regions share: one lock, one quota. Regions outlive their device where somebody holds on to them.
final class DeviceState {
    typealias Held = Lock<DeviceState>.Held
    typealias Guarded = Lock<DeviceState>.Guarded

    /// Guards the device, its regions and their windows. Translating takes no lock.
    let lock = Lock<DeviceState>()
    var quota: Guarded<Quota>
    var undumped = Guarded(UndumpedRanges())
    /// What its back-end has sent and is to be closed.
    let closes = CloseAccount()
    /// Files that its mappings are of, and that are not to be freed by whoever undoes the last of these.
    var largeFiles = Guarded(LargeFiles())
    /// Nothing is mapped any more once it is set.
    var isGone = Guarded(false)
    /// Raised when a mapping becomes broken. Once it is there it stays.
    private(set) var alarm = Guarded<Alarm?>(nil)
    /// What handling a single message has to look at, or'ed. As a rule it is 0.
    let attention = Atomic<UInt8>(0)
    /// A reset was begun by who carries out single messages.
    static var isResetting: UInt8 { 1 }
    static var isTraced: UInt8 { 2 }
    /// What the page indexes of its regions may take.
    let indexBudget = IndexBudget(chunks: IndexBudget.chunksOfDevice)
    /// The number of the last mapping that was made.
    private var lastGeneration = Guarded<UInt64>(0)
    /// When a loop should look at them next, in microseconds; 0: at no time.
    private let careTime = Atomic<UInt64>(0)
    /// How many regions have observers, and one more where maps are traced. As a rule there is none, and who only wants to know that takes
    /// no lock.
    private let observedRegions = Atomic<Int>(0)
    /// Some file that was mapped is neither in memory nor on a local disk: the close of such a file waits for others.
    private let hasRemoteFiles = Atomic(false)
    var hasLocalFilesOnly: Bool { !hasRemoteFiles.load(ordering: .relaxed) }
    func noteRemoteFile() { hasRemoteFiles.store(true, ordering: .relaxed) }
    var isObserved: Bool { observedRegions.load(ordering: .relaxed) > 0 }

    /// Descriptors that its regions keep, and addresses that they take.
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

    /// When a loop should call `ShmemDevice.care` next, in microseconds; nil: at no time.
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
        // It may be waiting for something else.
        if planned == 0 { alarm[held]?.raise() }
    }

    func planCare(at time: UInt64?) {
        lock.withLock { _ in careTime.store(time ?? 0, ordering: .relaxed) }
    }

    func countObserved(_ change: Int) {
        observedRegions.wrappingAdd(change, ordering: .relaxed)
    }

    /// Has its maps told, or not, as traces are now. One thread at a time: `GuardedRange` calls it with its lock held.
    func followTraces() {
        let isTraced = Trace.wants(Trace.all) ? DeviceState.isTraced : 0
        guard attention.load(ordering: .relaxed) & DeviceState.isTraced != isTraced else { return }
        attention.bitwiseXor(DeviceState.isTraced, ordering: .relaxed)
        countObserved(isTraced != 0 ? 1 : -1)
    }

    /// The alarm, made when it is first asked for.
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
