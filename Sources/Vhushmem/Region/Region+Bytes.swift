// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The bytes in a region's mappings: their addresses, copies of them, and access in place.
extension Region {
    /// Returns the host address of a range that one live mapping covers and allows the access to. It takes no lock, because it
    /// is made for vCPU threads. The address is valid until that mapping is undone. A touch of a page that its file has lost
    /// raises SIGBUS.
    ///
    /// - Parameters:
    ///   - offset: the first byte in the region.
    ///   - length: bytes.
    ///   - forWriting: the range must be writable.
    /// - Returns: the address; nil: there is no such mapping.
    @inline(__always)
    public func translate(_ offset: UInt64, length: UInt64, forWriting: Bool = false) -> UnsafeMutableRawPointer? {
        if indexReader.covers(offset, length: length, forWriting: forWriting) {
            return unsafe window.baseAddress + Int(truncatingIfNeeded: offset)
        }
        return unsafe lookUp(offset, length: length, forWriting: forWriting)
    }

    /// For ranges that the index does not know.
    @_optimize(speed)
    @inline(never)
    private func lookUp(_ offset: UInt64, length: UInt64, forWriting: Bool) -> UnsafeMutableRawPointer? {
        guard length > 0, let record = tableReader.find(containing: offset, length: length),
            !forWriting || MappingWord(bits: record.word).isWritable
        else { return nil }
        return unsafe window.baseAddress + Int(clamping: offset)
    }

    // MARK: Copies

    /// Copies mapped bytes. Any thread may do so, whatever others do meanwhile. The kernel copies, so an unmapped page or one
    /// that the file has lost is an error and no signal. All bytes are those of the mappings that were there.
    ///
    /// - Parameters:
    ///   - offset: the first byte in the region.
    ///   - count: bytes.
    /// - Returns: the copy.
    /// - Throws: EINVAL (the range is not inside the region), ENOENT (not all of it is mapped), EIO (the file lacks a page of
    ///   it), EAGAIN (the mappings there change all the time), EPERM (this process may not use process_vm_readv on itself).
    public func read(at offset: UInt64, count: Int) throws(ShmemError) -> [UInt8] {
        let length = UInt64(exactly: count)
        guard let length, let range = ByteRange(start: offset, length: length), range.end <= size else {
            let subject = ShmemError.Subject.access(shmid: shmid, offset: offset, length: length ?? 0, isWrite: false)
            throw ShmemError(EINVAL, subject, length == nil ? .text("its length is negative") : .beyondEnd(size: size))
        }
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        try read(at: offset, into: &raw)
        return bytes
    }

    /// Copies mapped bytes into memory of the caller, in the same safe way. If it throws, a part may have been filled.
    ///
    /// - Parameters:
    ///   - offset: the first byte in the region.
    ///   - bytes: is filled.
    /// - Throws: what the other one throws.
    public func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(ShmemError) {
        try unsafe bytes.withUnsafeMutableBytes { buffer throws(ShmemError) in try unsafe read(at: offset, into: buffer) }
    }

    /// Copies mapped bytes into memory of the caller, in the same safe way. If it throws, a part may have been filled.
    ///
    /// - Parameters:
    ///   - offset: the first byte in the region.
    ///   - bytes: is filled.
    /// - Throws: what the other one throws.
    public func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(ShmemError) {
        try unsafe transfer(at: offset, bytes, isWrite: false)
    }

    /// Copies bytes into the region's mappings, in the same safe way. If it throws, a part may have been written.
    ///
    /// - Parameters:
    ///   - bytes: the bytes to write.
    ///   - offset: the first byte in the region.
    /// - Throws: what `read` throws, and EACCES (not all of it is mapped read-write).
    public func write(_ bytes: [UInt8], at offset: UInt64) throws(ShmemError) {
        try unsafe write(bytes.span.bytes, at: offset)
    }

    /// Copies bytes into the region's mappings, in the same safe way. If it throws, a part may have been written.
    ///
    /// - Parameters:
    ///   - bytes: the bytes to write.
    ///   - offset: the first byte in the region.
    /// - Throws: what `read` throws, and EACCES (not all of it is mapped read-write).
    public func write(_ bytes: RawSpan, at offset: UInt64) throws(ShmemError) {
        try unsafe bytes.withUnsafeBytes { buffer throws(ShmemError) in try unsafe write(at: offset, from: buffer) }
    }

    /// The same for memory at a pointer.
    ///
    /// - Parameters:
    ///   - offset: the first byte in the region.
    ///   - bytes: the bytes to write.
    /// - Throws: what the other one throws.
    public func write(at offset: UInt64, from bytes: UnsafeRawBufferPointer) throws(ShmemError) {
        try unsafe transfer(at: offset, UnsafeMutableRawBufferPointer(mutating: bytes), isWrite: true)
    }

    /// How often a copy is tried again while the region changes.
    private static let mostRetries = 1000

