// SPDX-License-Identifier: BSD-3-Clause

/// Bits of the virtio device status.
enum DeviceStatus {
    static let acknowledge: UInt8 = 1
    static let driver: UInt8 = 2
    static let driverOk: UInt8 = 4
    static let featuresOk: UInt8 = 8
    /// The device sets this bit, and not the driver.
    static let needsReset: UInt8 = 0x40
}
