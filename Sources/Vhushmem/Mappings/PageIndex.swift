// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Tells `translate` which pages of a region are mapped. It reads one or two words, which are likely to be in a near cache. A
/// search in the table of 60,000 mappings walks through 3 MB.
///
/// The index may be incomplete. If it says yes, the range is mapped. If it does not, the caller asks the table: the range may
/// cross chunks, its chunk may have no words, or its mapping may never have been added.
///
/// The region is divided into chunks of 512 pages, which is 2 MiB. Each chunk has a word:
///
///     0                  nothing is known
///     bit 63 is clear    up to three runs of 20 bits, at the low end of the word. A run is one mapping's part of the
///                        chunk: bits 0-8 are 511 less its first page, bits 10-18 its last page, bit 19 says that it is
///                        writable. 0 is no run.
///     bit 63 is set      there were more than three runs. Bits 0-9 count the mappings. Each page of the chunk has two
///                        bits, in words of 32 pages: the low bit says that the page is mapped, the high bit that it is
///                        writable.
///
/// The words of the chunks and, after them, the words of the pages are one private mapping. It is reserved as a whole when the
/// region is made: 136 bytes of addresses a chunk. It takes memory only where something was written. The last chunks of a large
/// region have no words. If memory is short, no chunk has.
///
/// One thread at a time changes the index, under the lock that guards the table. Any thread reads it at any time, without a
/// sequence lock. Three rules make that right:
///
/// * The index never says more than the table. First the memory of a mapping is mapped, then its record is inserted, and then
///   its pages are added. The pages are removed before the record.
/// * Each word is right by itself, at any moment. A run belongs to one mapping and is in one word. If a reader finds its range
///   in a run, a live mapping covered the range when the reader loaded the word. The bits of a page are set only while a live
///   mapping owns the page, whatever the word of the chunk says. So they are right even if that word has changed since the
///   reader saw it. The bits do not say which mapping it is. So a reader uses them only for a range inside one page, which has
///   one owner.
/// * No place ever moves. A reader follows no address that could be stale, and a place always stands for the same chunk or
///   page.
///
/// Stores are releases and loads are acquires. A reader that sees that a page is mapped also sees all that was done before,
/// above all the mapping of its file.
///
/// This file: the writer. `+Reader`: the queries of any thread.
@safe struct PageIndex: ~Copyable {
    /// A page of the index is 4096 bytes, also if the kernel's pages are larger: then each mapping owns a multiple.
    static var pageShift: UInt64 { 12 }
    static var chunkShift: UInt64 { 21 }
    static var chunkBytes: UInt64 { 1 << chunkShift }
    /// A chunk's last page.
    private static var lastPage: UInt64 { 511 }
    /// Words of bits for the pages of a chunk: two bits a page.
    private static var bitWords: UInt64 { 16 }
    /// A larger mapping, over 1 GiB, is not added. There are few of them, so the table is fast. And a map of one must not take
    /// long.
    static var maximumChunks: UInt64 { 512 }
    /// Only the first 64 GiB of a region have words.
    private static var largestIndex: UInt64 { 1 << 15 }
    /// If at least so many chunks have had bits, the memory of the bits is given back when no mapping is left.
    private static var chunksBeforeRelease: UInt64 { 256 }

    /// The queries of any thread.
    let reader: Reader
    /// How many chunks have begun to use bits since their memory was last given back.
    private let chunksWithBits: UnsafeMutablePointer<UInt64>

    /// How many chunks of a region of `size` bytes should have words.
    static func chunks(for size: UInt64) -> UInt64 {
        min(size >> chunkShift &+ (size & (chunkBytes &- 1) == 0 ? 0 : 1), largestIndex)
    }

    /// For the first chunks of a region.
    init(chunks: UInt64) {
        unsafe chunksWithBits = .allocate(capacity: 1)
        unsafe chunksWithBits.initialize(to: 0)
        // This cannot overflow: there are at most `largestIndex` chunks.
        let count = Int(truncatingIfNeeded: min(chunks, PageIndex.largestIndex) &* (1 &+ PageIndex.bitWords))
        guard count > 0, let memory = unsafe PageIndex.reserve(count) else {
            // No chunk has words, so nothing reads through this pointer.
            reader = unsafe Reader(chunkCount: 0, words: chunksWithBits)
            return
        }
        reader = unsafe Reader(chunkCount: min(chunks, PageIndex.largestIndex), words: memory)
        // So `translate` finds the words of the chunks without a page fault. The words of pages are read only after they were
        // written.
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
        // A large page would use 2 MiB of memory for one word, and the kernel would clear it while a device waits for its
        // answer.
        try? unsafe MemoryCalls.advise(memory, bytes, MADV_NOHUGEPAGE)
        // SAFETY: the memory is new, has `count` words, is all zero, and is aligned to a page.
        return unsafe memory.bindMemory(to: UInt64.self, capacity: count)
    }

