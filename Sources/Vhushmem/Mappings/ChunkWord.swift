// SPDX-License-Identifier: BSD-3-Clause

/// What a `PageIndex` has in a word of what is mapped in a chunk of 512 pages.
enum ChunkWord {
    static var isBits: UInt64 { 1 << 63 }
    static var runBits: UInt64 { 20 }

    /// Where the nine bits of the three first and the three last pages are: each has a bit above it that is not one of them.
    private static var pageBits: UInt64 { 0x7fd_ff7f_dff7_fdff }
    /// The three bits above the last pages, which say that runs may be written.
    private static var writableBits: UInt64 { 0x800_0080_0008_0000 }
    /// A number in the low bits, three times, for each run.
    private static var thrice: UInt64 { 0x100_0010_0001 }

    @inline(__always)
    static func run(_ first: UInt64, _ last: UInt64, writable: Bool) -> UInt64 {
        (511 &- first) | last << 10 | (writable ? 1 << 19 : 0)
    }

    @inline(__always) static func first(_ run: UInt64) -> UInt64 { 511 &- run & 511 }
    @inline(__always) static func last(_ run: UInt64) -> UInt64 { run >> 10 & 511 }
    @inline(__always) static func isWritable(_ run: UInt64) -> Bool { run & 1 << 19 != 0 }

    /// Whether a word of runs has less than three, which a word that counts never has.
    @inline(__always) static func hasRoom(_ word: UInt64) -> Bool { word >> 40 == 0 }

    /// Whether a word of runs has one that reaches from `first` or before to `last` or behind.
    ///
    /// All three at once and without a branch: at random offsets the processor can't know which run it will be. To each run's two
    /// numbers one is added, such that the sum reaches 512, the bit above, just if that end of the run is far enough out. No run is
    /// one from the page 511 to the page 0, so nothing is in it.
    @inline(__always)
    static func hasRun(_ word: UInt64, _ first: UInt64, _ last: UInt64, forWriting: Bool) -> Bool {
        let asked = (first &+ 1) | (512 &- last) << 10
        let sums = (word & pageBits) &+ asked &* thrice
        return sums & sums << 10 & (forWriting ? word : .max) & writableBits != 0
    }

    /// The word of runs without one, which may be written or not; those above it come down.
    @inline(__always)
    static func removing(_ run: UInt64, from word: UInt64) -> UInt64 {
        let isSame: (UInt64) -> Bool = { shift in (word >> shift ^ run) & (1 << 19 - 1) == 0 }
        if isSame(0) { return word >> runBits }
        let low = word & (1 << runBits - 1)
        if isSame(runBits) { return (word >> (2 &* runBits)) << runBits | low }
        return word & (1 << (2 &* runBits) - 1)
    }
}
