// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Undoes many mappings a few at a time.
extension Region {
    /// Pauses between pieces. In a pause, other threads of the process map and unmap. Without one, the next call of the kernel
    /// begins before a thread that waited for the last one runs. So that thread may wait 4 ms for each of its calls.
    struct Pauses {
        /// Microseconds from one to the next, and nanoseconds of each: as long as a thread takes to wake up.
        private static var interval: UInt64 { 1_000 }
        private static var length: Int { 50_000 }

        private var next: UInt64?

        mutating func takeOneIfDue(_ now: UInt64) {
            guard let due = next, now >= due else {
                next = next ?? now &+ Pauses.interval
                return
            }
            vhu_pause(Pauses.length)
            next = now &+ Pauses.interval
        }
    }

    /// The most mappings that go at once. During one call the kernel lets no other thread of the process map or unmap, and a
    /// call takes some three microseconds for each mapping. Their records fit on the stack: at the kernel's limit of mappings
    /// there may be no memory.
    private static var mostAtOnce: Int { 25 }

    /// Takes out as many as may go at once, from the first behind `from` on, and moves `from` behind them. nil: the rest may
    /// all go at once, or the kernel refuses.
    func takePiece(from: inout UInt64) -> UInt64? {
        unsafe withUnsafeTemporaryAllocation(of: MappingRecord.self, capacity: Region.mostAtOnce) { gone in
            let count = unsafe withUnsafeTemporaryAllocation(
                of: UnsafeMutableRawPointer?.self, capacity: Region.mostAtOnce
            ) { tails in
                device.lock.withLock { held in unsafe takePieceOut(from: &from, into: gone, tails, held) }
            }
            for index in 0..<count { unsafe MappingWord(bits: gone[index].word).release() }
            return count > 0 ? UInt64(count) : nil
        }
    }

    /// Takes out the records first, then the memory, as with one; the same call makes the holes in between whole. The caller
    /// must release the records' objects, without the lock. `tails` has room for as many.
    private func takePieceOut(
        from: inout UInt64, into gone: UnsafeMutableBufferPointer<MappingRecord>,
        _ tails: UnsafeMutableBufferPointer<UnsafeMutableRawPointer?>, _ held: Held
    ) -> Int {
        guard quota[held].mappings > UInt64(gone.count), let first = table[held].first(endingAfter: from) else { return 0 }
        if !device.undumped[held].isEmpty { device.undumped[held].leaveOut() }
        var count = 0
        var cost = 0
        var end = first.start
        var next: MappingRecord? = first
        while count < gone.count, let record = next, let pages = ownedPages(record) {
            if !followers[held].isEmpty { forgetByFollowers(record, held) }
            index[held].remove(pages)
            guard let (removed, isBeside) = table[held].removeCounting(at: record.start) else { break }
            cost = cost &+ separateMappings(for: pages, isBeside: isBeside)
            unsafe gone.initializeElement(at: count, to: removed)
            unsafe tails.initializeElement(at: count, to: makeTail(removed, held))
            count = count &+ 1
            end = pages.end
            next = table[held].first(endingAfter: end)
        }
        defer { for index in 0..<count { unsafe dropTail(tails[index]) } }
        guard let range = ByteRange(start: first.start, length: end &- first.start),
            let cleared = try? window.clear(range, held)
        else {
            for index in 0..<count { unsafe putBack(gone[index], held) }
            return 0
        }
        settle(cost, cleared, held)
        for index in 0..<count {
            let record = unsafe gone[index]
            if let pages = ownedPages(record) { forget(record, pages, held) }
            letLargeFileGo(record, held)
        }
        if !covers[held].isEmpty { forgetCovers(in: range.start..<range.end, held) }
        census[held].count()
        from = end
        return count
    }
}
