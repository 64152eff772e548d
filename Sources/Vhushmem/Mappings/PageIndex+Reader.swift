// SPDX-License-Identifier: BSD-3-Clause

import CLinux

extension PageIndex {
    /// The queries that any thread may make at any time while the index exists.
    @safe struct Reader {
        /// 0: the budget of the device was used up (`IndexBudget`), or there was no memory.
        let chunkCount: UInt64
        /// One word for each chunk, and after those 16 more for each chunk.
        let words: UnsafeMutablePointer<UInt64>

        /// True: at one moment within the call, one live mapping covered all of [offset, offset + length) and allowed the
        /// access. False: the caller must ask the table. All values of `offset` and `length` are allowed.
        @inline(__always)
        func covers(_ offset: UInt64, length: UInt64, forWriting: Bool) -> Bool {
            let chunk = offset >> PageIndex.chunkShift
            let start = offset & (PageIndex.chunkBytes &- 1)
            // A length of 0 wraps to the greatest number, so it is refused. A range that passes cannot wrap around.
            guard chunk < chunkCount, length &- 1 < PageIndex.chunkBytes &- start else { return false }
            let first = start >> PageIndex.pageShift
            let last = (start &+ (length &- 1)) >> PageIndex.pageShift
            // SAFETY: the chunk has a word, so it also has 16 words of bits, each for 2^17 bytes. The offset belongs to one of
            // them.
            let word = unsafe vhu_load_acquire(words + Int(truncatingIfNeeded: chunk))
            if word & ChunkWord.isBits == 0 { return ChunkWord.hasRun(word, first, last, forWriting: forWriting) }
            guard first == last else { return false }
            let bits = unsafe vhu_load_acquire(words + Int(truncatingIfNeeded: placeOfBits(offset)))
            return bits &>> (first &* 2) & (forWriting ? 2 : 1) != 0
        }

        /// The index of the word that has the bits of the page at `offset`. After the words of the chunks, there is one for 32
        /// pages.
        @inline(__always)
        func placeOfBits(_ offset: UInt64) -> UInt64 {
            chunkCount &+ offset >> (PageIndex.pageShift &+ 5)
        }
    }
}
