// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A range of guest memory that the VMM shares with its back-end.
public struct GuestMemory {
    /// By reference: ranges go from array to array, and each place would copy them field by field.
    private let range: Range

    private final class Range {
        let region: MemoryTableRegion
        let mapping: Mapping?
        let file: MemoryFile

        init(_ region: MemoryTableRegion, _ mapping: Mapping?, _ file: MemoryFile) {
            self.region = region
            self.mapping = mapping
            self.file = file
        }
    }

    /// Its guest address.
    public var guestAddress: UInt64 { range.region.guestAddress }
    /// Bytes.
    public var length: UInt64 { range.region.length }
    /// Its address in this process (to which the addresses of virtqueues refer), and its first byte in the file.
    var region: MemoryTableRegion { range.region }
    /// The mapping that it shares, if it is no RAM of the guest.
    var mapping: Mapping? { range.mapping }
    var file: SharedDescriptor { range.file.descriptor }

    /// Describes a range of the guest's RAM.
    ///
    /// - Parameters:
    ///   - guestAddress: its guest address.
    ///   - length: bytes.
    ///   - userAddress: its address in this process, to which the addresses of queues refer.
    ///   - fd: the file that it is mapped from, which is duplicated.
    ///   - fileOffset: first byte in the file.
    /// - Throws: EINVAL (no bytes, or a range that wraps around), EBADF, EMFILE.
    public init(
        guestAddress: UInt64, length: UInt64, userAddress: UInt64, fd: Int32, fileOffset: UInt64
    ) throws(ShmemError) {
        let region = try MemoryTableRegion.checked(
            guestAddress: guestAddress, length: length, userAddress: userAddress, fileOffset: fileOffset)
        range = Range(region, nil, try MemoryFile.make(fd))
    }

    /// Another range of the file of `other`, whose descriptor both use: a guest may have hundreds of ranges of one file. Throws
    /// EINVAL.
    init(
        guestAddress: UInt64, length: UInt64, userAddress: UInt64, fileOffset: UInt64, inFileOf other: GuestMemory
    ) throws(ShmemError) {
        let region = try MemoryTableRegion.checked(
            guestAddress: guestAddress, length: length, userAddress: userAddress, fileOffset: fileOffset)
        range = Range(region, nil, other.range.file)
    }

    /// A live mapping of a region that keeps files, at `guestAddress` in the guest.
    init(_ mapping: Mapping, at guestAddress: UInt64) throws(ShmemError) {
        let it = mapping.description
        guard let host = unsafe mapping.baseAddress else { throw it.notShared(ENOENT, "it is not live") }
        // The table of memory has no read-only ranges.
        guard it.isWritable else { throw it.notShared(EACCES, "it is read-only, and guest memory is not") }
        guard mapping.fd >= 0 else { throw it.notShared(EBADF, "its region keeps no descriptors of files") }
        guard guestAddress.isMultiple(ofPage: Page.size) else {
            throw it.notShared(EINVAL, "the guest's address is no multiple of the page size")
        }
        let pages = ByteRange(start: it.offset, length: it.length)?.roundedUp(to: Page.size)
        let region = try MemoryTableRegion.checked(
            guestAddress: guestAddress, length: pages?.length ?? it.length, userAddress: UInt64(UInt(bitPattern: host)),
            fileOffset: it.fileOffset)
        // The file belongs to the back-end that had it mapped.
        range = Range(region, mapping, try MemoryFile.make(mapping.fd, of: CloseAccount()))
    }

    /// Checks that a back-end could map it. Throws EINVAL, EACCES.
    func check() throws(ShmemError) {
        try range.file.check(region)
    }

    /// The same range of the guest in the same file: the back-end needs no message.
    func isSame(as other: GuestMemory) -> Bool {
        region == other.region && range.file.identity == other.range.file.identity
    }

    /// Shared memory that is not mapped any more.
    var isGone: Bool { mapping.map { unsafe $0.baseAddress == nil } ?? false }

