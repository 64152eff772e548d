// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A range of guest memory, mapped into this process for as long as the object lives.
@safe final class GuestRange {
    let told: MemoryTableRegion
    /// The address of its first byte in this process.
    let host: UnsafeMutableRawPointer
    /// Holds the memory.
    private let file: SharedFile
    /// It may be a mapping of shared memory. The guest may have more memory next to it that this process was not told of.
    let mayBeShared: Bool

    private init(_ told: MemoryTableRegion, _ file: SharedFile, mayBeShared: Bool) {
        self.told = told
        self.file = file
        self.mayBeShared = mayBeShared
        unsafe host = unsafe file.start
    }

    /// `mayBeReadOnly`: accept it also if it cannot be written. Throws EINVAL (no bytes, or a range that wraps around),
    /// EOVERFLOW (it goes beyond the end of the file), and the errors of mmap.
    static func map(
        _ told: MemoryTableRegion, fd: Int32, mayBeReadOnly: Bool = false, mayBeShared: Bool = false, quota: SharedQuota,
        alarm: Alarm
    ) throws(Errno) -> GuestRange {
        guard told.length > 0, ByteRange(start: told.guestAddress, length: told.length) != nil,
            ByteRange(start: told.userAddress, length: told.length) != nil,
            let range = ByteRange(start: told.fileOffset, length: told.length)
        else { throw Errno(EINVAL) }
        return GuestRange(
            told,
            try SharedFile.map(range, of: fd, isGuestMemory: true, mayBeReadOnly: mayBeReadOnly, quota: quota, alarm: alarm),
            mayBeShared: mayBeShared)
    }

    /// The device may not write to it.
    var isReadOnly: Bool { file.isReadOnly }

    var guestEnd: UInt64 { told.guestAddress &+ told.length }

    /// The three numbers that name a range; the file offset is not among them.
    func isNamed(by other: MemoryTableRegion) -> Bool {
        told.guestAddress == other.guestAddress && told.length == other.length && told.userAddress == other.userAddress
    }
}

/// The part of a range of guest memory that a look-up needs. Valid as long as something holds the range.
@safe struct GuestSpan {
    let guestAddress: UInt64
    /// 0: there is none.
    let length: UInt64
    fileprivate let host: UnsafeMutableRawPointer?
    let isReadOnly: Bool

    fileprivate init(_ range: GuestRange) {
        guestAddress = range.told.guestAddress
        length = range.told.length
        unsafe host = unsafe range.host
        isReadOnly = range.isReadOnly
    }

    /// No memory at all.
    init() {
        guestAddress = 0
        length = 0
        unsafe host = nil
        isReadOnly = true
    }

    /// Where its memory begins in this process, if the device may write there.
    var writable: UnsafeMutableRawPointer? { unsafe isReadOnly ? nil : host }

    /// How far `count` bytes, which are not 0, lie behind the beginning of the span; nil: they are not all in it.
    @inline(__always)
    func offset(of guestAddress: UInt64, _ count: UInt64) -> Int? {
        let offset = guestAddress &- self.guestAddress
        guard offset < length, count <= length &- offset else { return nil }
        // It is below the length, which fits into an Int because it is mapped.
        return Int(truncatingIfNeeded: offset)
    }

    /// The address of `count` bytes, which are not 0, in this process; nil: they are not all in the span.
    @inline(__always)
    func host(at guestAddress: UInt64, _ count: UInt64) -> UnsafeMutableRawPointer? {
        guard let offset = offset(of: guestAddress, count) else { return nil }
        // SAFETY: the offset is below the length.
        return unsafe host.map { unsafe $0 + offset }
    }
}

/// All guest memory that the front-end has told of. It never changes: its holder holds the mappings.
@safe final class BackendMemory {
    /// The answer to GET_MAX_MEM_SLOTS: as many as KVM guests have, and far fewer than a process may have mappings.
    static let maximumRanges = 509

    /// By guest address; none overlaps another.
    let ranges: [GuestRange]
    /// The same side by side: the look-up for each buffer counts no references.
    private let spans: UnsafeMutableBufferPointer<GuestSpan>

