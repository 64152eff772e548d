// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Which pages of a region are mapped, for `translate`: a look at one word or two that are likely to be in a near cache, where the
/// table of 60,000 mappings is a walk through 3 MB.
///
/// It stands beside the table and knows a part of what that knows. What it says yes to is so; all else is asked of the table: what
/// crosses chunks, what is in none of its words, what it was never told of.
///
/// The region is divided into chunks of 512 pages, which is 2 MiB, and each of them has a word:
///
///     0                  nothing is known
///     bit 63 is clear    up to three runs of 20 bits. A run is what one mapping has of the chunk: bits 0-8 are 511 less its first
///                        page, bits 10-18 its last page, bit 19 says that it may be written. 0 is no run. They are together at
///                        the low end.
///     bit 63 is set      there were more than three. Bits 0-9 count the mappings, and each page of the chunk has two bits, in
///                        words of 32 pages: the low one says that it is mapped, the high one that it may be written.
///
/// The words of the chunks, and behind them those of the pages, are one private mapping, reserved as a whole when the region is
/// made: 136 bytes a chunk, and memory where something was written. Some chunks of a large region have no words, or all, if no
/// memory can be had; where there are none the table is asked.
///
/// One thread at a time changes the index, under the lock that guards the table; any thread reads at any time, with no sequence to
/// look at. For that three things are kept:
///
/// * The index never says more than the table. A mapping's pages are added after its record was inserted, which is after its memory
///   was mapped, and leave before its record does.
/// * Each word is right by itself, at any moment. A run is one mapping's, in one word: a reader that finds its range in a run has
///   found a live mapping that covers it, when it loaded the word. A page's bits are set only while a live mapping owns the page,
///   whatever the chunk's word says just then: so they are right even if the chunk's word, which told the reader to look at them,
///   is not what it was. They can't tell which mapping it is, and are asked only for what lies in one page: that has one owner.
/// * Every place is fixed. No address is read that could be stale, and a place never stands for another chunk or page.
///
/// Stores are releases and loads are acquires: who sees that a page is mapped sees what was done before, the mapping of its file
/// first of all.
///
/// This file: what the one writer does. `+Reader`: what any thread may ask.
@safe struct PageIndex: ~Copyable {
    /// A page here is 4096 bytes, where the kernel's pages are larger too: mappings own a multiple.
    static var pageShift: UInt64 { 12 }
    static var chunkShift: UInt64 { 21 }
    static var chunkBytes: UInt64 { 1 << chunkShift }
    /// A chunk's last page.
    private static var lastPage: UInt64 { 511 }
    /// Words of bits for a chunk's pages: two bits a page.
    private static var bitWords: UInt64 { 16 }
    /// Of larger mappings, beyond 1 GiB, nothing is noted. They are few, so the table is fast; and a map of one must not take long.
    static var maximumChunks: UInt64 { 512 }
    /// Behind the first 64 GiB of a region nothing is noted either.
    private static var largestIndex: UInt64 { 1 << 15 }
    /// When so many chunks have got bits and no mapping is left, the bits' memory is given back.
    private static var chunksBeforeRelease: UInt64 { 256 }

    /// What any thread may ask.
    let reader: Reader
    /// How many chunks have got bits since their memory was last given back.
    private let chunksWithBits: UnsafeMutablePointer<UInt64>

    /// How many chunks of a region of `size` bytes should have words.
    static func chunks(for size: UInt64) -> UInt64 {
        min(size >> chunkShift &+ (size & (chunkBytes &- 1) == 0 ? 0 : 1), largestIndex)
    }

    /// For the first chunks of a region.
    init(chunks: UInt64) {
        unsafe chunksWithBits = .allocate(capacity: 1)
        unsafe chunksWithBits.initialize(to: 0)
        // No overflow: there are no more chunks than the largest index has.
        let count = Int(truncatingIfNeeded: min(chunks, PageIndex.largestIndex) &* (1 &+ PageIndex.bitWords))
        guard count > 0, let memory = unsafe PageIndex.reserve(count) else {
            // Nobody looks at the words of no chunks.
            reader = unsafe Reader(chunkCount: 0, words: chunksWithBits)
            return
        }
        reader = unsafe Reader(chunkCount: min(chunks, PageIndex.largestIndex), words: memory)
        // Whoever translates finds the chunks' words without a page fault. Those of the pages are read only where they were written.
        try? unsafe MemoryCalls.advise(memory, PageIndex.pages(of: chunkCount), vhu_madv_populate_read)
    }

    var chunkCount: UInt64 { reader.chunkCount }
    private var words: UnsafeMutablePointer<UInt64> { unsafe reader.words }