    private func transfer(at offset: UInt64, _ bytes: UnsafeMutableRawBufferPointer, isWrite: Bool) throws(ShmemError) {
        let subject = ShmemError.Subject.access(shmid: shmid, offset: offset, length: UInt64(bytes.count), isWrite: isWrite)
        guard let range = ByteRange(start: offset, length: UInt64(bytes.count)) else {
            throw ShmemError(EINVAL, subject, .wrapsAround)
        }
        guard range.end <= size else { throw ShmemError(EINVAL, subject, .beyondEnd(size: size)) }
        var at = offset
        var retries = 0
        while at < range.end, let base = bytes.baseAddress {
            let state = coverState.look()
            guard let record = tableReader.find(containing: at, length: 1), let pages = ownedPages(record) else {
                throw ShmemError(ENOENT, subject, .holeAt(at))
            }
            if isWrite, !MappingWord(bits: record.word).isWritable { throw ShmemError(EACCES, subject, .readOnlyAt(at)) }
            let piece = Int(clamping: min(pages.end, range.end) &- at)
            if let lost = firstLost(in: record, at..<at &+ UInt64(clamping: piece), state) {
                throw ShmemError(EIO, subject, .lostAt(lost))
            }
            let mine = unsafe base + Int(clamping: at &- offset)
            let theirs = unsafe window.baseAddress + Int(clamping: at)
            var done: Int?
            do throws(Errno) {
                done =
                    unsafe isWrite
                    ? try MemoryCalls.store(mine, at: theirs, piece) : try MemoryCalls.copy(from: theirs, to: mine, piece)
            } catch {
                guard error.code == EFAULT else { throw ShmemError(error.code, subject, .system("process_vm", error.code)) }
            }
            // The copy is the mapping's only if the mapping was there all the time, and no page of it was covered.
            let isUnchanged =
                coverState.look() == state
                && tableReader.find(containing: at, length: 1)?.isSame(as: record) == true
            if isUnchanged {
                guard let done else { throw ShmemError(EIO, subject, .lostAt(at)) }
                at = at &+ UInt64(done)
                continue
            }
            // A thread that changes the region without end must not keep this one here for ever.
            retries = retries &+ 1
            if retries == Region.mostRetries { throw ShmemError(EAGAIN, subject, .changedTooOften) }
        }
    }

    /// The first page of a range of a mapping that does not show its file, because the file lacks it.
    private func firstLost(in record: MappingRecord, _ range: Range<UInt64>, _ state: CoverState.Look) -> UInt64? {
        var first: UInt64?
        if MappingWord(bits: record.word).hasZeroTail {
            let tail = record.start &+ (record.facts.pagesInFile ?? 0) &* Page.size
            if tail < range.upperBound { first = max(tail, range.lowerBound) }
        }
        guard !state.hasNone else { return first }
        return device.lock.withLock { held in
            endLeases(at: Clock.now(), held)
            for index in 0..<covers[held].count {
                let page = covers[held][index]
                guard page.hidesLoss, page.isThere, page.offset < range.upperBound,
                    page.offset &+ Page.size > range.lowerBound
                else {
                    continue
                }
                if page.offset < first ?? .max { first = page.offset }
            }
            return first
        }
    }

    // MARK: In place

    /// Calls `body` with the bytes of a range that one live mapping covers; nil, without a call: there is no such mapping.
    ///
    /// This is not safe by itself, on any thread: nothing keeps the mapping. The caller must make sure of three things. During
    /// the call nothing undoes or replaces the mapping (the dispatch of a front-end or channel may do that, and the end of the
    /// device does). No code of this process writes the bytes. After the call nothing touches them. The file's other users may
    /// change them at any time. A touch of a page that the file has lost raises SIGBUS. `read` has none of these rules.
    ///
    /// - Parameters:
    ///   - offset: the first byte in the region.
    ///   - length: bytes.
    ///   - body: uses the bytes.
    /// - Returns: what `body` returns; nil, without a call: no live mapping covers the range.
    /// - Throws: what `body` throws.
    public func withUnsafeBytes<Result, Failure: Error>(
        at offset: UInt64, length: UInt64, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard let count = Int(exactly: length), let start = unsafe translate(offset, length: length) else { return nil }
        // SAFETY: one mapping covers the range, and the caller makes sure that it stays.
        return unsafe try body(UnsafeRawBufferPointer(start: start, count: count))
    }

    /// The same for a writable mapping, with the same rules; and no other code of this process may read the bytes meanwhile.
    /// `write` has none of these rules.
    ///
    /// - Parameters:
    ///   - offset: the first byte in the region.
    ///   - length: bytes.
    ///   - body: uses the bytes.
    /// - Returns: what `body` returns; nil, without a call: no live, writable mapping covers the range.
    /// - Throws: what `body` throws.
    public func withUnsafeMutableBytes<Result, Failure: Error>(
        at offset: UInt64, length: UInt64, _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard let count = Int(exactly: length), let start = unsafe translate(offset, length: length, forWriting: true) else {
            return nil
        }
        // SAFETY: as above; the mapping is writable.
        return unsafe try body(UnsafeMutableRawBufferPointer(start: start, count: count))
    }
}
