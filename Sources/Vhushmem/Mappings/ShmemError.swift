// SPDX-License-Identifier: BSD-3-Clause

/// The only error type of the library: an errno value and a sentence. The sentence is put together only when it is read. So a
/// peer whose requests are refused a million times does not make the library build a million strings.
public struct ShmemError: Error, Equatable, CustomStringConvertible {
    /// A positive errno value. The documentation of each function lists its values.
    public let code: Int32
    /// The same value with a name.
    public var errno: Errno { Errno(rawValue: code) }
    /// A reference, because errors pass through nearly every function: each would copy the two values.
    private let why: Why

    private final class Why: Sendable {
        let subject: Subject
        let reason: Reason

        init(_ subject: Subject, _ reason: Reason) {
            self.subject = subject
            self.reason = reason
        }
    }

    var subject: Subject { why.subject }
    var reason: Reason { why.reason }

    @inline(never)
    init(_ code: Int32, _ subject: Subject, _ reason: Reason) {
        self.code = code
        why = Why(subject, reason)
    }

    @inline(never)
    init(_ code: Int32, _ sentence: Sentence) {
        self.init(code, .nothing, .text(sentence.text))
    }

    /// An error that a handler of the program throws.
    ///
    /// - Parameters:
    ///   - errno: the reason.
    ///   - message: a sentence for people; nil: the kernel's wording.
    public init(_ errno: Errno, _ message: String? = nil) {
        let sentence = message.map { Sentence(stringLiteral: $0) } ?? "\(Vhushmem.Errno.text(errno.rawValue))"
        self.init(errno.rawValue, sentence)
    }

    /// Whether both have the same errno and the same sentence.
    public static func == (left: ShmemError, right: ShmemError) -> Bool {
        left.code == right.code && (left.why === right.why || left.message.utf8.elementsEqual(right.message.utf8))
    }

    /// The request that failed.
    enum Subject {
        case nothing
        case map(shmid: UInt8, offset: UInt64, length: UInt64)
        case unmap(shmid: UInt8, offset: UInt64, length: UInt64)
        case alloc(shmid: UInt8, length: UInt64)
        case access(shmid: UInt8, offset: UInt64, length: UInt64, isWrite: Bool)
        case region(shmid: UInt8, size: UInt64)
        case request(UInt32)
        case memory(size: UInt64)
    }

    /// The reason why it failed.
    enum Reason {
        case text(String)
        case system(StaticString, Int32)
        case zeroLength
        case unalignedOffset(pageSize: UInt64)
        case unalignedFileOffset(UInt64, pageSize: UInt64)
        case unalignedLength(pageSize: UInt64)
        case badAlignment(UInt64, pageSize: UInt64)
        case unknownFlags(UInt64)
        case wrapsAround
        case beyondEnd(size: UInt64)
        case overlap(MappingRecord)
        case noSuchRegion
        case nothingMapped
        case beingUndone
        case cannotBeMoved(pageSize: UInt64)
        case changedTooOften
        case holeAt(UInt64)
        case readOnlyAt(UInt64)
        case lostAt(UInt64)
        case notWhole(MappingRecord)
        case fileWrapsAround(UInt64)
        case fileTooShort(size: UInt64, fileOffset: UInt64)
        case notMappable(StaticString)
        case notOpenFor(StaticString)
        case policy(StaticString)
        case sealed
        case shrinkable
        case quota(Quota.Shortage, of: StaticString)
        case keptFiles(limit: UInt64)
        case addressSpace(limit: UInt64)
        case allAddressSpace(limit: UInt64)
        case processBudget(limit: Int)
        case kernelBudget
        case noFreeRange(size: UInt64)
        case wrongPayload(expected: Int, got: Int)
        case wrongDescriptors(expected: Int, got: Int)
        case tooManyDescriptors
        case descriptorsLost
        case reservedFlags(UInt32)
        case notServed
        case notNegotiated
        case duringReset
        case deviceGone
        case exists
    }

    /// The message.
    public var description: String { message }

    /// A sentence for people: the request and the reason, with offsets and sizes in hexadecimal. The wording may change.
    public var message: String {
        if case .nothing = subject { return reason.sentence.text }
        return subject.phrase.text + ": " + reason.sentence.text
    }
}

/// The form that offsets and sizes have in every message: 0x and hexadecimal digits.
@inline(never)
func hex(_ value: UInt64) -> String {
    "0x" + String(value, radix: 16)
}

