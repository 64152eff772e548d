// SPDX-License-Identifier: BSD-3-Clause

/// The word in which a `PageIndex` describes the mappings of a chunk of 512 pages.
enum ChunkWord {
    static var isBits: UInt64 { 1 << 63 }
    static var runBits: UInt64 { 20 }

    /// The nine bits of each of the three first and three last pages. Above each number is a bit that belongs to none of them.
    private static var pageBits: UInt64 { 0x7fd_ff7f_dff7_fdff }
    /// The three bits above the last pages, which say that runs may be written.
    private static var writableBits: UInt64 { 0x800_0080_0008_0000 }
    /// Three times a number in the low bits, once for each run.
    private static var thrice: UInt64 { 0x100_0010_0001 }

    @inline(__always)
    static func run(_ first: UInt64, _ last: UInt64, writable: Bool) -> UInt64 {
        (511 &- first) | last << 10 | (writable ? 1 << 19 : 0)
    }

    @inline(__always) static func first(_ run: UInt64) -> UInt64 { 511 &- run & 511 }
    @inline(__always) static func last(_ run: UInt64) -> UInt64 { run >> 10 & 511 }
    @inline(__always) static func isWritable(_ run: UInt64) -> Bool { run & 1 << 19 != 0 }

    /// Whether a word of runs has fewer than three. For a word that counts this is always false.
    @inline(__always) static func hasRoom(_ word: UInt64) -> Bool { word >> 40 == 0 }

    /// Whether a word of runs has one that reaches from `first` or before to `last` or behind.
    ///
    /// The function tests all three at once and without a branch: at random offsets the processor cannot predict the run. It
    /// adds one number to each of a run's two numbers. The sum reaches 512, the bit above, exactly if that end of the run is
    /// far enough out. An empty run would go from page 511 to page 0, so nothing is in it.
    @inline(__always)
    static func hasRun(_ word: UInt64, _ first: UInt64, _ last: UInt64, forWriting: Bool) -> Bool {
        let asked = (first &+ 1) | (512 &- last) << 10
        let sums = (word & pageBits) &+ asked &* thrice
        return sums & sums << 10 & (forWriting ? word : .max) & writableBits != 0
    }

    /// The word without `run`, whether that is writable or not; the runs above it come down.
    @inline(__always)
    static func removing(_ run: UInt64, from word: UInt64) -> UInt64 {
        let isSame: (UInt64) -> Bool = { shift in (word >> shift ^ run) & (1 << 19 - 1) == 0 }
        if isSame(0) { return word >> runBits }
        let low = word & (1 << runBits - 1)
        if isSame(runBits) { return (word >> (2 &* runBits)) << runBits | low }
        return word & (1 << (2 &* runBits) - 1)
    }
}
