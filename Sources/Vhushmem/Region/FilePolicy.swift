// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The policy of a region: which files it accepts.
public struct FilePolicy: OptionSet, Sendable {
    /// The bits.
    public let rawValue: UInt32

    /// Makes a policy of these bits.
    ///
    /// - Parameter rawValue: the bits.
    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// Whole pages beyond the end of a regular file; a touch of them raises SIGBUS.
    public static let allowBeyondEnd = FilePolicy(rawValue: 1 << 0)
    /// Only memfds that cannot shrink.
    public static let requireSealShrink = FilePolicy(rawValue: 1 << 1)
    /// No device and no dma-buf.
    public static let filesOnly = FilePolicy(rawValue: 1 << 2)

    /// Only memfds. Their mmap and close do not wait, while those of a FUSE or network file may.
    public static let memfdOnly = FilePolicy(rawValue: 1 << 3)

    static let all: FilePolicy = [.allowBeyondEnd, .requireSealShrink, .filesOnly, .memfdOnly]
}

/// The plan for mapping an accepted file.
struct FilePlan {
    let protection: Int32
    let flags: Int32
    /// The file's offset for mmap.
    let fileOffset: Int
    /// The pages that the mapping owns: the request's range, rounded up to whole pages.
    let pages: ByteRange
    /// The page size of the file, in bytes.
    let pageSize: UInt64
    /// The mmap of this kind of file refuses nothing that passes the checks here.
    let canMapInPlace: Bool
    /// The same, and nothing of the file must be kept.
    let canMapAtOnce: Bool
    /// The facts about the file in the mapping's identity, without a number yet.
    let facts: MappingIdentity

    /// It is in memory or on a local disk: a look at its pages waits for no other process or machine.
    var isLocal: Bool { facts.isLocal }
}

/// The properties of a file that decide how it is mapped.
private struct FileKind {
    /// 0 also if they need not be asked for.
    var seals: Int32 = 0
    /// Its own for hugetlb files.
    var pageSize = Page.size
    /// Its mmap refuses nothing that passes the checks here.
    var canMapInPlace = true
    var isLocal = true
    /// It may take long to free, and it has no name: only mappings and descriptors hold it.
    var isLarge = false
}

extension FilePolicy {
    /// Checks the file behind `fd` and makes the plan. `range`, of the request, is inside the region and begins at a page.
    @_optimize(speed)
    @inline(__always)
    func plan(_ request: SharedMemoryMap, _ range: ByteRange, fd: Int32, populate: Bool) throws(ShmemError) -> FilePlan {
        let status: FileStatus
        do throws(Errno) {
            status = try FileStatus(of: fd)
        } catch {
            throw ShmemError(error.code, request.mapSubject, .system("statx", error.code))
        }
        // The kernel itself checks the seals of a memfd. So this need not, unless the policy wants a further seal.
        guard isPlainMemfd(status), status.size <= OwnedDescriptor.quicklyFreed else {
            return try planForOther(status, request, range, fd: fd, populate: populate)
        }
        return try plan(status, FileKind(), request, range, populate: populate)
    }

    @inline(never)
    private func planForOther(
        _ status: FileStatus, _ request: SharedMemoryMap, _ range: ByteRange, fd: Int32, populate: Bool
    ) throws(ShmemError) -> FilePlan {
        var kind = isPlainMemfd(status) ? FileKind() : try kind(of: status, fd: fd, for: request.mapSubject)
        kind.isLarge = status.isRegular && !status.hasName && status.size > OwnedDescriptor.quicklyFreed
        return try plan(status, kind, request, range, populate: populate)
    }

