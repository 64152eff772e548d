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

    /// Where the guest has it.
    public var guestAddress: UInt64 { range.region.guestAddress }
    /// Bytes.
    public var length: UInt64 { range.region.length }
    /// Where this process has it (what the addresses of virtqueues refer to), and where it begins in the file.
    var region: MemoryTableRegion { range.region }
    /// The shared memory that it is, if it is no RAM of the guest's.
    var mapping: Mapping? { range.mapping }
    var file: SharedDescriptor { range.file.descriptor }

    /// A range of the guest's RAM.
    ///
    /// - Parameters:
    ///   - guestAddress: where the guest has it.
    ///   - length: bytes.
    ///   - userAddress: where this process has it: the addresses of queues refer to that.
    ///   - fd: the file that it is mapped from, which is duplicated.
    ///   - fileOffset: where it begins in the file, in bytes.
    /// - Throws: EINVAL (no bytes, or a range that wraps around), EBADF, EMFILE.
    public init(
        guestAddress: UInt64, length: UInt64, userAddress: UInt64, fd: Int32, fileOffset: UInt64
    ) throws(ShmemError) {
        let region = try MemoryTableRegion.checked(
            guestAddress: guestAddress, length: length, userAddress: userAddress, fileOffset: fileOffset)
        range = Range(region, nil, try MemoryFile.make(fd))
    }

    /// Another range of the file of `other`, whose descriptor both use: a guest may have hundreds of ranges of one file. Throws EINVAL.
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
        // The table of memory knows no range that may only be read.
        guard it.isWritable else { throw it.notShared(EACCES, "it is read-only, and guest memory is not") }
        guard mapping.fd >= 0 else { throw it.notShared(EBADF, "its region keeps no descriptors of files") }
        guard guestAddress.isMultiple(ofPage: Page.size) else {
            throw it.notShared(EINVAL, "the guest's address is no multiple of the page size")
        }
        let pages = ByteRange(start: it.offset, length: it.length)?.roundedUp(to: Page.size)
        let region = try MemoryTableRegion.checked(
            guestAddress: guestAddress, length: pages?.length ?? it.length, userAddress: UInt64(UInt(bitPattern: host)),
            fileOffset: it.fileOffset)
        // The file is the back-end's that had it mapped.
        range = Range(region, mapping, try MemoryFile.make(mapping.fd, of: CloseAccount()))
    }

    /// Whether a back-end could map it. Throws EINVAL, EACCES.
    func check() throws(ShmemError) {
        try range.file.check(region)
    }

    /// The same range of the guest, seen through the same file: nothing that a back-end would have to be told.
    func isSame(as other: GuestMemory) -> Bool {
        region == other.region && range.file.identity == other.range.file.identity
    }

    /// Shared memory that is mapped no more.
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

/// What a back-end is to know of the guest's memory, and what it knows.
struct MemoryTableState {
    /// In the order in which it was given.
    var wanted: [GuestMemory] = []
    /// What was sent.
    var told: [GuestMemory] = []
    /// The messages of a change are under way.
    var isBeingTold = false
    /// What was wanted before that, and is again if it fails.
    var former: [GuestMemory] = []
    /// Called when they were answered: a start waits for that.
    var whenTold: (() -> Void)?

    /// What has to be said so that the back-end knows what it is to know. `slots`: nil, regions can't be added one by one.
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

/// What the VMM says of guest memory.
enum MemoryChange {
    /// All of the guest's RAM.
    case ram([GuestMemory])
    case share(GuestMemory)
    case unshare(Mapping)

    /// What the back-end is to know then. What is mapped no more is shared no more.
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
        // Without a descriptor: some back-ends take one for a fault.
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