    func overlaps(_ other: GuestMemory) -> Bool {
        guestAddress < other.guestAddress &+ other.length && other.guestAddress < guestAddress &+ length
    }
}

extension MappingDescription {
    fileprivate func notShared(_ code: Int32, _ why: StaticString) -> ShmemError {
        ShmemError(
            code, "cannot share the mapping at \(hex(offset)) of region \(shmid) (\(hex(length)) bytes): \(why)")
    }
}

/// The memory that a back-end should know, and what it knows.
struct MemoryTableState {
    /// In the order in which it was given.
    var wanted: [GuestMemory] = []
    /// The ranges that were sent.
    var told: [GuestMemory] = []
    /// The messages of a change are under way.
    var isBeingTold = false
    /// The ranges before the change, which count again if it fails.
    var former: [GuestMemory] = []
    /// Called when the messages were answered: a start waits for that.
    var whenTold: (() -> Void)?

    /// The messages that the back-end needs. `slots`: nil if regions cannot be added one by one.
    func questions(slots: UInt64?) throws(ShmemError) -> [MemoryQuestion] {
        let wanted = wanted.filter { !$0.isGone }
        guard let slots else {
            guard let table = MemoryTable(wanted.map { $0.region }) else {
                throw ShmemError(
                    ENOSPC, "guest memory has \(wanted.count) ranges, and the back-end takes \(MemoryTable.maximumRegions)")
            }
            let isKnown = told.count == wanted.count && zip(told, wanted).allSatisfy { $0.isSame(as: $1) }
            return isKnown ? [] : [.table(table, wanted)]
        }
        guard UInt64(wanted.count) <= slots else {
            throw ShmemError(ENOSPC, "guest memory has \(wanted.count) ranges, and the back-end takes \(slots)")
        }
        let gone = told.filter { old in !wanted.contains { $0.isSame(as: old) } }
        let new = wanted.filter { range in !told.contains { $0.isSame(as: range) } }
        return gone.map { .remove($0) } + new.map { .add($0) }
    }

    mutating func wasTold(_ question: MemoryQuestion) {
        switch question {
        case .table(_, let ranges): told = ranges
        case .remove(let range): told.removeAll { $0.isSame(as: range) }
        case .add(let range): told.append(range)
        }
    }
}

/// A change of guest memory by the VMM.
enum MemoryChange {
    /// All of the guest's RAM.
    case ram([GuestMemory])
    case share(GuestMemory)
    case unshare(Mapping)

    /// The ranges that the back-end should know then. A mapping that is gone is not shared any more.
    func applied(to before: [GuestMemory]) -> [GuestMemory] {
        var ranges: [GuestMemory] = []
        for range in before where !range.isGone {
            switch self {
            case .ram: if range.mapping == nil { continue }
            case .share: break
            case .unshare(let mapping): if range.mapping === mapping { continue }
            }
            ranges.append(range)
        }
        switch self {
        case .ram(let ram): for range in ram { ranges.append(range) }
        case .share(let range): ranges.append(range)
        case .unshare: break
        }
        return ranges
    }
}

/// One message about guest memory.
enum MemoryQuestion {
    case table(MemoryTable, [GuestMemory])
    case remove(GuestMemory)
    case add(GuestMemory)

    var question: FrontendQuestion<Void> {
        switch self {
        case .table(let table, let ranges):
            return unsafe FrontendQuestion(
                .setMemTable, encoded(table.size, table.encode), descriptors: ranges.map { $0.file })
        // No descriptor goes along: some back-ends treat one as a fault.
        case .remove(let range):
            return unsafe FrontendQuestion(
                .remMemReg, encoded(SingleMemoryRegion.size, SingleMemoryRegion(range.region).encode))
        case .add(let range):
            return unsafe FrontendQuestion(
                .addMemReg, encoded(SingleMemoryRegion.size, SingleMemoryRegion(range.region).encode),
                descriptors: [range.file])
        }
    }
}