    @inline(__always)
    private func plan(
        _ status: FileStatus, _ kind: FileKind, _ request: SharedMemoryMap, _ range: ByteRange, populate: Bool
    ) throws(ShmemError) -> FilePlan {
        let pageSize = kind.pageSize
        let isWritable = request.flags & SharedMemoryMap.readWrite != 0
        // One test covers all faults; which one it was is found out only on failure.
        guard pageSize.isPowerOfTwo, request.fileOffset.isMultiple(ofPage: pageSize),
            pageSize == Page.size || (range.start | range.length).isMultiple(ofPage: pageSize),
            let pages = range.roundedUp(to: pageSize),
            let filePages = ByteRange(start: request.fileOffset, length: pages.length), Int(exactly: filePages.end) != nil,
            isWithin(status, filePages, pageSize), !isWritable || kind.seals & FilePolicy.writeSeals == 0
        else {
            throw fault(in: status, kind, fileOffset: request.fileOffset, range, for: request.mapSubject)
        }
        // MAP_SHARED, except for a memfd that is sealed against writing: older kernels refuse that even for reading. Nothing
        // can write to such a memfd any more, so a private mapping shows the same bytes, on all kernels alike.
        let sharing = kind.seals & vhu_seal_write != 0 ? MAP_PRIVATE : MAP_SHARED
        return FilePlan(
            protection: isWritable ? PROT_READ | PROT_WRITE : PROT_READ,
            flags: sharing | (populate ? MAP_POPULATE : 0),
            fileOffset: Int(truncatingIfNeeded: request.fileOffset), pages: pages, pageSize: pageSize,
            canMapInPlace: kind.canMapInPlace, canMapAtOnce: kind.canMapInPlace && !kind.isLarge,
            facts: MappingIdentity(
                isLocal: kind.isLocal, hasHugePages: pageSize != Page.size,
                isOfLargeFile: kind.isLarge,
                pagesInFile: pagesInFile(status, filePages, pageSize)))
    }

    /// nil: all of them, or nothing can tell.
    @inline(__always)
    private func pagesInFile(_ status: FileStatus, _ pages: ByteRange, _ pageSize: UInt64) -> UInt64? {
        guard contains(.allowBeyondEnd), status.isRegular else { return nil }
        let (padded, overflow) = status.size.addingReportingOverflow(pageSize &- 1)
        guard !overflow, case let end = padded & ~(pageSize &- 1), end < pages.end else { return nil }
        return end > pages.start ? (end &- pages.start) / Page.size : 0
    }

    /// The page size of a file: its own for one of huge pages, the ordinary one for any other, and for a descriptor that is no
    /// file.
    static func pageSize(of fd: Int32) -> UInt64 {
        // Files that can have seals are in memory. No other file is asked: a FUSE server need not answer.
        guard let status = try? FileStatus(of: fd), status.isRegular, status.blockSize > Page.size,
            case .some(.some) = try? FileStatus.seals(of: fd),
            case .some(.some(let size)) = try? FileStatus.hugePageSize(of: fd)
        else { return Page.size }
        return max(size, Page.size)
    }

    private static var writeSeals: Int32 { vhu_seal_write | vhu_seal_future_write }

    /// A memfd of ordinary pages, whose seals need not be asked for.
    @inline(__always)
    private func isPlainMemfd(_ status: FileStatus) -> Bool {
        guard let device = RegionWindow.memfdDevice else { return false }
        return status.isRegular && status.identity.device == device && !contains(.requireSealShrink)
    }

    /// If the file fills its last page in part, that is a page of the file; the rest of it reads as zeros.
    @inline(__always)
    private func isWithin(_ status: FileStatus, _ pages: ByteRange, _ pageSize: UInt64) -> Bool {
        guard status.isRegular, !contains(.allowBeyondEnd) else { return true }
        let (padded, overflow) = status.size.addingReportingOverflow(pageSize &- 1)
        return overflow || pages.end <= padded & ~(pageSize &- 1)
    }

