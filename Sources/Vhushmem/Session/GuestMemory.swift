// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A range of guest memory that the VMM shares with its back-end.
public struct GuestMemory {
    /// Where the guest has it.
    public let guestAddress: UInt64
    /// Bytes.
    public let length: UInt64
    /// Where this process has it: what the addresses of virtqueues refer to.
    public let userAddress: UInt64
    /// Where it begins in the file.
    public let fileOffset: UInt64
    let file: Eventfd
    private let identity: FileIdentity

    /// `fd`, the file that the memory is mapped from, is duplicated. Throws EINVAL (no bytes, or a range that wraps around), EBADF, EMFILE.
    public init(
        guestAddress: UInt64, length: UInt64, userAddress: UInt64, fd: Int32, fileOffset: UInt64
    ) throws(ShmemError) {
        guard length > 0, ByteRange(start: guestAddress, length: length) != nil,
            ByteRange(start: userAddress, length: length) != nil, ByteRange(start: fileOffset, length: length) != nil
        else {
            throw ShmemError(EINVAL, "\(hex(length)) bytes at the guest's \(hex(guestAddress)) are no range of memory")
        }
        do throws(Errno) {
            file = Eventfd(try FileDescriptor.duplicate(fd))
            identity = try FileStatus(of: fd).identity
        } catch {
            throw ShmemError(error.code, "looking at the descriptor of guest memory: \(Errno.text(error.code))")
        }
        self.guestAddress = guestAddress
        self.length = length
        self.userAddress = userAddress
        self.fileOffset = fileOffset
    }

    var region: MemoryTableRegion {
        MemoryTableRegion(
            guestAddress: guestAddress, length: length, userAddress: userAddress, fileOffset: fileOffset)
    }

    /// The same range of the guest, seen through the same file: nothing that a back-end would have to be told.
    func isSame(as other: GuestMemory) -> Bool {
        region == other.region && identity == other.identity
    }

    func overlaps(_ other: GuestMemory) -> Bool {
        guestAddress < other.guestAddress &+ other.length && other.guestAddress < guestAddress &+ length
    }
}

/// What a back-end is to know of the guest's memory, and what it knows.
struct MemoryTableState {
    /// In the order in which it was given.
    var wanted: [GuestMemory] = []
    /// What was sent.
    var told: [GuestMemory] = []

    /// What has to be said so that the back-end knows what it is to know. `slots`: nil, regions can't be added one by one.
    func questions(slots: UInt64?) throws(ShmemError) -> [MemoryQuestion] {
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

/// One message about guest memory.
enum MemoryQuestion {
    case table(MemoryTable, [GuestMemory])
    case remove(GuestMemory)
    case add(GuestMemory)

    var question: FrontendQuestion<Void> {
        switch self {
        case .table(let table, let ranges):
            return FrontendQuestion(
                .setMemTable, encoded(table.size, table.encode), descriptors: ranges.map { $0.file })
        // Without a descriptor: some back-ends take one for a fault.
        case .remove(let range):
            return FrontendQuestion(.remMemReg, encoded(SingleMemoryRegion.size, SingleMemoryRegion(range.region).encode))
        case .add(let range):
            return FrontendQuestion(
                .addMemReg, encoded(SingleMemoryRegion.size, SingleMemoryRegion(range.region).encode),
                descriptors: [range.file])
        }
    }
}
