// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import CVhushmem
import Synchronization

/// A description of a live mapping.
public struct MappingDescription: Sendable {
    /// The region's id.
    public let shmid: UInt8
    /// First byte in the region.
    public let offset: UInt64
    /// Bytes, as they were asked for.
    public let length: UInt64
    /// First byte in the file.
    public let fileOffset: UInt64
    /// Whether the guest may write to it.
    public let isWritable: Bool
    /// Its file has lost pages that were touched, and they show zeros until it has them again; or a page takes no writes, and
    /// they stay in this process.
    public let isBroken: Bool

    init(_ asked: SharedMemoryMap, isBroken: Bool) {
        shmid = asked.shmid
        offset = asked.offset
        length = asked.length
        fileOffset = asked.fileOffset
        isWritable = asked.flags & SharedMemoryMap.readWrite != 0
        self.isBroken = isBroken
    }

    var lossError: ShmemError {
        ShmemError(
            EIO,
            "the file of the mapping at \(hex(offset)) of region \(shmid) (\(hex(length)) bytes) has lost pages or takes no writes: memory"
                + " that nobody shares stands there")
    }
}

/// One mapping, as an object that can be held: it is first described, then added to a region, and in the end gone from it.
///
/// A live mapping that the program did not ask for has no such object: it only has a record in the region's table.
///
/// Any thread may use it. Unchecked Sendable: `file` is guarded.
@safe public final class Mapping: @unchecked Sendable {
    /// Must come first (`inFront`).
    private var fields = unsafe vhushmem_mapping_fields()
    let asked: SharedMemoryMap
    /// The file, until the mapping is added. Then the kernel holds the file, and this holds it only in a region that keeps
    /// files.
    private var file: Lock<Mapping>.Guarded<OwnedDescriptor?>
    /// Guards the files of all mappings. Nothing that may wait is done while it is held.
    private static let files = Lock<Mapping>()
    /// The address of byte 0 in this process while the mapping is live; 0 before and after. Any thread reads it.
    private let host: Atomic<UInt>
    private let wasAdded: Atomic<Bool>
    /// The descriptor counts for a quota: a region keeps it for a back-end.
    private var share: KeptFile?
    private let isBroken = Atomic(false)

    /// Describes a mapping that does not exist yet. The region checks the numbers when it is added.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - fd: the file, which is duplicated.
    ///   - fileOffset: first byte in the file; a multiple of the page size.
    ///   - offset: first byte in the region; a multiple of the page size.
    ///   - length: bytes.
    ///   - writable: the guest may write to it.
    /// - Throws: EBADF (`fd` is not open), EMFILE.
    public convenience init(
        shmid: UInt8, fd: Int32, fileOffset: UInt64, offset: UInt64, length: UInt64, writable: Bool
    ) throws(ShmemError) {
        let flags = writable ? SharedMemoryMap.readWrite : 0
        let asked = SharedMemoryMap(shmid: shmid, fileOffset: fileOffset, offset: offset, length: length, flags: flags)
        try self.init(asked, fd: fd)
    }

    /// `account`: of the peer that has sent the file.
    init(_ asked: SharedMemoryMap, fd: Int32, of account: CloseAccount = CloseAccount(), counted share: KeptFile? = nil)
        throws(ShmemError)
    {
        self.asked = asked
        host = Atomic(0)
        wasAdded = Atomic(false)
        self.share = share
        // This comes before anything is thrown: Embedded Swift leaks an object whose initialiser gives up earlier.
        file = .init(nil)
        fillFields()
        do throws(Errno) {
            file = .init(try OwnedDescriptor.duplicate(fd, of: account))
        } catch {
            throw ShmemError(error.code, asked.mapSubject, .system("cannot duplicate the descriptor", error.code))
        }
    }

    /// The object of a mapping that is live already.
    init(live record: MappingRecord, of shmid: UInt8, at host: UnsafeMutableRawPointer) {
        asked = record.request(of: shmid)
        isBroken.store(MappingWord(bits: record.word).isBroken, ordering: .relaxed)
        file = .init(nil)
        self.host = Atomic(UInt(bitPattern: host))
        wasAdded = Atomic(true)
        fillFields()
    }

    /// The numbers of the mapping, and whether it is broken.
    public var description: MappingDescription {
        MappingDescription(asked, isBroken: isBroken.load(ordering: .relaxed))
    }

    /// The address of byte 0 of the mapping, while it is live.
    public var baseAddress: UnsafeMutableRawPointer? {
        unsafe UnsafeMutableRawPointer(bitPattern: host.load(ordering: .acquiring))
    }

    /// Claims the mapping for a region, once. False: it was added before.
    func claim() -> Bool {
        wasAdded.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged
    }

    /// Gives a claim back after the region refused.
    func unclaim() {
        wasAdded.store(false, ordering: .releasing)
    }

    /// The descriptor to map from; -1 when the mapping has none any more. Valid for the claimer of the mapping until it is
    /// live; after that, in a region that keeps files, as long as the mapping is held.
    var fd: Int32 {
        Mapping.files.withLock { held in
            switch file[held] {
            case .some(let file): file.raw
            case .none: -1
            }
        }
    }

