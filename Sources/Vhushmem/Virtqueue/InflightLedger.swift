// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The file in which a back-end tracks the chains that it has taken and not given back, so that the back-end that comes after it can
/// take them again: the specification's area for split virtqueues, one part after the other for each queue.
final class InflightFile {
    let area: InflightArea
    private let file: SharedFile

    private init(_ area: InflightArea, _ file: SharedFile) {
        self.area = area
        self.file = file
    }

    /// A new one, of zeros, and the descriptor to hand out.
    static func make(queues: UInt16, queueSize: UInt16, quota: SharedQuota, alarm: Alarm) throws(Errno) -> (
        file: InflightFile, fd: SharedDescriptor
    ) {
        let length = Int(queues) &* InflightMemory.size(entries: queueSize)
        let fd = SharedDescriptor(OwnedDescriptor(owning: try systemCall(.memfd) { unsafe vhu_memfd("vhushmem-inflight") }))
        _ = try systemCall(.ftruncate) { vhu_ftruncate(fd.fd, off_t(length)) }
        // The front-end has it too, and could take the ground from under this process.
        _ = try systemCall(.fcntl) { vhu_fcntl_add_seals(fd.fd, vhu_seal_size) }
        let area = InflightArea(length: UInt64(clamping: length), queues: queues, queueSize: queueSize)
        return (try map(area, fd: fd.fd, quota: quota, alarm: alarm), fd)
    }

    /// Throws EINVAL (the area is none that could have been made here), EOVERFLOW (it is not inside the file), and what mmap does.
    static func map(_ area: InflightArea, fd: Int32, quota: SharedQuota, alarm: Alarm) throws(Errno) -> InflightFile {
        let needed = UInt64(Int(area.queues) &* InflightMemory.size(entries: area.queueSize))
        guard area.queues > 0, area.queueSize > 0, area.length >= needed, area.fileOffset & 7 == 0,
            let range = ByteRange(start: area.fileOffset, length: area.length)
        else { throw Errno(EINVAL) }
        return InflightFile(area, try SharedFile.map(range, of: fd, quota: quota, alarm: alarm))
    }

    /// Nothing is begun in any queue, and nothing is known of one.
    func clear() {
        for queue in 0..<Int(area.queues) {
            InflightMemory(queue: queue, size: 1, of: area, in: file)?.publishVersion(0)
        }
    }

    /// The part of a queue; nil: the file has none for it.
    func ledger(queue: Int, size: UInt16) -> InflightLedger? {
        InflightMemory(queue: queue, size: size, of: area, in: file).map {
            InflightLedger($0, size: size, areaSize: area.queueSize)
        }
    }
}

/// Which chains of one queue were taken and not given back, and in which order.
///
/// The order of the stores is the point of it: at whatever moment this process ends, the next one finds out.
final class InflightLedger {
    private static let version: UInt16 = 1

    private let memory: InflightMemory
    private let size: UInt16
    /// How many entries the area has for each queue.
    private let areaSize: UInt16
    /// What orders the chains: the next one's counter.
    private var nextCounter: UInt64 = 1

    fileprivate init(_ memory: InflightMemory, size: UInt16, areaSize: UInt16) {
        self.memory = memory
        self.size = size
        self.areaSize = areaSize
    }

    // MARK: The beginning

    /// What was begun and not ended, what was begun first last; nil: nobody has used the part before. `usedIndex`: what the used ring
    /// says.
    func begin(usedIndex: UInt16) -> [UInt16]? {
        let isNew = memory.version != InflightLedger.version
        if isNew {
            makeNew()
        } else if memory.usedIndex != usedIndex {
            finishGivingBack(usedIndex &- memory.usedIndex)
        }
        vhu_fence_release()
        memory.setUsedIndex(usedIndex)
        let heads = takenHeads()
        return isNew ? nil : heads
    }

    private func makeNew() {
        for head in 0..<size { memory.setTaken(head, false) }
        memory.setLastBatchHead(0)
        // Back-ends differ in what they write here: the area's number of entries, or the ring's.
        memory.setEntries(areaSize)
        memory.publishVersion(InflightLedger.version)
    }

    /// The end came between the used ring and the ledger: the `count` chains that were given back last are done. Here it is always one;
    /// who gives several back at once links them.
    private func finishGivingBack(_ count: UInt16) {
        var left = count
        var head = memory.lastBatchHead
        while left > 0, head < size {
            memory.setTaken(head, false)
            head = memory.next(head)
            left = left &- 1
        }
    }

    /// The newest first. The next chain's counter is behind all of theirs.
    private func takenHeads() -> [UInt16] {
        var begun: [vhu_begun] = []
        for head in 0..<size where memory.isTaken(head) {
            begun.append(vhu_begun(counter: memory.counter(head), head: head))
        }
        // The generic sort is several kilobytes of code.
        unsafe begun.withUnsafeMutableBufferPointer { unsafe vhu_sort_begun($0.baseAddress, $0.count) }
        var heads: [UInt16] = []
        for one in begun {
            heads.append(one.head)
            nextCounter = one.counter &+ 1
        }
        heads.reverse()
        return heads
    }

    // MARK: One chain

    /// Counter, then mark: a chain that is marked has its place in the order.
    func wasTaken(_ head: UInt16) {
        memory.setCounter(head, nextCounter)
        nextCounter = nextCounter &+ 1
        vhu_fence_release()
        memory.setTaken(head, true)
    }

    func wasPutBack(_ head: UInt16) {
        memory.setTaken(head, false)
    }

    /// Before the used index tells the driver: who finds the used ring ahead of the ledger knows by this which chain it was.
    func willBeGivenBack(_ head: UInt16) {
        memory.setLastBatchHead(head)
        vhu_fence_release()
    }

    /// After it. Mark, then index: as long as they differ, the chain of the last batch counts as given back.
    func wasGivenBack(_ head: UInt16, usedIndex: UInt16) {
        vhu_fence_release()
        memory.setTaken(head, false)
        vhu_fence_release()
        memory.setUsedIndex(usedIndex)
    }
}
