// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The file in which a back-end keeps book of the chains that it has taken and not given back, so that the one which comes after it
/// can take them again: the specification's area for split virtqueues, one part after the other for each queue.
final class InflightFile {
    /// A part's own words, and those of each descriptor.
    static let headSize = 16
    static let entrySize = 16
    /// Parts begin at multiples of this.
    private static let alignment = 64

    let area: InflightArea
    private let file: SharedFile

    private init(_ area: InflightArea, _ file: SharedFile) {
        self.area = area
        self.file = file
    }

    private func part(_ queue: Int) -> UnsafeMutableRawPointer {
        file.start + queue &* InflightFile.partSize(area.queueSize)
    }

    private static func partSize(_ queueSize: UInt16) -> Int {
        (headSize &+ entrySize &* Int(queueSize) &+ alignment &- 1) & ~(alignment &- 1)
    }

    /// A new one, of zeros, and the descriptor to hand out.
    static func make(queues: UInt16, queueSize: UInt16, alarm: Alarm) throws(Errno) -> (
        file: InflightFile, fd: SharedDescriptor
    ) {
        let length = Int(queues) &* partSize(queueSize)
        let fd = SharedDescriptor(FileDescriptor(owning: try systemCall(.memfd) { vhu_memfd("vhushmem-inflight") }))
        _ = try systemCall(.ftruncate) { ftruncate(fd.fd, off_t(length)) }
        // The front-end has it too, and could take the ground from under this process.
        _ = try systemCall(.fcntl) { vhu_fcntl_add_seals(fd.fd, vhu_seal_size) }
        let area = InflightArea(length: UInt64(clamping: length), queues: queues, queueSize: queueSize)
        return (try map(area, fd: fd.fd, alarm: alarm), fd)
    }

    /// Throws EINVAL (the area is none that could have been made here), EOVERFLOW (it is not inside the file), and what mmap does.
    static func map(_ area: InflightArea, fd: Int32, alarm: Alarm) throws(Errno) -> InflightFile {
        guard area.queues > 0, area.queueSize > 0, area.length >= UInt64(Int(area.queues) &* partSize(area.queueSize)),
            area.fileOffset & 7 == 0, let range = ByteRange(start: area.fileOffset, length: area.length)
        else { throw Errno(EINVAL) }
        return InflightFile(area, try SharedFile.map(range, of: fd, alarm: alarm))
    }

    /// Nothing is begun in any queue, and nothing is known of one.
    func clear() {
        for queue in 0..<Int(area.queues) {
            InflightLedger.forget(part(queue))
        }
    }

    /// The part of a queue; nil: the file has none for it.
    func ledger(queue: Int, size: UInt16) -> InflightLedger? {
        guard queue < Int(area.queues), size <= area.queueSize else { return nil }
        return InflightLedger(self, part(queue), size: size)
    }
}

/// The part of one queue: u64 features, u16 version, desc_num, last_batch_head, used_idx; then for each descriptor u8 inflight,
/// 5 bytes of padding, u16 next, u64 counter.
///
/// The order of the stores is what makes it worth something: at whatever moment this process ends, the next one finds out.
final class InflightLedger {
    private static let version: UInt16 = 1

    /// Holds the memory.
    private let file: InflightFile
    private let part: UnsafeMutableRawPointer
    private let size: UInt16
    /// What orders the chains: the next one's counter.
    private var nextCounter: UInt64 = 1

    fileprivate init(_ file: InflightFile, _ part: UnsafeMutableRawPointer, size: UInt16) {
        self.file = file
        self.part = part
        self.size = size
    }

    private func entry(_ head: UInt16) -> UnsafeMutableRawPointer {
        part + InflightFile.headSize + InflightFile.entrySize * Int(head)
    }

    private func setTaken(_ head: UInt16, _ isTaken: Bool) {
        entry(head).storeBytes(of: isTaken ? 1 : 0, as: UInt8.self)
    }

    private var lastBatchHead: UnsafeMutableRawPointer { part + 12 }
    private var usedIndex: UnsafeMutableRawPointer { part + 14 }

    fileprivate static func forget(_ part: UnsafeMutableRawPointer) {
        vhu_store16_release(part + 8, 0)
    }

    /// What was begun and not ended, what was begun first last; nil: nobody has kept the book before. `usedIndex`: what the used ring
    /// says.
    func begin(usedIndex: UInt16) -> [UInt16]? {
        let isNew = vhu_load16_relaxed(part + 8) != InflightLedger.version
        // How many entries it has is no matter of opinion: some write the area's number there, and some the ring's.
        if isNew {
            for head in 0..<size { setTaken(head, false) }
            vhu_store16_relaxed(lastBatchHead, 0)
            vhu_store16_relaxed(part + 10, file.area.queueSize)
            vhu_store16_release(part + 8, InflightLedger.version)
        } else if vhu_load16_relaxed(self.usedIndex) != usedIndex {
            // The end came between the used ring and this book: the chains that were given back last are done. Here it is always one;
            // who gives several back at once links them.
            var count = usedIndex &- vhu_load16_relaxed(self.usedIndex)
            var head = vhu_load16_relaxed(lastBatchHead)
            while count > 0, head < size {
                setTaken(head, false)
                head = vhu_load16_relaxed(entry(head) + 6)
                count = count &- 1
            }
        }
        vhu_store16_release(self.usedIndex, usedIndex)
        var begun: [vhu_begun] = []
        for head in 0..<size where entry(head).load(as: UInt8.self) != 0 {
            begun.append(vhu_begun(counter: (entry(head) + 8).load(as: UInt64.self), head: head))
        }
        // The generic sort is several kilobytes of code.
        begun.withUnsafeMutableBufferPointer { vhu_sort_begun($0.baseAddress, $0.count) }
        var heads: [UInt16] = []
        for one in begun {
            heads.append(one.head)
            nextCounter = one.counter &+ 1
        }
        heads.reverse()
        return isNew ? nil : heads
    }

    func wasTaken(_ head: UInt16) {
        let counter = nextCounter
        nextCounter = counter &+ 1
        (entry(head) + 8).storeBytes(of: counter, as: UInt64.self)
        vhu_fence_release()
        setTaken(head, true)
    }

    func wasPutBack(_ head: UInt16) {
        setTaken(head, false)
    }

    /// Before the used ring tells the driver.
    func willBeGivenBack(_ head: UInt16) {
        vhu_store16_relaxed(lastBatchHead, head)
        vhu_fence_release()
    }

    /// After it.
    func wasGivenBack(_ head: UInt16, usedIndex: UInt16) {
        vhu_fence_release()
        setTaken(head, false)
        vhu_fence_release()
        vhu_store16_relaxed(self.usedIndex, usedIndex)
    }
}