    /// Makes a new descriptor of the mapping's file.
    ///
    /// - Returns: the descriptor.
    /// - Throws: ENOENT if none was kept: the mapping is not part of a region that keeps files (`RegionOptions.keepsFiles`), or
    ///   was live before the program held it; EMFILE.
    public func duplicateDescriptor() throws(ShmemError) -> OwnedDescriptor {
        let made = Mapping.files.withLock { held -> Result<Int32, Errno>? in
            switch file[held] {
            case .none: return nil
            case .some(let file):
                do throws(Errno) {
                    return .success(try OwnedDescriptor.duplicate(file.raw).release())
                } catch {
                    return .failure(error)
                }
            }
        }
        switch made {
        case .success(let fd): return OwnedDescriptor(owning: fd)
        case .failure(let error):
            throw ShmemError(
                error.code,
                "no descriptor for the mapping at \(hex(asked.offset)) of region \(asked.shmid): \(Errno.text(error.code))")
        case nil:
            throw ShmemError(
                ENOENT, "no descriptor of the mapping at \(hex(asked.offset)) of region \(asked.shmid) was kept")
        }
    }

    func becomeLive(at host: UnsafeMutableRawPointer) {
        self.host.store(UInt(bitPattern: host), ordering: .releasing)
    }

    /// Closes the file. That may wait for the file's server, so no lock may be held.
    func letFileGo() {
        let gone = Mapping.files.withLock { held in file[held].take() }
        _ = consume gone
    }

    func setBroken(_ isSo: Bool) {
        isBroken.store(isSo, ordering: .relaxed)
    }

    func becomeGone() {
        host.store(0, ordering: .releasing)
    }
}

/// The word that a region keeps with each record: whether the mapping is writable, its state, and the mapping's object if there
/// is one.
struct MappingWord {
    private static let writableBit: UInt64 = 1
    private static let brokenBit: UInt64 = 2
    private static let zeroTailBit: UInt64 = 4
    private static let toldBrokenBit: UInt64 = 8
    private static let handleMask = ~UInt64(0xf)

    private(set) var bits: UInt64

    init(bits: UInt64) {
        self.bits = bits
    }

    /// The object, if any, is retained as long as the record lives.
    init(writable: Bool, retaining mapping: Mapping? = nil) {
        bits = writable ? MappingWord.writableBit : 0
        if let mapping {
            // An object's address is a multiple of 16, so the low bits are free for the flags.
            unsafe bits |= UInt64(UInt(bitPattern: Unmanaged.passRetained(mapping).toOpaque()))
        }
    }

    /// The same for a mapping that has no object yet.
    func retaining(_ mapping: Mapping) -> MappingWord {
        MappingWord(bits: bits & ~MappingWord.handleMask | MappingWord(writable: false, retaining: mapping).bits)
    }

    var isWritable: Bool { bits & MappingWord.writableBit != 0 }
    var readOnly: MappingWord { MappingWord(bits: bits & ~MappingWord.writableBit) }

    /// Its file has lost pages that were touched, or a page takes no writes.
    var isBroken: Bool { bits & MappingWord.brokenBit != 0 }
    var broken: MappingWord { MappingWord(bits: bits | MappingWord.brokenBit) }
    var whole: MappingWord { MappingWord(bits: bits & ~MappingWord.brokenBit) }

    /// The program was told that last.
    var isToldBroken: Bool { bits & MappingWord.toldBrokenBit != 0 }
    /// The same after the program was told the present state.
    var told: MappingWord {
        MappingWord(bits: bits & ~MappingWord.toldBrokenBit | (isBroken ? MappingWord.toldBrokenBit : 0))
    }

    /// All pages from the first lost one on show zeros for good, which is one more separate mapping.
    var hasZeroTail: Bool { bits & MappingWord.zeroTailBit != 0 }
    var withZeroTail: MappingWord { MappingWord(bits: bits | MappingWord.brokenBit | MappingWord.zeroTailBit) }

    var mapping: Mapping? {
        unsafe handle?.takeUnretainedValue()
    }

    /// The record has gone, and the object shows it. The record's reference to the object is still there.
    @inline(__always)
    func becomeGone() {
        unsafe handle?.takeUnretainedValue().becomeGone()
    }

    /// Releases the record's reference to the object. If it was the last one, a file may be closed, and that may wait: no lock
    /// may be held.
    @inline(__always)
    func release() {
        unsafe handle?.release()
    }

    private var handle: Unmanaged<Mapping>? {
        // SAFETY: the bits were made from a retained Mapping above and are released only by `release`.
        unsafe UnsafeRawPointer(bitPattern: UInt(bits & MappingWord.handleMask)).map { unsafe Unmanaged.fromOpaque($0) }
    }
}

extension MappingRecord {
    /// The request that made it.
    func request(of shmid: UInt8) -> SharedMemoryMap {
        let flags = MappingWord(bits: word).isWritable ? SharedMemoryMap.readWrite : 0
        return SharedMemoryMap(shmid: shmid, fileOffset: fileOffset, offset: start, length: length, flags: flags)
    }
}
