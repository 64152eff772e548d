// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// A device's share of something that the process has once: a limit for each device, and one for all of them.
final class SharedQuota: Sendable {
    let limit: UInt64
    /// The account of the peer that uses it.
    let closes: CloseAccount
    private let used = Atomic<UInt64>(0)

    init(limit: UInt64, closes: CloseAccount) {
        self.limit = limit
        self.closes = closes
    }

    /// The limit that is reached.
    enum Shortage {
        case device(limit: UInt64)
        case process(limit: UInt64)
    }

    /// nil: it was taken, from this quota and from that of the process. `more`: how far it may exceed both.
    func take(_ amount: UInt64, _ all: borrowing Atomic<UInt64>, most: UInt64, more: UInt64 = 0) -> Shortage? {
        guard add(amount, to: all, most, more) else { return .process(limit: most) }
        guard add(amount, to: used, limit, more) else {
            all.wrappingSubtract(amount, ordering: .relaxed)
            return .device(limit: limit)
        }
        return nil
    }

    func give(_ amount: UInt64, _ all: borrowing Atomic<UInt64>) {
        used.wrappingSubtract(amount, ordering: .relaxed)
        all.wrappingSubtract(amount, ordering: .relaxed)
    }

    private func add(_ amount: UInt64, to sum: borrowing Atomic<UInt64>, _ limit: UInt64, _ more: UInt64) -> Bool {
        let (after, overflow) = sum.wrappingAdd(amount, ordering: .relaxed).oldValue.addingReportingOverflow(amount)
        if !overflow, after <= limit || after &- limit <= more { return true }
        sum.wrappingSubtract(amount, ordering: .relaxed)
        return false
    }
}

/// A descriptor that a region keeps. It counts as long as this lives.
final class KeptFile {
    private static let all = Atomic<UInt64>(0)
    private let quota: SharedQuota

    private init(of quota: SharedQuota) {
        self.quota = quota
    }

    deinit {
        quota.give(1, KeptFile.all)
    }

    /// Throws ENOSPC as a refusal of `request`: a quota. `isExchange`: another one is given back for it in a moment.
    static func take(
        of quota: SharedQuota, for request: SharedMemoryMap, isExchange: Bool = false
    ) throws(ShmemError) -> KeptFile {
        switch shortage(quota, part: 2, isExchange ? 1 : 0) {
        case nil: return KeptFile(of: quota)
        case .device(let limit), .process(let limit): throw ShmemError(ENOSPC, request.mapSubject, .keptFiles(limit: limit))
        }
    }

    /// For a descriptor that is not essential: it leaves half of the quota to those that are. nil: a quota.
    static func takeSpare(of quota: SharedQuota) -> KeptFile? {
        shortage(quota, part: 4, 0) == nil ? KeptFile(of: quota) : nil
    }

    /// Half of the descriptors that the process may have open are left to the program.
    private static func shortage(_ quota: SharedQuota, part: UInt64, _ more: UInt64) -> SharedQuota.Shortage? {
        let most = ((try? systemCall(.getrlimit) { vhu_open_files_limit() }).map { UInt64(clamping: $0) } ?? 1024) / part
        return quota.take(1, all, most: most, more: more)
    }
}

/// Addresses that windows take, and those of files that front-ends give.
enum AddressSpace {
    private static let all = Atomic<UInt64>(0)
    /// Half of what a process has: addresses of 47 bits.
    private static let most: UInt64 = 1 << 46

    /// nil: it was taken.
    static func take(_ size: UInt64, of quota: SharedQuota) -> SharedQuota.Shortage? {
        quota.take(size, all, most: most)
    }

    /// Throws ENOSPC (the device's quota), ENOMEM (all together would take more than half).
    static func take(_ size: UInt64, of quota: SharedQuota, for subject: ShmemError.Subject) throws(ShmemError) {
        switch take(size, of: quota) {
        case nil: return
        case .device(let limit): throw ShmemError(ENOSPC, subject, .addressSpace(limit: limit))
        case .process(let limit): throw ShmemError(ENOMEM, subject, .allAddressSpace(limit: limit))
        }
    }

    static func give(_ size: UInt64, of quota: SharedQuota) {
        quota.give(size, all)
    }
}
