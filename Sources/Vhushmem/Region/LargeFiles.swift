// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Files in memory that the mappings of a device are of, and that take long to free. A descriptor of each is kept until the last mapping of
/// it is gone: then the closer has it, so that the file is freed by no thread that serves requests.
///
/// One that grows when it is mapped already is not among them: nobody can look at a file by its mapping.
struct LargeFiles {
    /// What a mapping's identity says until it is known which file it is.
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

    var isEmpty: Bool { count == 0 }

    /// One more mapping is of this file. Returns its number; 0: it is not kept.
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
        guard free < LargeFiles.most, let share = KeptFile.take(of: quota),
            let kept = try? systemCall(.dup, { vhu_fcntl_dupfd_cloexec(fd) })
        else { return 0 }
        if free == files.count { files.append(nil) }
        files[free] = File(identity: status.identity, fd: kept, share: share)
        count = count &+ 1
        return UInt64(free &+ 1)
    }

    /// A mapping is gone. Returns the descriptor to close if it was the last one.
    mutating func letGo(_ number: UInt64) -> Int32? {
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
        guard let fd = device.largeFiles[held].letGo(number) else { return }
        FileDescriptor.closeReceived(fd, of: device.closes, holdsLock: true)
    }
}
