// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The live mappings of a back-end, as far as the front-end's answers tell. If it gives none, a request that was sent counts as
/// done.
struct LiveMappings {
    /// A table for each region with mappings. There are at most 256, and usually one.
    private var regions: [(shmid: UInt8, table: MappingTable)] = []

    /// Notes the outcome of a map or unmap. `anyRefusalIsGone`: the front-end has one errno for all refusals, so the refusal of
    /// an unmap may mean that there is no such mapping.
    mutating func note(_ request: MappingRequest, _ result: Int32, anyRefusalIsGone: Bool) {
        if request.isMap {
            if result == 0 { add(request.payload) }
        } else if LiveMappings.isGone(result, anyRefusalIsGone: anyRefusalIsGone) {
            remove(request.payload)
        }
    }

    /// Whether an unmap with this result leaves nothing mapped.
    static func isGone(_ result: Int32, anyRefusalIsGone: Bool) -> Bool {
        result == 0 || result == -ENOENT || (anyRefusalIsGone && result == -EIO)
    }

    private mutating func add(_ payload: SharedMemoryMap) {
        guard let table = table(of: payload.shmid) ?? makeTable(of: payload.shmid) else { return }
        let record = MappingRecord(
            start: payload.offset, length: payload.length, fileOffset: payload.fileOffset, word: 0)
        // A front-end that granted it has undone, or replaced, what was in the way.
        while let other = table.first(endingAfter: record.start), other.start <= record.lastOwnedByte(pageMask: 0) {
            _ = table.remove(at: other.start)
        }
        _ = table.insertFree(record)
    }

    private func remove(_ payload: SharedMemoryMap) {
        guard let table = table(of: payload.shmid), table.find(at: payload.offset)?.length == payload.length else { return }
        _ = table.remove(at: payload.offset)
    }

    /// The front-end has undone all of them.
    mutating func removeAll() { regions = [] }

    /// How many there are in a region.
    func count(in shmid: UInt8) -> UInt64 { table(of: shmid)?.count ?? 0 }

    /// The unmaps of a region's mappings, or of all (nil).
    func unmaps(of shmid: UInt8?) -> [MappingRequest] {
        var unmaps: [MappingRequest] = []
        for region in regions where shmid == nil || region.shmid == shmid {
            var next = region.table.first(endingAfter: 0)
            while let record = next {
                unmaps.append(.unmap(shmid: region.shmid, at: record.start, length: record.length))
                let last = record.lastOwnedByte(pageMask: 0)
                next = last < .max ? region.table.first(endingAfter: last &+ 1) : nil
            }
        }
        return unmaps
    }

    private func table(of shmid: UInt8) -> MappingTable? {
        for region in regions where region.shmid == shmid { return region.table }
        return nil
    }

    private mutating func makeTable(of shmid: UInt8) -> MappingTable? {
        // In bytes: the size of the front-end's pages is not known here.
        guard let table = MappingTable(pageSize: 1) else { return nil }
        regions.append((shmid, table))
        return table
    }
}