extension ShmemError.Subject {
    var phrase: Sentence {
        switch self {
        case .nothing: ""
        case .map(let shmid, let offset, let length): "cannot map \(hex(length)) bytes at \(hex(offset)) of region \(shmid)"
        case .unmap(let shmid, let offset, let length): "cannot unmap \(hex(length)) bytes at \(hex(offset)) of region \(shmid)"
        case .alloc(let shmid, let length): "cannot find room for \(hex(length)) bytes in region \(shmid)"
        case .access(let shmid, let offset, let length, let isWrite):
            "cannot \(isWrite ? "write" : "read") \(hex(length)) bytes at \(hex(offset)) of region \(shmid)"
        case .region(let shmid, let size): "cannot make region \(shmid) of \(hex(size)) bytes"
        case .memory(let size): "cannot make a memory region of \(hex(size)) bytes"
        case .request(let id): "cannot serve request \(id)"
        }
    }
}

extension ShmemError.Reason {
    var sentence: Sentence {
        switch self {
        case .text(let text): return Sentence(stringLiteral: text)
        case .system(let call, let code): return "\(call): \(Vhushmem.Errno.text(code)) (errno \(code))"
        case .zeroLength: return "the length is 0"
        case .unalignedOffset(let page): return "the offset is no multiple of the page size, \(hex(page))"
        case .unalignedFileOffset(let offset, let page):
            return "the file offset \(hex(offset)) is no multiple of the page size, \(hex(page))"
        case .unalignedLength(let page): return "the length is no multiple of the page size, \(hex(page))"
        case .badAlignment(let alignment, let page):
            return "the alignment \(hex(alignment)) is no power of two, or smaller than the page size, \(hex(page))"
        case .unknownFlags(let flags): return "the flags \(hex(flags)) have unknown bits"
        case .wrapsAround: return "the range wraps around"
        case .beyondEnd(let size): return "the region ends at \(hex(size))"
        case .overlap(let record): return "it overlaps the mapping at \(hex(record.start)) (\(hex(record.length)) bytes)"
        case .noSuchRegion: return "the device has no such region"
        case .nothingMapped: return "nothing is mapped there"
        case .beingUndone: return "the mapping there is being undone"
        case .cannotBeMoved(let pageSize):
            return "this kernel cannot put a mapping of the file, with pages of \(hex(pageSize)) bytes, into a window"
                + " without opening a gap in it (huge pages need Linux 5.16)"
        case .changedTooOften: return "the mappings there changed each time while they were copied"
        case .holeAt(let offset): return "nothing is mapped at \(hex(offset))"
        case .readOnlyAt(let offset): return "the mapping at \(hex(offset)) is read-only"
        case .lostAt(let offset): return "the file has lost the page at \(hex(offset))"
        case .notWhole(let record):
            return "the mapping there begins at \(hex(record.start)) and has \(hex(record.length)) bytes,"
                + " and only a whole mapping can be undone"
        case .fileWrapsAround(let offset): return "the range of the file, from \(hex(offset)) on, wraps around"
        case .fileTooShort(let size, let offset):
            return "the file has only \(hex(size)) bytes: from its offset \(hex(offset)) on"
                + " whole pages lie beyond its end"
        case .notMappable(let what): return "a \(what) cannot be mapped"
        case .notOpenFor(let what): return "the file is not open for \(what)"
        case .policy(let what): return "the region's fd policy excludes \(what)"
        case .sealed: return "the memfd is sealed against writing"
        case .shrinkable: return "the region's fd policy demands a memfd with F_SEAL_SHRINK"
        case .quota(.mappings(let limit), let owner): return "the \(owner) has reached its quota of \(limit) mappings"
        case .quota(.bytes(let used, let limit), let owner):
            return "the \(owner) has \(hex(used)) bytes mapped of its quota of \(hex(limit))"
        case .keptFiles(let limit):
            return "the limit of \(limit) kept descriptors is reached (max_kept_fds, RLIMIT_NOFILE)"
        case .addressSpace(let limit):
            return "the device's windows may take \(hex(limit)) bytes of addresses (max_address_space)"
        case .allAddressSpace(let limit):
            return "all windows, and what front-ends give, may take \(hex(limit)) bytes of addresses"
        case .kernelBudget: return "the kernel grants this process no more separate mappings (vm.max_map_count)"
        case .processBudget(let limit):
            return "the process has used up its budget of \(limit) separate mappings (vm.max_map_count)"
        case .noFreeRange(let size): return "no free range of the region (\(hex(size)) bytes) is large enough"
        case .wrongPayload(let expected, let got): return "its payload is \(got) bytes long and not \(expected)"
        case .wrongDescriptors(let expected, let got): return "it came with \(got) file descriptors and not \(expected)"
        case .tooManyDescriptors: return "it came with more than 8 file descriptors"
        case .descriptorsLost: return "its file descriptors got lost: this process has no free ones left"
        case .reservedFlags(let flags): return "its header has unknown flags, \(hex(UInt64(flags)))"
        case .notServed: return "no callback serves it"
        case .notNegotiated: return "SHMEM was not negotiated"
        case .duringReset: return "it was sent before the device was reset"
        case .deviceGone: return "the device of the region is gone"
        case .exists: return "the device has a region with this id"
        }
    }
}
