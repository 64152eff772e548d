// SPDX-License-Identifier: BSD-3-Clause

/// The identity in a region's record: a number that no later mapping of the device has, and a few facts about the mapping.
///
/// Code that looks at a record, releases the lock and acts compares the generation under the lock. If the range was unmapped
/// and mapped again meanwhile, it is another mapping, however similar.
struct MappingIdentity {
    private static let announcedBit: UInt64 = 1 << 16
    private static let leavingBit: UInt64 = 1 << 17
    private static let localBit: UInt64 = 1 << 18
    private static let hugePagesBit: UInt64 = 1 << 19
    private static let pagesMask: UInt64 = 0xffff
    private static let largeFileShift: UInt64 = 20
    private static let largeFileMask: UInt64 = 0x3f << largeFileShift
    private static let generationShift: UInt64 = 26

    private(set) var bits: UInt64

    init(bits: UInt64) {
        self.bits = bits
    }

    /// The facts, without a number.
    @inline(__always)
    init(isLocal: Bool, hasHugePages: Bool, isOfLargeFile: Bool = false, pagesInFile: UInt64?) {
        bits =
            (isLocal ? MappingIdentity.localBit : 0) | (hasHugePages ? MappingIdentity.hugePagesBit : 0)
            | (isOfLargeFile ? MappingIdentity.largeFileMask : 0)
            | MappingIdentity.code(pagesInFile)
    }

    /// The same with a number of 38 bits. A device that maps a million files a second uses them up in three days, and begins
    /// again then.
    @inline(__always)
    func numbered(_ generation: UInt64) -> MappingIdentity {
        MappingIdentity(bits: bits | generation &<< MappingIdentity.generationShift)
    }

    var generation: UInt64 { bits &>> MappingIdentity.generationShift }

    /// The listeners were told that it came.
    var isAnnounced: Bool { bits & MappingIdentity.announcedBit != 0 }
    var announced: MappingIdentity { MappingIdentity(bits: bits | MappingIdentity.announcedBit) }
    var unannounced: MappingIdentity { MappingIdentity(bits: bits & ~MappingIdentity.announcedBit) }

    /// The listeners are being told that it goes. No other thread tells them, or may unmap it.
    var isLeaving: Bool { bits & MappingIdentity.leavingBit != 0 }
    var leaving: MappingIdentity { MappingIdentity(bits: bits | MappingIdentity.leavingBit) }
    var staying: MappingIdentity { MappingIdentity(bits: bits & ~MappingIdentity.leavingBit) }

    /// Its file is in memory or on a local disk: a look at a page waits for no other process or machine.
    var isLocal: Bool { bits & MappingIdentity.localBit != 0 }

    /// Its file has huge pages, which are replaced as a whole.
    var hasHugePages: Bool { bits & MappingIdentity.hugePagesBit != 0 }

    /// Its file may take long to free: the number in the device's `LargeFiles`, or `LargeFiles.unknown` if that was not asked
    /// yet. 0: it is none, or was not kept.
    @inline(__always)
    var largeFile: UInt64 { (bits & MappingIdentity.largeFileMask) &>> MappingIdentity.largeFileShift }
    func withLargeFile(_ number: UInt64) -> MappingIdentity {
        MappingIdentity(bits: bits & ~MappingIdentity.largeFileMask | number &<< MappingIdentity.largeFileShift)
    }

    /// How many of its first pages the file had when it was mapped; nil: all. Exact up to 4095; larger numbers are rounded down
    /// to 12 bits.
    var pagesInFile: UInt64? {
        let code = bits & MappingIdentity.pagesMask
        return code == MappingIdentity.pagesMask ? nil : (code & 0xfff) &<< (code >> 12)
    }

    func withPagesInFile(_ pages: UInt64) -> MappingIdentity {
        MappingIdentity(bits: bits & ~MappingIdentity.pagesMask | MappingIdentity.code(pages))
    }

    /// Twelve bits, and in the four bits above them the shift. All ones: every page. (No mapping has that number of pages.)
    @inline(__always)
    private static func code(_ pages: UInt64?) -> UInt64 {
        pages.map(code(ofSome:)) ?? pagesMask
    }

    private static func code(ofSome pages: UInt64) -> UInt64 {
        var shift: UInt64 = 0
        var rest = pages
        while rest > 0xfff {
            rest &>>= 1
            shift &+= 1
        }
        return min(shift, 15) &<< 12 | (shift > 15 ? 0xffe : min(rest, shift == 15 ? 0xffe : 0xfff))
    }
}

extension MappingRecord {
    var facts: MappingIdentity { MappingIdentity(bits: identity) }

    /// Whether this is the same mapping, and not only one at the same place.
    @inline(__always)
    func isSame(as other: MappingRecord) -> Bool {
        facts.generation == other.facts.generation && start == other.start
    }
}
