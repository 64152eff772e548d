// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux

/// A file descriptor that this value owns: it is closed when the value goes, on every path. If a descriptor changes its owner
/// between the program and the library, it does so as an `OwnedDescriptor`. A plain number stays its owner's: the library uses
/// it during the call, or duplicates it.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The number; use it while this value exists.
    public private(set) var raw: Int32
    /// The account of the peer that sent it. Its close may wait, so another thread closes it. nil: the descriptor is the
    /// library's own, or the program's.
    private let account: CloseAccount?

    /// Takes over an open descriptor.
    ///
    /// - Parameter raw: its number. Nobody else may close it from now on.
    public init(owning raw: Int32) {
        self.init(owning: raw, of: nil)
    }

    /// With an account: a peer may have sent it.
    init(owning raw: Int32, of account: CloseAccount?) {
        self.raw = raw
        self.account = account
    }

    deinit {
        guard raw >= 0 else { return }
        if let account { OwnedDescriptor.closeReceived(raw, of: account) } else { OwnedDescriptor.close(raw) }
    }

    /// Gives the descriptor up without closing it.
    ///
    /// - Returns: its number, which the caller must close.
    public consuming func release() -> Int32 {
        // Embedded Swift has no `discard self` here: deinit skips a released descriptor.
        let released = raw
        raw = -1
        return released
    }

    /// A second descriptor for the same open file.
    static func duplicate(_ raw: Int32, of account: CloseAccount? = nil) throws(Errno) -> OwnedDescriptor {
        OwnedDescriptor(owning: try systemCall(.dup) { vhu_fcntl_dupfd_cloexec(raw) }, of: account)
    }

    /// Opens the same file for reading alone. It never waits for a file in memory or on a local disk. Throws EWOULDBLOCK (the
    /// file has a lease), EACCES, ENXIO (there is no such file to open: a dma-buf's), ENOENT (there is no /proc), EMFILE.
    static func reopenReadOnly(_ raw: Int32, of account: CloseAccount) throws(Errno) -> OwnedDescriptor {
        OwnedDescriptor(owning: try systemCall(.open) { vhu_reopen_read_only(raw) }, of: account)
    }

    /// Whether the number stands for an open file.
    static func isOpen(_ raw: Int32) -> Bool {
        (try? systemCall(.fcntl) { vhu_fcntl_get_flags(raw) }) != nil
    }

    static func isReadableAndWritable(_ raw: Int32) -> Bool {
        guard let flags = try? systemCall(.fcntl, { vhu_fcntl_get_flags(raw) }) else { return false }
        return flags & O_ACCMODE == O_RDWR
    }

    /// Whether it is open for reading alone.
    static func isReadOnly(_ raw: Int32) -> Bool {
        guard let flags = try? systemCall(.fcntl, { vhu_fcntl_get_flags(raw) }) else { return false }
        return flags & O_ACCMODE == O_RDONLY
    }

    /// A close that fails has closed all the same (Linux). It must not be tried again after EINTR: the number may be another
    /// file's.
    static func close(_ raw: Int32) {
        systemCallOnce(.close) { CLinux.close(raw) }
    }
}

/// Identifies a file.
struct FileIdentity: Equatable {
    let device: UInt64
    let inode: UInt64
}

/// What the kernel knows of an open file, as far as a map needs it.
struct FileStatus {
    private let status: vhu_file_status

    /// Asks only the kernel: the file may be one of a FUSE server that never answers.
    init(of fd: Int32) throws(Errno) {
        var status = vhu_file_status()
        _ = try systemCall(.statx) { unsafe vhu_statx_cached(fd, &status) }
        self.status = status
    }

    private var mode: UInt32 { UInt32(status.mode) }
    var isRegular: Bool { vhu_is_regular(mode) }
    var isDirectory: Bool { vhu_is_directory(mode) }
    var isSocket: Bool { vhu_is_socket(mode) }
    var isFifo: Bool { vhu_is_fifo(mode) }
    var isPipeOrSocket: Bool { isSocket || isFifo }
    /// An object of the kernel that is no file, such as an eventfd. Only the kernel serves it.
    var isAnonymous: Bool { vhu_is_anonymous(mode) }
    var size: UInt64 { status.size }
    /// It is in a folder.
    var hasName: Bool { status.has_name }
    var blockSize: UInt64 { UInt64(status.block_size) }
    var identity: FileIdentity { FileIdentity(device: status.device, inode: status.inode) }
    private var isOnBlockDevice: Bool { status.on_block_device }

    /// Whether it is a regular file of ext4 or XFS: their mmap depends on no other process. (That of a FUSE file system asks a
    /// process, which may refuse.)
    func isOnLocalDisk(_ fd: Int32) -> Bool {
        guard isRegular, isOnBlockDevice, let type = try? FileStatus.fileSystemType(of: fd) else { return false }
        return type == VHU_EXT4_MAGIC || type == VHU_XFS_MAGIC
    }

    /// Whether it is an eventfd. If the kernel cannot tell, /proc names it: no file has such a name, because those begin with a
    /// slash.
    static func isEventfd(_ fd: Int32) -> Bool {
        EventSignal.isEventfd(fd) ?? ((try? systemCall(.readlink) { vhu_is_eventfd(fd) }) == 1)
    }

    /// The same; if nothing can tell, each object of the kernel may be an eventfd.
    func mayBeEventfd(_ fd: Int32) -> Bool {
        isAnonymous && (EventSignal.isEventfd(fd) ?? ((try? systemCall(.readlink) { vhu_is_eventfd(fd) }) != 0))
    }

    /// The bytes that a file has in memory or on its disk, as far as the kernel alone knows.
    static func allocated(_ fd: Int32) -> Int64? {
        try? systemCall(.statx) { vhu_allocated(fd) }
    }

    private static func fileSystemType(of fd: Int32) throws(Errno) -> Int64 {
        var status = statfs()
        _ = try systemCall(.fstatfs) { unsafe fstatfs(fd, &status) }
        return Int64(status.f_type)
    }

    /// The page size of a hugetlb file; nil: it is not one.
    static func hugePageSize(of fd: Int32) throws(Errno) -> UInt64? {
        var status = statfs()
        _ = try systemCall(.fstatfs) { unsafe fstatfs(fd, &status) }
        guard Int64(status.f_type) == VHU_HUGETLBFS_MAGIC else { return nil }
        return UInt64(clamping: status.f_bsize)
    }

    /// The seals of a memfd; nil: the file cannot have seals.
    static func seals(of fd: Int32) throws(Errno) -> Int32? {
        do throws(Errno) {
            return try systemCall(.fcntl) { vhu_fcntl_get_seals(fd) }
        } catch {
            if error.code == EINVAL { return nil }
            throw error
        }
    }
}
