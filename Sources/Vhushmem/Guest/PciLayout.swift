// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The places of a device's regions in the one PCI BAR that has them all (VIRTIO 1.2, 4.1.4.7).
public struct PciLayout {
    /// The place of a region in the BAR.
    public struct Place: Equatable {
        /// The shmid.
        public let shmid: UInt8
        /// Bytes from the beginning of the BAR.
        public let offset: UInt64
        /// Bytes.
        public let length: UInt64
    }

    /// In the order of their ids.
    public let places: [Place]
    /// Bytes: a power of two, as BARs are; 0 if there is no region.
    public let barSize: UInt64

    /// Lays the regions out. Each lies at a multiple of its window's alignment, so that a guest can use large pages in a BAR
    /// that is aligned to its size, as BARs are.
    ///
    /// - Parameter device: the device of the regions.
    /// - Throws: EOVERFLOW: together they are larger than a BAR can be.
    public init(_ device: ShmemDevice) throws(ShmemError) {
        let regions = device.allRegions
        var places = [Place](repeating: Place(shmid: 0, offset: 0, length: 0), count: regions.count)
        var end: UInt64 = 0
        // The most aligned regions come first, so no room is lost between them.
        var alignment: UInt64 = RegionWindow.largestAlignment
        while alignment >= Page.size {
            for (index, region) in regions.enumerated() where RegionWindow.alignment(for: region.size) == alignment {
                let (start, wraps) = end.addingReportingOverflow(alignment &- 1)
                let offset = start & ~(alignment &- 1)
                let (next, isTooLong) = offset.addingReportingOverflow(region.size)
                guard !wraps, !isTooLong, next <= 1 << 63 else {
                    throw ShmemError(EOVERFLOW, "the \(regions.count) regions of the device do not fit into one BAR")
                }
                places[index] = Place(shmid: region.shmid, offset: offset, length: region.size)
                end = next
            }
            alignment /= 2
        }
        self.places = places
        barSize = end == 0 ? 0 : end.isPowerOfTwo ? end : 1 << UInt64(64 &- end.leadingZeroBitCount)
    }

    /// Bytes of a capability: struct virtio_pci_cap64.
    public static let capabilitySize = 24
    private static let vendor: UInt8 = 9
    private static let sharedMemory: UInt8 = 8

    /// Bytes of configuration space for all capabilities: from `firstCapability`, where the standard header ends, to its end at
    /// 0x100.
    public static let capabilitySpace = 0x100 - firstCapability
    private static let firstCapability = 0x40

    /// Tells how many regions have room for a capability each.
    ///
    /// - Parameter otherBytes: what the device's other capabilities take.
    /// - Returns: the number; nil: the other ones alone are too large.
    public static func maximumCapabilities(besides otherBytes: Int) -> Int? {
        guard otherBytes >= 0, otherBytes <= capabilitySpace else { return nil }
        // A capability begins at a multiple of 4.
        let taken = (otherBytes &+ 3) & ~3
        return (capabilitySpace &- taken) / capabilitySize
    }

    /// Tells whether a capability may name this place as that of the next one.
    ///
    /// - Parameter next: the place in configuration space; 0: there is no next one.
    /// - Returns: whether it may.
    public static func isPlace(ofNextCapability next: UInt8) -> Bool {
        // The two low bits are reserved (PCI 3.0, 6.7).
        next == 0 || (Int(next) >= firstCapability && next & 3 == 0)
    }

    /// Writes the capability that tells a driver of a region: VIRTIO_PCI_CAP_SHARED_MEMORY_CFG.
    ///
    /// - Parameters:
    ///   - place: the region's place in the layout.
    ///   - bar: the BAR's number.
    ///   - next: the place of the next capability in configuration space; 0: it is the last.
    ///   - capability: `capabilitySize` bytes.
    public static func writeCapability(of place: Place, bar: UInt8, next: UInt8, to capability: UnsafeMutableRawBufferPointer) {
        unsafe capability.copyBytes(from: [vendor, next, UInt8(capabilitySize), sharedMemory, bar, place.shmid, 0, 0])
        // PCI is little-endian, and the halves of a number are apart.
        for (at, value) in [(8, place.offset), (12, place.length), (16, place.offset >> 32), (20, place.length >> 32)] {
            unsafe capability.store(integer: UInt32(truncatingIfNeeded: value).littleEndian, at: at)
        }
    }
}

/// The registers of virtio-mmio that tell a driver of shared memory (VIRTIO 1.2, 4.2.2).
public enum MmioRegister: UInt32 {
    /// SHMLenLow: the lower half of the region's length.
    case lengthLow = 0x0b0
    /// SHMLenHigh: the upper half of the region's length.
    case lengthHigh = 0x0b4
    /// SHMBaseLow: the lower half of the region's guest address.
    case baseLow = 0x0b8
    /// SHMBaseHigh: the upper half of the region's guest address.
    case baseHigh = 0x0bc

    /// The value that a driver reads from the register. If there is no such region, the length and the base are -1.
    ///
    /// - Parameters:
    ///   - device: the device of the regions.
    ///   - selected: what the driver wrote to SHMSel.
    ///   - base: the guest address of that region.
    /// - Returns: the register's value.
    public func value(for device: ShmemDevice, selected: UInt32, base: UInt64) -> UInt32 {
        let region = UInt8(exactly: selected).flatMap { device.region(shmid: $0) }
        let length = region?.size ?? UInt64.max
        let base = region == nil ? UInt64.max : base
        return switch self {
        case .lengthLow: UInt32(truncatingIfNeeded: length)
        case .lengthHigh: UInt32(truncatingIfNeeded: length >> 32)
        case .baseLow: UInt32(truncatingIfNeeded: base)
        case .baseHigh: UInt32(truncatingIfNeeded: base >> 32)
        }
    }
}
