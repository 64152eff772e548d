// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Files in memory that the mappings of a device are of, and that take long to free. A descriptor of each is kept until the last mapping of
/// it is gone: then the closer has it, so that the file is freed by no thread that serves requests. Of those beyond a quota a page is mapped
/// once more while a mapping is undone (`makeTail`).
///
/// One that grows when it is mapped already is not among them: nobody can look at a file by its mapping.
struct LargeFiles {
    /// What a mapping's identity says until it is known which file it is, and where no descriptor of it is kept.
    static let unknown: UInt64 = 63
    private static let most = 62

    private struct File {
        let identity: FileIdentity
        let fd: Int32
        let share: KeptFile
        var mappings = 1
    }

    /// By number, less one.
    private var files: [File?] = []
    private var count = 0
    /// Mappings of large files of which there is no descriptor.
    private(set) var unkept = 0

    var isEmpty: Bool { count == 0 && unkept == 0 }

    /// One more mapping is of this file. Returns its number, or `unknown`; 0: it is no file that could be large.
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
    /// What the identity of a new mapping says of its large file.
    @inline(never)
    func keepLargeFile(_ fd: Int32, hasObject: Bool, _ held: Held) -> UInt64 {
        // Where the object keeps a descriptor, its end is the file's.
        options.keepsFiles && hasObject ? 0 : device.largeFiles[held].hold(fd, device.keptFiles)
    }

    /// The memory of the mapping is gone, and so may be its file. This waits for nothing: the closer does.
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

    /// One more mapping of the first page of a large file of which no descriptor is kept, so that to undo this one frees nothing. nil: that
    /// is not needed, or can't be had. For `dropTail`.
    @inline(__always)
    func makeTail(_ record: MappingRecord, _ held: Held) -> UnsafeMutableRawPointer? {
        record.facts.largeFile == LargeFiles.unknown ? unsafe mapFirstPage(of: record) : nil
    }

    @inline(never)
    private func mapFirstPage(of record: MappingRecord) -> UnsafeMutableRawPointer? {
        let page = record.facts.hasHugePages ? nil : unsafe window.baseAddress + Int(clamping: record.start)
        return unsafe page.flatMap { unsafe try? MemoryCalls.duplicate($0, Int(clamping: Page.size)) }
    }

    /// The same of all.
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