    private static func reserve(_ count: Int) -> UnsafeMutablePointer<UInt64>? {
        let bytes = count &* MemoryLayout<UInt64>.stride
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let memory = try? unsafe MemoryCalls.map(nil, bytes, protection: PROT_READ | PROT_WRITE, flags: flags) else {
            return nil
        }
        // A large page would be 2 MiB of memory for a word, and be filled with zeros while a device waits for its answer.
        try? unsafe MemoryCalls.advise(memory, bytes, MADV_NOHUGEPAGE)
        // SAFETY: new, of that many words, all zero, and aligned to a page.
        return unsafe memory.bindMemory(to: UInt64.self, capacity: count)
    }

    deinit {
        if chunkCount > 0 { try? unsafe MemoryCalls.unmap(words, byteCount) }
        unsafe chunksWithBits.deallocate()
    }

    private var byteCount: Int {
        Int(truncatingIfNeeded: chunkCount &* (1 &+ PageIndex.bitWords)) &* MemoryLayout<UInt64>.stride
    }

    /// The bytes of so many words, in whole pages of the kernel's.
    private static func pages(of words: UInt64) -> Int {
        Int(truncatingIfNeeded: (words &* 8 &+ Page.size &- 1) & ~(Page.size &- 1))
    }

    // MARK: - What the writer does

    /// A mapping has become live that owns these pages, which nobody else does.
    @_optimize(speed)
    @inline(__always)
    func add(_ pages: ByteRange, writable: Bool) {
        // A page among others of its chunk: the most frequent kind where there are many.
        guard let page = PageBits(pages, of: self) else { return addRuns(pages, writable: writable) }
        self[page.place] |= (writable ? 3 : 1) &<< page.shift
        self[page.chunk] &+= 1
    }

    /// The mapping that owns these pages, which were added, will go.
    @_optimize(speed)
    @inline(__always)
    func remove(_ pages: ByteRange) {
        guard let page = PageBits(pages, of: self) else { return removeRuns(pages) }
        self[page.place] &= ~(3 &<< page.shift)
        uncount(in: page.chunk)
    }

    /// Where the bits are of a mapping that is one page, in a chunk that has bits.
    private struct PageBits {
        let chunk: UInt64
        let place: UInt64
        let shift: UInt64

        @inline(__always)
        init?(_ pages: ByteRange, of index: borrowing PageIndex) {
            chunk = pages.start >> PageIndex.chunkShift
            guard pages.length == 1 << PageIndex.pageShift, chunk < index.chunkCount, index[chunk] & ChunkWord.isBits != 0
            else { return nil }
            place = index.reader.placeOfBits(pages.start)
            shift = pages.start >> PageIndex.pageShift &* 2
        }
    }

    /// No mapping is left. Where many have been, the memory of the pages' bits goes back to the kernel: all of them are 0, and so they are
    /// for whoever looks at them meanwhile. (Where it is locked it stays.)
    @inline(__always)
    func release() {
        if unsafe chunksWithBits.pointee >= PageIndex.chunksBeforeRelease { releaseBits() }
    }

    @inline(never)
    private func releaseBits() {
        unsafe chunksWithBits.pointee = 0
        let start = PageIndex.pages(of: chunkCount)
        let length = byteCount &- start
        // SAFETY: the pages behind that in which the last chunk's word is; who has got bits has words.
        if length > 0 {
            try? unsafe MemoryCalls.advise(UnsafeMutableRawPointer(words) + start, length, MADV_DONTNEED)
        }
    }

    /// The next in frequency: all of it is in one chunk, which has few.
    @_optimize(speed)
    @inline(never)
    private func addRuns(_ pages: ByteRange, writable: Bool) {
        let chunk = pages.start >> PageIndex.chunkShift
        guard isOneChunk(pages), case let word = self[chunk], ChunkWord.hasRoom(word) else {
            return addParts(pages, writable: writable)
        }
        self[chunk] = word << ChunkWord.runBits | run(of: pages, writable: writable)
    }

    @_optimize(speed)
    @inline(never)
    private func removeRuns(_ pages: ByteRange) {
        let chunk = pages.start >> PageIndex.chunkShift
        guard isOneChunk(pages), case let word = self[chunk], word & ChunkWord.isBits == 0 else { return removeParts(pages) }
        self[chunk] = ChunkWord.removing(run(of: pages, writable: false), from: word)
    }

    @inline(__always)
    private func isOneChunk(_ pages: ByteRange) -> Bool {
        let chunk = pages.start >> PageIndex.chunkShift
        return (pages.end &- 1) >> PageIndex.chunkShift == chunk && chunk < chunkCount
    }

