// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Replaces a live mapping by a map of exactly its range, if the region's options allow it: in one step, so that no thread sees
/// a hole.
extension Region {
    func canReplace(_ old: MappingRecord, by intent: MapIntent) -> Bool {
        let pages = intent.plan.pages
        return options.replaces && !intent.options.contains(.replacesNothing) && old.start == pages.start
            && old.length == intent.request.length && ownedPages(old) == pages && !old.facts.isLeaving
    }

    /// Replaces a mapping that `canReplace` allows.
    @inline(never)
    func replace(
        _ old: MappingRecord, by intent: MapIntent, _ object: Mapping?, _ prepared: inout PreparedMapping?, _ held: Held
    ) throws(ShmemError) -> Afterwards {
        let pages = intent.plan.pages
        guard let ready = prepared.take() else { return .prepare }
        let before = MappingWord(bits: old.word)
        let record = listed(record(of: intent, object, held), held)
        // A thread that may not write any more must not hear otherwise while the memory changes.
        index[held].remove(pages)
        let mayNoLongerWrite = before.isWritable && !intent.isWritable
        if mayNoLongerWrite { table[held].setWord(at: old.start, to: before.readOnly.bits) }
        if !device.undumped[held].isEmpty { device.undumped[held].leaveOut() }
        var wasLost = false
        let tail = unsafe makeTail(old, held)
        defer { unsafe dropTail(tail) }
        do throws(ShmemError) {
            try exchangeByFollowers(old, for: record, held)
            do throws(Errno) {
                try window.place(ready, at: pages.start, wasLost: &wasLost, held)
            } catch {
                if !wasLost { try? exchangeByFollowers(record, for: old, held) }
                throw refusal(.kernel(error, isLocal: intent.plan.isLocal, pageSize: intent.plan.pageSize), intent.request)
            }
        } catch {
            MappingWord(bits: record.word).release()
            letLargeFileGo(record, held)
            if wasLost {
                // The kernel had unmapped the old one before it failed.
                forgetByFollowers(record, held)
                Log.later(
                    "the mapping at \(hex(old.start)) of region \(shmid) was lost: the kernel had no memory to replace it",
                    isCritical: true)
                if let gone = takeOutRecord(old, pages, held) { MappingWord(bits: gone.word).release() }
            } else {
                if mayNoLongerWrite { table[held].setWord(at: old.start, to: old.word) }
                index[held].add(pages, writable: before.isWritable)
            }
            throw error
        }
        forgetBrokenness(of: old, held)
        forgetCovers(in: pages.start..<pages.end, held)
        table[held].replace(with: record)
        index[held].add(pages, writable: intent.isWritable)
        before.becomeGone()
        letLargeFileGo(old, held)
        if let object { unsafe object.becomeLive(at: window.baseAddress + Int(clamping: record.start)) }
        quota[held].remove(pages.length)
        quota[held].add(pages.length)
        device.quota[held].remove(pages.length)
        device.quota[held].add(pages.length)
        census[held].count()
        return conclusion(record, inPlaceOf: old, held)
    }
}
