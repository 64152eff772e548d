// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The file of ranges of guest memory, with a descriptor of its own. By reference: a guest may have hundreds of ranges of one
/// file.
final class MemoryFile {
    let descriptor: SharedDescriptor
    let identity: FileIdentity
    /// Bytes; nil: only a regular file tells its size.
    private let size: UInt64?

    private init(_ descriptor: SharedDescriptor, _ status: FileStatus) {
        self.descriptor = descriptor
        identity = status.identity
        size = status.isRegular ? status.size : nil
    }

    /// `fd` is duplicated. Throws EBADF, EMFILE.
    static func make(_ fd: Int32, of account: CloseAccount? = nil) throws(ShmemError) -> MemoryFile {
        do throws(Errno) {
            let descriptor = SharedDescriptor(try OwnedDescriptor.duplicate(fd, of: account))
            return MemoryFile(descriptor, try FileStatus(of: fd))
        } catch {
            throw ShmemError(error.code, "cannot look at the descriptor of guest memory: \(Errno.text(error.code))")
        }
    }

    /// Checks that a back-end could map the range: some back-ends die if they cannot. Throws EINVAL (an odd range, one beyond
    /// the end of the file, or no file), EACCES (it cannot be written).
    func check(_ range: MemoryTableRegion) throws(ShmemError) {
        guard (range.guestAddress | range.length | range.fileOffset).isMultiple(ofPage: Page.size) else {
            throw range.fault(
                EINVAL, "an address, a length or an offset in the file is no multiple of the page size \(hex(Page.size))")
        }
        if let size {
            guard range.fileOffset < size else {
                throw range.fault(EINVAL, "it begins at \(hex(range.fileOffset)) of a file of \(hex(size)) bytes")
            }
            guard OwnedDescriptor.isReadableAndWritable(descriptor.fd) else {
                throw range.fault(EACCES, "the descriptor \(descriptor.fd) is not open for reading and writing")
            }
            return
        }
        do throws(Errno) {
            // Only the kernel can tell what else can be mapped.
            let page = try unsafe MemoryCalls.map(
                nil, Int(clamping: Page.size), protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED | MAP_NORESERVE,
                fd: descriptor.fd, offset: Int(clamping: range.fileOffset))
            try? unsafe MemoryCalls.unmap(page, Int(clamping: Page.size))
        } catch {
            throw range.fault(
                error.code == EACCES ? EACCES : EINVAL,
                "the file of the descriptor cannot be mapped: \(Errno.text(error.code)) (errno \(error.code))")
        }
    }
}

extension MemoryTableRegion {
    /// Throws EINVAL: no bytes, or a range that wraps around.
    static func checked(
        guestAddress: UInt64, length: UInt64, userAddress: UInt64, fileOffset: UInt64
    ) throws(ShmemError) -> MemoryTableRegion {
        let region = MemoryTableRegion(
            guestAddress: guestAddress, length: length, userAddress: userAddress, fileOffset: fileOffset)
        guard length > 0, ByteRange(start: guestAddress, length: length) != nil,
            ByteRange(start: userAddress, length: length) != nil, ByteRange(start: fileOffset, length: length) != nil
        else { throw region.fault(EINVAL, "it is empty, or it wraps around") }
        return region
    }

    func fault(_ code: Int32, _ why: Sentence) -> ShmemError {
        ShmemError(code, "guest memory of \(hex(length)) bytes at \(hex(guestAddress)): \(why.text)")
    }
}