    deinit {
        if chunkCount > 0 { try? unsafe MemoryCalls.unmap(words, byteCount) }
        unsafe chunksWithBits.deallocate()
    }

    private var byteCount: Int {
        Int(truncatingIfNeeded: chunkCount &* (1 &+ PageIndex.bitWords)) &* MemoryLayout<UInt64>.stride
    }

    /// The bytes of `words` words, rounded up to whole pages of the kernel.
    private static func pages(of words: UInt64) -> Int {
        Int(truncatingIfNeeded: (words &* 8 &+ Page.size &- 1) & ~(Page.size &- 1))
    }

    // MARK: - Changes by the writer

    /// Adds the pages of a new mapping. No other mapping owns them.
    @_optimize(speed)
    @inline(__always)
    func add(_ pages: ByteRange, writable: Bool) {
        // One page in a chunk that has bits. This is the most frequent case if there are many mappings.
        guard let page = PageBits(pages, of: self) else { return addRuns(pages, writable: writable) }
        self[page.place] |= (writable ? 3 : 1) &<< page.shift
        self[page.chunk] &+= 1
    }

    /// Removes pages that were added. Call it before their mapping goes.
    @_optimize(speed)
    @inline(__always)
    func remove(_ pages: ByteRange) {
        guard let page = PageBits(pages, of: self) else { return removeRuns(pages) }
        self[page.place] &= ~(3 &<< page.shift)
        uncount(in: page.chunk)
    }

    /// The place of the bits of a mapping of one page, in a chunk that has bits.
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

    /// Call it when no mapping is left. If there were many, the memory of the pages' bits goes back to the kernel. All bits are
    /// 0 before, during and after that, so a reader sees no difference. (Memory that is locked stays.)
    @inline(__always)
    func release() {
        if unsafe chunksWithBits.pointee >= PageIndex.chunksBeforeRelease { releaseBits() }
    }

    @inline(never)
    private func releaseBits() {
        unsafe chunksWithBits.pointee = 0
        let start = PageIndex.pages(of: chunkCount)
        let length = byteCount &- start
        // SAFETY: these pages begin after the page with the last chunk's word, so they have only bits. There are words, because
        // a chunk has had bits.
        if length > 0 {
            try? unsafe MemoryCalls.advise(UnsafeMutableRawPointer(words) + start, length, MADV_DONTNEED)
        }
    }

    /// The second most frequent case: all pages are in one chunk, and it has few mappings.
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

    /// The run of pages that are all in one chunk.
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

    /// Counts one mapping less in a chunk that has bits.
    @inline(__always)
    private func uncount(in chunk: UInt64) {
        let word = self[chunk] &- 1
        self[chunk] = word == ChunkWord.isBits ? 0 : word
    }

    /// Calls `body` for each chunk that has some of the pages, with the first and the last of them in the chunk. If a page is
    /// beyond the index, or the pages are too many, it does not call `body`.
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

    /// Changes a chunk that has three runs, and will have more, from runs to bits.
    @inline(never)
    private func replaceRuns(of chunk: UInt64) {
        let runs = self[chunk]
        unsafe chunksWithBits.pointee &+= 1
        // The bits come before the word. A reader that sees the new word must find in the bits all that the old word said.
        setBits(of: runs, in: chunk, to: .max)
        setBits(of: runs >> ChunkWord.runBits, in: chunk, to: .max)
        setBits(of: runs >> (2 &* ChunkWord.runBits), in: chunk, to: .max)
        self[chunk] = ChunkWord.isBits | 3
    }

    /// Sets the bits of all pages of the run in the low bits of `run`. A `value` of all ones sets them: both bits of a page if
    /// the run is writable, else the low one. A `value` of 0 clears them.
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

    /// A word, for the writer. Its loads can be plain: only the writer stores.
    private subscript(index: UInt64) -> UInt64 {
        // SAFETY: each caller has checked that the chunk has words, and names the word of the chunk or of its pages.
        @inline(__always) get { unsafe words[Int(truncatingIfNeeded: index)] }
        @inline(__always) nonmutating set {
            unsafe vhu_store_release(words + Int(truncatingIfNeeded: index), newValue)
        }
    }
}
