// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Checks whether QEMU's generic device would accept the regions of a device. pci.h has its rules.
public struct QemuPciDevice {
    /// Properties that a program wants besides the regions.
    public struct Wishes: OptionSet, Sendable {
        /// The bits.
        public let rawValue: UInt32

        /// Makes wishes of bits.
        ///
        /// - Parameter rawValue: the bits.
        public init(rawValue: UInt32) {
            self.rawValue = rawValue
        }

        /// I/O ports kick queues too (modern-pio-notify).
        public static let pioNotify = Wishes(rawValue: 1 << 0)
        /// The device must be able to migrate.
        public static let migration = Wishes(rawValue: 1 << 1)
    }

    /// How many regions there are.
    public let regionCount: Int
    /// Bytes: the plain sum of the regions' sizes.
    public let barSize: UInt64

    /// Looks at the regions that `device` has now.
    ///
    /// - Parameter device: a device with its regions.
    public init(_ device: ShmemDevice) {
        let regions = device.allRegions
        var sum: UInt64 = 0
        // Each has a window among the addresses of this process, so the sum is far below 2^64.
        for region in regions { sum &+= region.size }
        regionCount = regions.count
        barSize = sum
    }

    /// Checks whether QEMU would accept the wishes.
    ///
    /// - Parameter wishes: what the device should have.
    /// - Throws: EADDRINUSE, EBUSY or EDOM if it would not.
    public func check(_ wishes: Wishes) throws(ShmemError) {
        if wishes.contains(.pioNotify) {
            throw ShmemError(EADDRINUSE, "modern-pio-notify takes BAR 2, where QEMU's generic device has its modern interface")
        }
        guard regionCount > 0 else { return }
        if wishes.contains(.migration) {
            throw ShmemError(EBUSY, "QEMU blocks the migration of a device with regions (\(regionCount))")
        }
        guard barSize.isPowerOfTwo else {
            throw ShmemError(
                EDOM,
                "QEMU's BAR is the sum of the regions (\(regionCount)), \(hex(barSize)) bytes, and that is no power of two")
        }
    }
}
