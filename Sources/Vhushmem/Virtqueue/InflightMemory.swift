// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// One queue's part of the area for requests in flight: u64 features, u16 version, desc_num, last_batch_head, used_idx; then for each
/// descriptor u8 inflight, 5 bytes of padding, u16 next, u64 counter. Every load and store of the area is in this file.
///
/// The front-end has the file too, and may have got it from another back-end. So no number in it leads out of the part: heads are reduced
/// to the size of the queue. The words are in the byte order of the host.
@safe struct InflightMemory {
    /// Parts begin at multiples of this.
    private static let alignment = 64
    private static let headSize = 16
    private static let entrySize = 16

    /// Holds the memory.
    private let file: SharedFile
    private let start: UnsafeMutableRawPointer
    /// One less than the entries that are used, a power of two.
    private let mask: UInt16

    /// Bytes of a part.
    static func size(entries: UInt16) -> Int {
        (headSize &+ entrySize &* Int(entries) &+ alignment &- 1) & ~(alignment &- 1)
    }

    /// nil: the area has no part for this queue, or none of so many entries. `file` has the bytes of `area`, which begin at a multiple of 8.
    init?(queue: Int, size: UInt16, of area: InflightArea, in file: SharedFile) {
        guard queue >= 0, queue < Int(area.queues), size <= area.queueSize, UInt64(size).isPowerOfTwo else { return nil }
        self.file = file
        // SAFETY: the area has a part for each of its queues, of `size(entries:)` bytes each.
        unsafe start = unsafe file.start + queue &* InflightMemory.size(entries: area.queueSize)
        mask = size &- 1
    }

    // MARK: The head

    private enum HeadWord: Int {
        case version = 8
        case entries = 10
        case lastBatchHead = 12
        case usedIndex = 14
    }

    /// 0: nobody has used the part.
    var version: UInt16 { load(.version) }
    /// The chains that were given back last begin with it.
    var lastBatchHead: UInt16 { load(.lastBatchHead) }
    var usedIndex: UInt16 { load(.usedIndex) }

    /// Has everything that was written before be seen before it.
    func publishVersion(_ version: UInt16) {
        vhu_fence_release()
        store(version, to: .version)
    }

    func setEntries(_ count: UInt16) { store(count, to: .entries) }
    func setLastBatchHead(_ head: UInt16) { store(head, to: .lastBatchHead) }
    func setUsedIndex(_ index: UInt16) { store(index, to: .usedIndex) }

    private func load(_ word: HeadWord) -> UInt16 {
        // SAFETY: a part is longer than its head and begins at a multiple of 8; the words of the head lie at even offsets in it.
        unsafe vhu_load16_relaxed(start + word.rawValue)
    }

    private func store(_ value: UInt16, to word: HeadWord) {
        // SAFETY: as for reading it.
        unsafe vhu_store16_relaxed(start + word.rawValue, value)
    }

    // MARK: The entries

    func isTaken(_ head: UInt16) -> Bool {
        // SAFETY: the first byte of an entry.
        unsafe entry(head).load(as: UInt8.self) != 0
    }

    func setTaken(_ head: UInt16, _ isTaken: Bool) {
        // SAFETY: the first byte of an entry.
        unsafe entry(head).storeBytes(of: isTaken ? 1 : 0, as: UInt8.self)
    }

    /// The entry that was given back before this one, in the same batch.
    func next(_ head: UInt16) -> UInt16 {
        // SAFETY: bytes 6 and 7 of an entry, which begins at a multiple of 8.
        unsafe vhu_load16_relaxed(entry(head) + 6)
    }

    /// What orders the chains that were taken.
    func counter(_ head: UInt16) -> UInt64 {
        // SAFETY: bytes 8 to 15 of an entry, which begins at a multiple of 8.
        unsafe entry(head).load(fromByteOffset: 8, as: UInt64.self)
    }

    func setCounter(_ head: UInt16, _ counter: UInt64) {
        // SAFETY: as for reading it.
        unsafe entry(head).storeBytes(of: counter, toByteOffset: 8, as: UInt64.self)
    }

    private func entry(_ head: UInt16) -> UnsafeMutableRawPointer {
        // SAFETY: the number is reduced to the entries that the part has. They have 16 bytes each and lie behind a head of 16.
        unsafe start + InflightMemory.headSize + InflightMemory.entrySize * Int(head & mask)
    }
}
