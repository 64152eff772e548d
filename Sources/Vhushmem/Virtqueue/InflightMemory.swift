// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// One queue's part of the area for requests in flight. Only this file loads from the area and stores into it.
///
/// The part begins with u64 features, u16 version, desc_num, last_batch_head and used_idx. An entry for each descriptor
/// follows: u8 inflight, 5 bytes of padding, u16 next, u64 counter. All are in the byte order of the host.
///
/// No number in the area is trusted: the front-end can write to the file, or another back-end may have made it. A head is
/// reduced to the size of the queue, so it cannot lead out of the part.
@safe struct InflightMemory {
    /// Each part begins at a multiple of this.
    private static let alignment = 64
    private static let headSize = 16
    private static let entrySize = 16

    /// Keeps the memory mapped.
    private let file: SharedFile
    private let start: UnsafeMutableRawPointer
    /// The number of entries in use, a power of two, less one.
    private let mask: UInt16

    /// Bytes of a part.
    static func size(entries: UInt16) -> Int {
        (headSize &+ entrySize &* Int(entries) &+ alignment &- 1) & ~(alignment &- 1)
    }

    /// `file` has the bytes of `area`, from a multiple of 8 on. nil: the area has no part for this queue, or the part has fewer
    /// than `size` entries, or `size` is no power of two.
    init?(queue: Int, size: UInt16, of area: InflightDescription, in file: SharedFile) {
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

    /// 0: no back-end has used the part.
    var version: UInt16 { load(.version) }
    /// The first chain of the batch that was given back last.
    var lastBatchHead: UInt16 { load(.lastBatchHead) }
    var usedIndex: UInt16 { load(.usedIndex) }

    /// A process that sees this version also sees all earlier stores.
    func publishVersion(_ version: UInt16) {
        vhu_fence_release()
        store(version, to: .version)
    }

    func setEntries(_ count: UInt16) { store(count, to: .entries) }
    func setLastBatchHead(_ head: UInt16) { store(head, to: .lastBatchHead) }
    func setUsedIndex(_ index: UInt16) { store(index, to: .usedIndex) }

    private func load(_ word: HeadWord) -> UInt16 {
        // SAFETY: a part is longer than its head and begins at a multiple of 8. The words of the head are at even offsets.
        unsafe vhu_load16_relaxed(start + word.rawValue)
    }

    private func store(_ value: UInt16, to word: HeadWord) {
        // SAFETY: see load.
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

    /// The chain that was given back before this one in the same batch.
    func next(_ head: UInt16) -> UInt16 {
        // SAFETY: bytes 6 and 7 of an entry, which begins at a multiple of 8.
        unsafe vhu_load16_relaxed(entry(head) + 6)
    }

    /// A chain that was taken later has a greater counter.
    func counter(_ head: UInt16) -> UInt64 {
        // SAFETY: bytes 8 to 15 of an entry, which begins at a multiple of 8.
        unsafe entry(head).load(fromByteOffset: 8, as: UInt64.self)
    }

    func setCounter(_ head: UInt16, _ counter: UInt64) {
        // SAFETY: see counter.
        unsafe entry(head).storeBytes(of: counter, toByteOffset: 8, as: UInt64.self)
    }

    private func entry(_ head: UInt16) -> UnsafeMutableRawPointer {
        // SAFETY: the mask makes the number less than the number of entries. They have 16 bytes each, after a head of 16.
        unsafe start + InflightMemory.headSize + InflightMemory.entrySize * Int(head & mask)
    }
}