    /// Pages of one chunk.
    @inline(__always)
    private func run(of pages: ByteRange, writable: Bool) -> UInt64 {
        let first = pages.start >> PageIndex.pageShift & PageIndex.lastPage
        let last = (pages.end &- 1) >> PageIndex.pageShift & PageIndex.lastPage
        return ChunkWord.run(first, last, writable: writable)
    }

    @_optimize(speed)
    @inline(never)
    private func addParts(_ pages: ByteRange, writable: Bool) {
        forEachChunk(of: pages) { chunk, first, last in
            let run = ChunkWord.run(first, last, writable: writable)
            let word = self[chunk]
            if ChunkWord.hasRoom(word) {
                self[chunk] = word << ChunkWord.runBits | run
                return
            }
            if word & ChunkWord.isBits == 0 { replaceRuns(of: chunk) }
            setBits(of: run, in: chunk, to: .max)
            self[chunk] &+= 1
        }
    }

    @_optimize(speed)
    @inline(never)
    private func removeParts(_ pages: ByteRange) {
        forEachChunk(of: pages) { chunk, first, last in
            let run = ChunkWord.run(first, last, writable: false)
            let word = self[chunk]
            if word & ChunkWord.isBits == 0 {
                self[chunk] = ChunkWord.removing(run, from: word)
            } else {
                setBits(of: run, in: chunk, to: 0)
                uncount(in: chunk)
            }
        }
    }

    /// A mapping has gone from a chunk that counts them.
    @inline(__always)
    private func uncount(in chunk: UInt64) {
        let word = self[chunk] &- 1
        self[chunk] = word == ChunkWord.isBits ? 0 : word
    }

    /// Calls `body` with the word of each chunk that has some of the pages, and with the first and the last of them in the chunk; not
    /// at all if they are not to be noted.
    @inline(__always)
    private func forEachChunk(of pages: ByteRange, _ body: (_ chunk: UInt64, _ first: UInt64, _ last: UInt64) -> Void) {
        let first = pages.start >> PageIndex.pageShift
        let last = (pages.end &- 1) >> PageIndex.pageShift
        let lastChunk = (pages.end &- 1) >> PageIndex.chunkShift
        var chunk = pages.start >> PageIndex.chunkShift
        guard lastChunk < chunkCount, lastChunk &- chunk < PageIndex.maximumChunks else { return }
        var from = first & PageIndex.lastPage
        while true {
            body(chunk, from, chunk == lastChunk ? last & PageIndex.lastPage : PageIndex.lastPage)
            if chunk == lastChunk { return }
            from = 0
            chunk &+= 1
        }
    }

    /// A chunk has three runs and is to have more: bits from now on.
    @inline(never)
    private func replaceRuns(of chunk: UInt64) {
        let runs = self[chunk]
        unsafe chunksWithBits.pointee &+= 1
        // The bits first: once the word says so, what it has said until then must be found there.
        setBits(of: runs, in: chunk, to: .max)
        setBits(of: runs >> ChunkWord.runBits, in: chunk, to: .max)
        setBits(of: runs >> (2 &* ChunkWord.runBits), in: chunk, to: .max)
        self[chunk] = ChunkWord.isBits | 3
    }

    /// Sets the bits of the run that is in the low bits of `run`, as far as `value` has them and the run may be written.
    @_optimize(speed)
    @inline(never)
    private func setBits(of run: UInt64, in chunk: UInt64, to value: UInt64) {
        let last = ChunkWord.last(run)
        var page = ChunkWord.first(run)
        let bits = value & (ChunkWord.isWritable(run) ? .max : 0x5555_5555_5555_5555)
        while true {
            let end = min(last, page | 31)
            let mask = UInt64.max &<< (page &* 2) & UInt64.max &>> (62 &- (end & 31) &* 2)
            let place = reader.placeOfBits(chunk << PageIndex.chunkShift | page << PageIndex.pageShift)
            self[place] = self[place] & ~mask | bits & mask
            if end == last { return }
            page = end &+ 1
        }
    }

    /// A word, as the one writer sees it: its own loads race with nobody's stores.
    private subscript(index: UInt64) -> UInt64 {
        // SAFETY: who asks has a chunk, so there are words; and it names that of a chunk, or one of the chunk's pages.
        @inline(__always) get { unsafe words[Int(truncatingIfNeeded: index)] }
        @inline(__always) nonmutating set {
            unsafe vhu_store_release(words + Int(truncatingIfNeeded: index), newValue)
        }
    }
}