    private init(_ ranges: [GuestRange]) {
        self.ranges = ranges
        // An allocation of no bytes may be anything.
        unsafe spans = unsafe ranges.isEmpty ? .init(start: nil, count: 0) : .allocate(capacity: ranges.count)
        for (index, range) in ranges.enumerated() { unsafe spans.initializeElement(at: index, to: GuestSpan(range)) }
    }

    deinit {
        unsafe spans.deallocate()
    }

    /// No memory: the front-end has told of none yet.
    convenience init() {
        self.init([])
    }

    /// Bytes of all ranges together.
    var size: UInt64 { ranges.reduce(0) { $0 &+ $1.told.length } }

    /// With one more range. `replaces`: it replaces one with the same guest address and length. Throws EEXIST (it overlaps
    /// another in the guest), ENOSPC (there are too many).
    func adding(_ range: GuestRange, replaces: Bool = false) throws(ShmemError) -> BackendMemory {
        var all: [GuestRange] = []
        var isIn = false
        for other in ranges {
            if replaces, other.told.guestAddress == range.told.guestAddress, other.told.length == range.told.length { continue }
            if other.told.guestAddress < range.guestEnd, range.told.guestAddress < other.guestEnd {
                throw ShmemError(EEXIST, "\(range.told.sentence.text) overlap \(other.told.sentence.text)")
            }
            if !isIn, other.told.guestAddress > range.told.guestAddress {
                all.append(range)
                isIn = true
            }
            all.append(other)
        }
        if !isIn { all.append(range) }
        guard all.count <= BackendMemory.maximumRanges else {
            throw ShmemError(
                ENOSPC, "no room for \(range.told.sentence.text): there are \(BackendMemory.maximumRanges) ranges already")
        }
        return BackendMemory(all)
    }

    /// Without the one of this name; nil: there is none.
    func removing(_ name: MemoryTableRegion) -> BackendMemory? {
        var left: [GuestRange] = []
        for range in ranges where !range.isNamed(by: name) { left.append(range) }
        return left.count < ranges.count ? BackendMemory(left) : nil
    }

    /// The range of an address; without bytes: there is none.
    func span(at guestAddress: UInt64) -> GuestSpan {
        var low = 0
        var high = unsafe spans.count
        while low < high {
            let middle = (low &+ high) / 2
            // SAFETY: below the number of spans, as `high` is.
            let span = unsafe spans[middle]
            if guestAddress < span.guestAddress {
                high = middle
            } else if guestAddress &- span.guestAddress >= span.length {
                low = middle &+ 1
            } else {
                return span
            }
        }
        return GuestSpan()
    }

    /// The address of `length` bytes in this process: nil unless they lie in one range, and may be written if `isWritten`.
    func host(at guestAddress: UInt64, length: UInt64, isWritten: Bool) -> UnsafeMutableRawPointer? {
        let span = span(at: guestAddress)
        return unsafe isWritten && span.isReadOnly ? nil : span.host(at: guestAddress, max(length, 1))
    }

    /// Whether one of the ranges of RAM has a byte of this one, or a byte right next to it.
    func touches(_ other: ByteRange) -> Bool {
        ranges.contains { !$0.mayBeShared && $0.told.guestAddress <= other.end && other.start <= $0.guestEnd }
    }

    /// The same for addresses of the front-end's process, of writable memory. Only rings have such addresses, so this looks at
    /// each range.
    func host(atUser address: UInt64, length: UInt64) -> UnsafeMutableRawPointer? {
        for range in ranges where !range.isReadOnly {
            let (offset, underflow) = address.subtractingReportingOverflow(range.told.userAddress)
            if !underflow, offset < range.told.length, range.told.length &- offset >= length {
                // SAFETY: the offset is below the length of the range, and `length` bytes follow in it.
                return unsafe range.host + Int(clamping: offset)
            }
        }
        return nil
    }
}

extension MemoryTableRegion {
    /// Its name in errors.
    var sentence: Sentence { "\(hex(length)) bytes of guest memory at \(hex(guestAddress))" }
}
