// SPDX-License-Identifier: BSD-3-Clause

/// The mappings in a region.
extension Region {
    /// The live mappings, by offset. If other threads map or undo meanwhile, their mappings may be missing or still be among
    /// them.
    public var mappings: [MappingDescription] {
        var all: [MappingDescription] = []
        forEachRecord { all.append(describe($0)) }
        return all
    }

    /// Finds the first live mapping that ends beyond an offset. From the end of each to the next, this finds them all.
    ///
    /// - Parameter offset: in bytes.
    /// - Returns: the mapping; nil: there is none.
    public func nextMapping(from offset: UInt64) -> MappingDescription? {
        device.lock.withLock { held -> MappingRecord? in
            guard let record = table[held].first(endingAfter: offset), let pages = ownedPages(record) else { return nil }
            // A caller that continues from offset + length of a mapping that ends inside its last page has seen it already.
            let isPassed = record.start &+ record.length <= offset
            return isPassed ? table[held].first(endingAfter: pages.end) : record
        }.map(describe)
    }

    /// Finds the live mapping that is exactly this range, as an object that can be held.
    ///
    /// - Parameters:
    ///   - offset: its first byte in the region.
    ///   - length: bytes.
    /// - Returns: the mapping; nil: there is none.
    public func mapping(at offset: UInt64, length: UInt64) -> Mapping? {
        device.lock.withLock { held in
            guard let record = table[held].find(at: offset), record.length == length else { return nil }
            let word = MappingWord(bits: record.word)
            if let mapping = word.mapping { return mapping }
            let mapping = unsafe Mapping(live: record, of: shmid, at: window.baseAddress + Int(clamping: offset))
            _ = table[held].setWord(at: offset, to: word.retaining(mapping).bits)
            return mapping
        }
    }

    func describe(_ record: MappingRecord) -> MappingDescription {
        MappingDescription(record.request(of: shmid), isBroken: MappingWord(bits: record.word).isBroken)
    }

    /// Calls `body` for each live mapping, in order, with no lock held.
    func forEachRecord(_ body: (MappingRecord) -> Void) {
        var from: UInt64 = 0
        while let record = device.lock.withLock({ held in table[held].first(endingAfter: from) }) {
            body(record)
            guard let pages = ownedPages(record) else { return }
            from = pages.end
        }
    }
}
