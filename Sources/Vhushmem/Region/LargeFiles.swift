// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Files in memory that a device has mapped and that take long to free. The device keeps a descriptor of each until its last
/// mapping is gone. Then the closer gets the descriptor, so that no thread that serves requests frees the file. For files
/// beyond the quota, one page is mapped once more while a mapping is undone (`makeTail`).
///
/// A file that grows after it was mapped is not among them: a mapping does not show its file's size.
struct LargeFiles {
    /// In a mapping's identity: it is not known yet which file it is, or no descriptor of it is kept.
    static let unknown: UInt64 = 63
    private static let most = 62

    private struct File {
        let identity: FileIdentity
        let fd: Int32
        let share: KeptFile
        var mappings = 1
    }

    /// By number, minus one.
    private var files: [File?] = []
    private var count = 0
    /// Mappings of large files without a descriptor.
    private(set) var unkept = 0

    var isEmpty: Bool { count == 0 && unkept == 0 }

    /// Counts one more mapping of this file. Returns the file's number, or `unknown`; 0: the file cannot be large.
    mutating func hold(_ fd: Int32, _ quota: SharedQuota) -> UInt64 {
        guard let status = try? FileStatus(of: fd), status.isRegular else { return 0 }
        var free = files.count
        for index in files.indices.reversed() {
            guard let file = files[index] else {
                free = index
                continue
            }
            if file.identity == status.identity {
                files[index]?.mappings = file.mappings &+ 1
                return UInt64(index &+ 1)
            }
        }
        guard free < LargeFiles.most, let share = KeptFile.takeSpare(of: quota),
            let kept = try? systemCall(.dup, { vhu_fcntl_dupfd_cloexec(fd) })
        else {
            unkept = unkept &+ 1
            return LargeFiles.unknown
        }
        if free == files.count { files.append(nil) }
        files[free] = File(identity: status.identity, fd: kept, share: share)
        count = count &+ 1
        return UInt64(free &+ 1)
    }

    /// A mapping is gone. Returns the descriptor to close if it was the last one.
    mutating func letGo(_ number: UInt64) -> Int32? {
        guard number != LargeFiles.unknown else {
            unkept = unkept &- 1
            return nil
        }
        let index = Int(number) &- 1
        guard files.indices.contains(index), let file = files[index] else { return nil }
        guard file.mappings <= 1 else {
            files[index]?.mappings = file.mappings &- 1
            return nil
        }
        files[index] = nil
        count = count &- 1
        return file.fd
    }
}

extension Region {
    /// The file's number for the identity of a new mapping.
    @inline(never)
    func keepLargeFile(_ fd: Int32, hasObject: Bool, _ held: Held) -> UInt64 {
        // If the object keeps a descriptor, the file ends with the object.
        options.keepsFiles && hasObject ? 0 : device.largeFiles[held].hold(fd, device.keptFiles)
    }

    /// The memory of the mapping is gone, and maybe its file. This does not wait: the closer does.
    @inline(__always)
    func letLargeFileGo(_ record: MappingRecord, _ held: Held) {
        let number = record.facts.largeFile
        if number != 0 { closeLargeFile(number, held) }
    }

    @inline(never)
    private func closeLargeFile(_ number: UInt64, _ held: Held) {
        if let fd = device.largeFiles[held].letGo(number) {
            OwnedDescriptor.closeReceived(fd, of: device.closes, holdsLock: true)
        }
    }

    /// Maps the first page of a large file without a descriptor once more, so that undoing this mapping frees nothing. nil:
    /// that is not needed, or impossible. For `dropTail`.
    @inline(__always)
    func makeTail(_ record: MappingRecord, _ held: Held) -> UnsafeMutableRawPointer? {
        record.facts.largeFile == LargeFiles.unknown ? unsafe mapFirstPage(of: record) : nil
    }

    @inline(never)
    private func mapFirstPage(of record: MappingRecord) -> UnsafeMutableRawPointer? {
        let page = record.facts.hasHugePages ? nil : unsafe window.baseAddress + Int(clamping: record.start)
        return unsafe page.flatMap { unsafe try? MemoryCalls.duplicate($0, Int(clamping: Page.size)) }
    }

    /// The same for all.
    func makeTails(_ held: Held) -> [UnsafeMutableRawPointer] {
        var tails = unsafe [UnsafeMutableRawPointer]()
        guard device.largeFiles[held].unkept > 0 else { return unsafe tails }
        forEachRecord(held) { record, _ in
            if let tail = unsafe makeTail(record, held) { unsafe tails.append(tail) }
        }
        return unsafe tails
    }

    /// The mapping is undone: the closer undoes the tail.
    func dropTail(_ tail: UnsafeMutableRawPointer?) {
        guard let tail = unsafe tail else { return }
        let page = unsafe UnsafeMutableRawBufferPointer(start: tail, count: Int(clamping: Page.size))
        unsafe Closer.hand(over: page, of: device.closes)
    }
}
