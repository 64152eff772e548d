// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The content of holes: addresses of a window where nothing is mapped.
public enum HolePolicy: UInt32, Sendable {
    /// Nothing: each access faults.
    case fault = 0
    /// Zeros, which take no memory; writes fault.
    case zero = 1

    var protection: Int32 {
        switch self {
        case .fault: PROT_NONE
        case .zero: PROT_READ
        }
    }
}

/// The way in which mappings reach a guest.
public enum MappingStrategy: UInt32, Sendable {
    /// The guest has the region's window as a whole; mappings come and go inside it.
    case window = 0
    /// The guest has each mapping by itself, at the same place, and nothing between mappings.
    case slots = 1
}

/// Options of a region.
public struct RegionOptions: Sendable {
    /// The content of the window where nothing is mapped.
    public var holes: HolePolicy = .fault
    /// How mappings reach a guest, if this library arranges that.
    public var strategy: MappingStrategy = .window
    /// Which files may be mapped.
    public var filePolicy: FilePolicy = []
    /// Fault in the pages of each mapping when it is made.
    public var populate = false
    /// The most bytes to fault in of a larger mapping, from its beginning: a back-end decides how long that takes, and all
    /// others on the loop wait.
    public var maximumPopulated: UInt64 = 16 << 20
    /// Ask for transparent huge pages in each mapping.
    public var hugePages = false
    /// Keep a descriptor of each mapping's file, so that the mapping can be shared with another device's back-end.
    public var keepsFiles = false
    /// A map with exactly the range of one live mapping replaces it. Otherwise it is refused with EEXIST.
    public var replaces = false
    /// An unmap names its mapping by the offset alone: its length is ignored.
    public var unmapsByOffset = false
    /// A child of fork gets nothing of the window.
    public var isLeftOutOfForks = false
    /// Live mappings; 0: no limit but the device's.
    public var maximumMappings: UInt64 = 0
    /// Mapped bytes, in whole pages; 0: no limit but the region's size.
    public var maximumBytes: UInt64 = 0
    /// It may be claimed once (`ShmemDevice.claimRegion`).
    var isForClaim = false

    /// Makes options. An omitted argument has its default. Each argument sets the property of its name.
    public init(
        holes: HolePolicy = .fault,
        strategy: MappingStrategy = .window,
        filePolicy: FilePolicy = [],
        populate: Bool = false,
        maximumPopulated: UInt64 = 16 << 20,
        hugePages: Bool = false,
        keepsFiles: Bool = false,
        replaces: Bool = false,
        unmapsByOffset: Bool = false,
        isLeftOutOfForks: Bool = false,
        maximumMappings: UInt64 = 0,
        maximumBytes: UInt64 = 0
    ) {
        self.holes = holes
        self.strategy = strategy
        self.filePolicy = filePolicy
        self.populate = populate
        self.maximumPopulated = maximumPopulated
        self.hugePages = hugePages
        self.keepsFiles = keepsFiles
        self.replaces = replaces
        self.unmapsByOffset = unmapsByOffset
        self.isLeftOutOfForks = isLeftOutOfForks
        self.maximumMappings = maximumMappings
        self.maximumBytes = maximumBytes
    }

    /// A mapping needs nothing but the map itself.
    var isPlain: Bool { !keepsFiles && !populate }

    /// The options for virtiofs DAX: its clients map 2 MiB at a time, beyond the end of most files (`.allowBeyondEnd`), and
    /// make a range writable by another map of it (`replaces`).
    public static var forDAX: RegionOptions {
        var options = RegionOptions()
        options.filePolicy = .allowBeyondEnd
        options.replaces = true
        return options
    }
}

/// Options of a device: limits for all its regions together.
public struct DeviceOptions: Sendable {
    /// Live mappings; 0: no limit but the process's own.
    public var maximumMappings: UInt64 = 0
    /// Mapped bytes, in whole pages; 0: no limit but the regions' sizes.
    public var maximumBytes: UInt64 = 0
    /// Descriptors that regions keep (`RegionOptions.keepsFiles`).
    public var maximumKeptFiles: UInt64 = 256
    /// Bytes of addresses that the windows of all regions may take together. The back-end decides how large they are.
    public var maximumAddressSpace: UInt64 = 8 << 40

    /// Makes options. An omitted argument has its default. Each argument sets the property of its name.
    public init(
        maximumMappings: UInt64 = 0,
        maximumBytes: UInt64 = 0,
        maximumKeptFiles: UInt64 = 256,
        maximumAddressSpace: UInt64 = 8 << 40
    ) {
        self.maximumMappings = maximumMappings
        self.maximumBytes = maximumBytes
        self.maximumKeptFiles = maximumKeptFiles
        self.maximumAddressSpace = maximumAddressSpace
    }
}