    /// The kind of any other file. Throws the objections of the policy.
    @inline(never)
    private func kind(of status: FileStatus, fd: Int32, for subject: ShmemError.Subject) throws(ShmemError) -> FileKind {
        if status.isDirectory { throw ShmemError(ENODEV, subject, .notMappable("directory")) }
        if status.isPipeOrSocket { throw ShmemError(ENODEV, subject, .notMappable("pipe or socket")) }
        if !status.isRegular, contains(.filesOnly) || contains(.memfdOnly) {
            throw ShmemError(EACCES, subject, .policy("devices"))
        }
        var kind = FileKind()
        let seals = try seals(status, fd: fd, for: subject)
        if seals != nil, status.blockSize > kind.pageSize {
            // Files that can have seals are in memory: either of shmem, where a large block means nothing, or of hugetlbfs,
            // whose pages are the blocks. No other file is asked: a FUSE server need not answer.
            do throws(Errno) {
                kind.pageSize = try FileStatus.hugePageSize(of: fd) ?? kind.pageSize
            } catch {
                throw ShmemError(error.code, subject, .system("fstatfs", error.code))
            }
        }
        kind.seals = seals ?? 0
        if contains(.memfdOnly) {
            // Memfds of huge pages are on a device of their own; a hugetlbfs file with a name is no memfd.
            let isMemfd =
                seals != nil && !status.hasName
                && (kind.pageSize > Page.size || status.identity.device == RegionWindow.deviceOfMemfds)
            if !isMemfd { throw ShmemError(EACCES, subject, .policy("files that are no memfds")) }
        }
        kind.isLocal = seals != nil || status.isOnLocalDisk(fd)
        // The file is mapped in place only if the kernel checks seals before it unmaps anything: they may have been set since
        // the check here.
        kind.canMapInPlace = kind.pageSize == Page.size && kind.isLocal && RegionWindow.memfdDevice != nil
        return kind
    }

    /// The objection to a request for that file.
    @inline(never)
    private func fault(
        in status: FileStatus, _ kind: FileKind, fileOffset: UInt64, _ range: ByteRange, for subject: ShmemError.Subject
    ) -> ShmemError {
        let pageSize = kind.pageSize
        guard pageSize.isPowerOfTwo, fileOffset.isMultiple(ofPage: pageSize) else {
            return ShmemError(EINVAL, subject, .unalignedFileOffset(fileOffset, pageSize: pageSize))
        }
        if pageSize > Page.size {
            guard range.start.isMultiple(ofPage: pageSize) else {
                return ShmemError(EINVAL, subject, .unalignedOffset(pageSize: pageSize))
            }
            guard range.length.isMultiple(ofPage: pageSize) else {
                return ShmemError(EINVAL, subject, .unalignedLength(pageSize: pageSize))
            }
        }
        guard let pages = range.roundedUp(to: pageSize),
            let filePages = ByteRange(start: fileOffset, length: pages.length), Int(exactly: filePages.end) != nil
        else { return ShmemError(EOVERFLOW, subject, .fileWrapsAround(fileOffset)) }
        guard isWithin(status, filePages, pageSize) else {
            return ShmemError(EOVERFLOW, subject, .fileTooShort(size: status.size, fileOffset: fileOffset))
        }
        return ShmemError(EPERM, subject, .sealed)
    }

    /// The file's seals; nil: its kind can have none, or it need not be asked.
    private func seals(_ status: FileStatus, fd: Int32, for subject: ShmemError.Subject) throws(ShmemError) -> Int32? {
        // A memfd has no name in a file system, and a hugetlb file has large blocks. To ask every file would cost a useless
        // system call for each mapping.
        let mayHaveSeals = status.isRegular && (!status.hasName || status.blockSize > Page.size)
        let mustNotShrink = contains(.requireSealShrink)
        guard mayHaveSeals || mustNotShrink else { return nil }
        let seals: Int32?
        do throws(Errno) {
            seals = try FileStatus.seals(of: fd)
        } catch {
            throw ShmemError(error.code, subject, .system("fcntl", error.code))
        }
        if mustNotShrink, (seals ?? 0) & vhu_seal_shrink == 0 { throw ShmemError(EPERM, subject, .shrinkable) }
        return seals
    }
}
