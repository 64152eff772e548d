// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A mapping that has become broken, or whole again.
struct MappingNews {
    let mapping: MappingDescription
    let record: MappingRecord
    let isBroken: Bool
}

/// The broken mappings of a region, and the reports about them.
extension Region {
    /// Its file lacks a page that was touched, or takes no writes: `change` says which.
    func markBroken(_ record: MappingRecord, _ held: Held, by change: (MappingWord) -> MappingWord) {
        guard let now = current(record, held) else { return }
        let before = MappingWord(bits: now.word)
        table[held].setWord(at: now.start, to: change(before).bits)
        guard !before.isBroken else { return }
        brokenCount[held] &+= 1
        before.mapping?.setBroken(true)
        hasNews[held] = true
        device.alarm[held]?.raise()
        device.careSoon(at: Clock.now() &+ Region.pauseBetweenLooks, held)
    }

    /// The mapping goes, or another replaces it.
    func forgetBrokenness(of record: MappingRecord, _ held: Held) {
        let word = MappingWord(bits: record.word)
        if word.isBroken { brokenCount[held] &-= 1 }
        if word.hasZeroTail { ProcessBudget.give(1) }
    }

    /// Its file has all its pages again. It is still broken if a page has memory of its own.
    func markWhole(_ record: MappingRecord, _ held: Held) {
        guard let now = current(record, held) else { return }
        let generation = now.facts.generation
        let isWritable = MappingWord(bits: now.word).isWritable
        let isCovered = covers[held].firstIndex {
            $0.generation == generation && ($0.kind == .apart && ($0.hidesLoss || isWritable) || $0.kind == .lease && $0.isLoss)
        }
        guard isCovered == nil else { return }
        while let index = covers[held].firstIndex(where: { $0.generation == generation && $0.kind == .watched }) {
            _ = covers[held].remove(at: index)
        }
        let word = MappingWord(bits: now.word)
        guard word.isBroken else { return }
        table[held].setWord(at: now.start, to: word.whole.bits)
        brokenCount[held] &-= 1
        word.mapping?.setBroken(false)
        hasNews[held] = true
        device.alarm[held]?.raise()
    }

    /// The next mapping from `offset` on whose state has changed since the last report; nil: there is none.
    func takeNews(from offset: inout UInt64) -> MappingNews? {
        let record = device.lock.withLock { held -> MappingRecord? in
            guard hasNews[held] else { return nil }
            while let record = table[held].first(endingAfter: offset), let pages = ownedPages(record) {
                offset = pages.end
                let word = MappingWord(bits: record.word)
                guard word.isBroken != word.isToldBroken else { continue }
                table[held].setWord(at: record.start, to: word.told.bits)
                return record
            }
            hasNews[held] = false
            return nil
        }
        return record.map { MappingNews(mapping: describe($0), record: $0, isBroken: MappingWord(bits: $0.word).isBroken) }
    }
}
