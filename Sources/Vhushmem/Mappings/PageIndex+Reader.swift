// SPDX-License-Identifier: BSD-3-Clause

import CLinux

extension PageIndex {
    /// The index as any thread may look at it, at any time, while the index is there.
    @safe struct Reader {
        /// 0: none is wanted, or there was no memory.
        let chunkCount: UInt64
        /// One for each chunk, and 16 more for each chunk behind those.
        let words: UnsafeMutablePointer<UInt64>

        /// Yes: one live mapping covered all of [offset, offset + length), and allows the access, at a moment within the call. No: the
        /// table may know better. Any numbers may be asked for.
        @inline(__always)
        func covers(_ offset: UInt64, length: UInt64, forWriting: Bool) -> Bool {
            let chunk = offset >> PageIndex.chunkShift
            let start = offset & (PageIndex.chunkBytes &- 1)
            // A length of 0 becomes the greatest number here, and what passes can't wrap around.
            guard chunk < chunkCount, length &- 1 < PageIndex.chunkBytes &- start else { return false }
            let first = start >> PageIndex.pageShift
            let last = (start &+ (length &- 1)) >> PageIndex.pageShift
            // SAFETY: there is a chunk, so there are words. An offset in the chunk belongs to one of its 16, of 2^17 bytes each.
            let word = unsafe vhu_load_acquire(words + Int(truncatingIfNeeded: chunk))
            if word & ChunkWord.isBits == 0 { return ChunkWord.hasRun(word, first, last, forWriting: forWriting) }
            guard first == last else { return false }
            let bits = unsafe vhu_load_acquire(words + Int(truncatingIfNeeded: placeOfBits(offset)))
            return bits &>> (first &* 2) & (forWriting ? 2 : 1) != 0
        }

        /// Which word has the bits of the page at an offset: behind those of the chunks there is one for each 32 pages.
        @inline(__always)
        func placeOfBits(_ offset: UInt64) -> UInt64 {
            chunkCount &+ offset >> (PageIndex.pageShift &+ 5)
        }
    }
}
