// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The area in which a back-end tracks the chains that it has taken and not given back, so that the next back-end can take
/// them again. It has the specification's layout for split virtqueues: one part for each queue, one after the other.
final class InflightFile {
    let area: InflightDescription
    private let file: SharedFile

    private init(_ area: InflightDescription, _ file: SharedFile) {
        self.area = area
        self.file = file
    }

    /// Makes a new file of zeros. Returns it, and the descriptor for the front-end.
    static func make(queues: UInt16, queueSize: UInt16, quota: SharedQuota, alarm: Alarm) throws(Errno) -> (
        file: InflightFile, fd: SharedDescriptor
    ) {
        let length = Int(queues) &* InflightMemory.size(entries: queueSize)
        let fd = SharedDescriptor(OwnedDescriptor(owning: try systemCall(.memfd) { unsafe vhu_memfd("vhushmem-inflight") }))
        _ = try systemCall(.ftruncate) { vhu_ftruncate(fd.fd, off_t(length)) }
        // The front-end has the file too, and could truncate it under this process.
        _ = try systemCall(.fcntl) { vhu_fcntl_add_seals(fd.fd, vhu_seal_size) }
        let area = InflightDescription(length: UInt64(clamping: length), queues: queues, queueSize: queueSize)
        return (try map(area, fd: fd.fd, quota: quota, alarm: alarm), fd)
    }

    /// Throws EINVAL (this library could not have made such an area), EOVERFLOW (it is not inside the file), and the errors of
    /// mmap.
    static func map(_ area: InflightDescription, fd: Int32, quota: SharedQuota, alarm: Alarm) throws(Errno) -> InflightFile {
        let needed = UInt64(Int(area.queues) &* InflightMemory.size(entries: area.queueSize))
        guard area.queues > 0, area.queueSize > 0, area.length >= needed, area.fileOffset & 7 == 0,
            let range = ByteRange(start: area.fileOffset, length: area.length)
        else { throw Errno(EINVAL) }
        return InflightFile(area, try SharedFile.map(range, of: fd, quota: quota, alarm: alarm))
    }

    /// Marks each part as unused. The next device to use the area finds no chains in it.
    func clear() {
        for queue in 0..<Int(area.queues) {
            InflightMemory(queue: queue, size: 1, of: area, in: file)?.publishVersion(0)
        }
    }

    /// Tracks the chains of one queue in its part of the area. nil: the area has no part for the queue.
    func ledger(queue: Int, size: UInt16) -> InflightLedger? {
        InflightMemory(queue: queue, size: size, of: area, in: file).map {
            InflightLedger($0, size: size, areaSize: area.queueSize)
        }
    }
}

/// The chains of one queue that were taken and not given back, and their order.
///
/// The order of the stores matters: if this process ends, at whatever moment, the next one can tell which chains are open.
final class InflightLedger {
    private static let version: UInt16 = 1

    private let memory: InflightMemory
    private let size: UInt16
    /// The number of the area's entries for each queue.
    private let areaSize: UInt16
    /// The counter of the next chain. Counters order the chains.
    private var nextCounter: UInt64 = 1

    fileprivate init(_ memory: InflightMemory, size: UInt16, areaSize: UInt16) {
        self.memory = memory
        self.size = size
        self.areaSize = areaSize
    }

    // MARK: The beginning

    /// The chains that were begun and not ended; the one that was begun first is last. nil: no back-end has used the part
    /// before. `usedIndex`: the index of the used ring.
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
        // Back-ends differ here: they write the area's number of entries, or the ring's.
        memory.setEntries(areaSize)
        memory.publishVersion(InflightLedger.version)
    }

    /// The last process ended between its changes of the used ring and of the ledger: the `count` chains that were given back
    /// last are done. This library gives back one at a time here; others may link several.
    private func finishGivingBack(_ count: UInt16) {
        var left = count
        var head = memory.lastBatchHead
        while left > 0, head < size {
            memory.setTaken(head, false)
            head = memory.next(head)
            left = left &- 1
        }
    }

    /// The newest first. The counter of the next chain is greater than all of theirs.
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

    /// The counter comes first, then the mark: so a marked chain has its place in the order.
    func wasTaken(_ head: UInt16) {
        memory.setCounter(head, nextCounter)
        nextCounter = nextCounter &+ 1
        vhu_fence_release()
        memory.setTaken(head, true)
    }

    func wasPutBack(_ head: UInt16) {
        memory.setTaken(head, false)
    }

    /// Call it before the used index tells the driver. If the used ring is ahead of the ledger, this says which chain it was.
    func willBeGivenBack(_ head: UInt16) {
        memory.setLastBatchHead(head)
        vhu_fence_release()
    }

    /// Call it after that. The mark comes first, then the index: while they differ, the chain of the last batch counts as given
    /// back.
    func wasGivenBack(_ head: UInt16, usedIndex: UInt16) {
        vhu_fence_release()
        memory.setTaken(head, false)
        vhu_fence_release()
        memory.setUsedIndex(usedIndex)
    }
}
