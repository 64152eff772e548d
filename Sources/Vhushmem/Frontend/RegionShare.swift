// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// One mapping of a region that is shared with the back-end as guest memory.
struct SharedMapping {
    /// The first byte in the region, and the identity of the mapping: a later one may begin there too.
    let offset: UInt64
    let generation: UInt64
    var state = State.waiting

    enum State {
        /// The back-end must be told.
        case waiting
        /// The message was sent, or waits behind earlier ones.
        case told(MemoryTableRegion)
        /// The back-end cannot be told, or has refused it.
        case leftOut
    }

    var told: MemoryTableRegion? {
        if case .told(let region) = state { return region }
        return nil
    }

    var isWaiting: Bool {
        if case .waiting = state { return true }
        return false
    }
}

/// A region whose mappings the back-end is told of as guest memory.
///
/// Any thread may map and unmap. It notes under the device's lock where something has changed, and wakes the loop. The
/// front-end's thread does the rest: it looks there, and compares what it finds with what it knows.
final class RegionShare: RegionFollower {
    /// The most mappings that are useful for a back-end, whatever it says of its slots.
    static let mostMappings = 512
    /// The most mappings that one turn of the loop looks at.
    private static let mostLookedAt = 512

    let region: Region
    /// Guest address of the region's first byte.
    let guestAddress: UInt64
    private let isWritableOnly: Bool
    private let alarm: Alarm
    private var changed = Region.Guarded(Stretch.nothing)
    private let hasChanged = Atomic(false)

    /// By offset.
    private(set) var mappings: [SharedMapping] = []
    /// Mappings that the back-end must be told of and that are not in `mappings` yet lie here.
    private var unseen = Stretch.nothing

    /// Offsets in the region, from one to the next.
    private struct Stretch {
        var start: UInt64
        var end: UInt64

        static let nothing = Stretch(start: .max, end: 0)
        static let everything = Stretch(start: 0, end: .max)

        var isEmpty: Bool { start >= end }

        mutating func unite(_ other: Stretch) {
            start = min(start, other.start)
            end = max(end, other.end)
        }
    }

    init(_ region: Region, at guestAddress: UInt64, isWritableOnly: Bool, alarm: Alarm) {
        self.region = region
        self.guestAddress = guestAddress
        self.isWritableOnly = isWritableOnly
        self.alarm = alarm
    }

    func begin() throws(ShmemError) {
        try region.device.lock.withLock { held throws(ShmemError) in try region.add(self, held) }
    }

    /// The region does not know it any more.
    func end() {
        region.device.lock.withLock { held in region.remove(self, held) }
    }

    // MARK: Any thread, under the lock

    private func note(_ stretch: Stretch, _ held: Region.Held) {
        changed[held].unite(stretch)
        if !hasChanged.exchange(true, ordering: .acquiringAndReleasing) { alarm.raise() }
    }

    func mappingComes(_ record: MappingRecord, _ pages: ByteRange, in window: RegionWindow, _ held: Region.Held)
        throws(ShmemError)
    {
        note(Stretch(start: pages.start, end: pages.end), held)
    }

    func mappingGoes(_ record: MappingRecord, _ held: Region.Held) {
        note(Stretch(start: record.start, end: record.start &+ 1), held)
    }

    func allMappingsGo(_ held: Region.Held) {
        note(.everything, held)
    }

    func mappingIsExchanged(
        _ old: MappingRecord, for new: MappingRecord, _ pages: ByteRange, in window: RegionWindow, _ held: Region.Held
    ) throws(ShmemError) {
        note(Stretch(start: pages.start, end: pages.end), held)
    }

    // MARK: The front-end's thread

    var toldCount: Int {
        var count = 0
        for mapping in mappings where mapping.told != nil { count &+= 1 }
        return count
    }

    /// Live mappings that the back-end was not told of.
    var leftOutCount: UInt64 {
        let all = region.mappingCount
        return all &- min(all, UInt64(clamping: toldCount))
    }

    func write(to json: JsonText) {
        json.beginObject()
        json.number("shmid", UInt64(region.shmid))
        json.number("guest_addr", guestAddress)
        json.number("mappings", UInt64(clamping: toldCount))
        json.number("left_out", leftOutCount)
        json.endObject()
    }

    var waitingCount: Int {
        var count = 0
        for mapping in mappings where mapping.isWaiting { count &+= 1 }
        return count
    }

    /// Something has come or gone since `forgetGone`.
    var isChanged: Bool { hasChanged.load(ordering: .acquiring) }
    /// `findNew` may find something, if there is room.
    var hasUnseen: Bool { !unseen.isEmpty && mappings.count < RegionShare.mostMappings }

    /// The back-end knows nothing any more.
    func forgetAll() {
        mappings = []
        unseen = .everything
    }

    /// Forgets the mappings that are gone. Returns those that the back-end was told of.
    func forgetGone() -> [MemoryTableRegion] {
        guard hasChanged.exchange(false, ordering: .acquiringAndReleasing) else { return [] }
        var gone: [MemoryTableRegion] = []
        region.device.lock.withLock { held in
            let changed = self.changed[held]
            self.changed[held] = .nothing
            unseen.unite(changed)
            var left: [SharedMapping] = []
            for mapping in mappings {
                let mayHaveChanged = changed.start <= mapping.offset && mapping.offset < changed.end
                if !mayHaveChanged || record(of: mapping, held) != nil {
                    left.append(mapping)
                } else if let told = mapping.told {
                    gone.append(told)
                }
            }
            mappings = left
        }
        return gone
    }

    /// Looks for mappings that the back-end must be told of, `room` at the most.
    func findNew(_ room: Int) {
        var room = min(room, RegionShare.mostMappings &- mappings.count)
        guard room > 0, !unseen.isEmpty else { return }
        region.device.lock.withLock { held in
            var looked = 0
            while room > 0, looked < RegionShare.mostLookedAt {
                guard let record = region.table[held].first(endingAfter: unseen.start), record.start < unseen.end,
                    let pages = region.ownedPages(record)
                else {
                    unseen = .nothing
                    return
                }
                looked &+= 1
                unseen.start = pages.end
                let place = self.place(of: record.start)
                let isKnown = place < mappings.count && mappings[place].offset == record.start
                if isKnown || (isWritableOnly && !MappingWord(bits: record.word).isWritable) { continue }
                mappings.insert(SharedMapping(offset: record.start, generation: record.facts.generation), at: place)
                room &-= 1
            }
        }
    }

    /// The first in `mappings` that does not begin before `offset`.
    private func place(of offset: UInt64) -> Int {
        var low = 0
        var high = mappings.count
        while low < high {
            let middle = (low &+ high) / 2
            if mappings[middle].offset < offset { low = middle &+ 1 } else { high = middle }
        }
        return low
    }

    private func record(of mapping: SharedMapping, _ held: Region.Held) -> MappingRecord? {
        guard let record = region.table[held].find(at: mapping.offset), record.facts.generation == mapping.generation else {
            return nil
        }
        return record
    }

    /// The last mapping that the back-end was told of waits again.
    func takeBackLast() -> MemoryTableRegion? {
        guard let index = mappings.lastIndex(where: { $0.told != nil }), let told = mappings[index].told else { return nil }
        unseen.unite(Stretch(start: mappings[index].offset, end: mappings[index].offset &+ 1))
        mappings.remove(at: index)
        return told
    }

    func leaveOut(generation: UInt64) {
        guard let index = mappings.firstIndex(where: { $0.generation == generation }) else { return }
        mappings[index].state = .leftOut
    }

    /// The message did not go. False: it is mapped no more.
    func tellLater(generation: UInt64) -> Bool {
        guard let index = mappings.firstIndex(where: { $0.generation == generation }) else { return false }
        mappings[index].state = .waiting
        return true
    }

    /// The next mapping that waits, and the range for the message. From then on it counts as told. nil: none waits.
    func takeWaiting() -> (mapping: SharedMapping, region: MemoryTableRegion, file: SharedDescriptor)? {
        while let index = mappings.firstIndex(where: { $0.isWaiting }) {
            let mapping = mappings[index]
            do throws(ShmemError) {
                let (told, file) = try describe(mapping)
                mappings[index].state = .told(told)
                return (mapping, told, file)
            } catch {
                mappings[index].state = .leftOut
                Log.debug("the mapping at \(hex(mapping.offset)) of region \(region.shmid) is not shared: \(error.message)")
            }
        }
        return nil
    }

    private func describe(_ mapping: SharedMapping) throws(ShmemError) -> (MemoryTableRegion, SharedDescriptor) {
        let found = region.device.lock.withLock { held -> (MappingRecord, Mapping)? in
            guard let record = record(of: mapping, held), let object = MappingWord(bits: record.word).mapping else {
                return nil
            }
            return (record, object)
        }
        // While the object is held, its descriptor is open.
        guard let (record, object) = found, object.fd >= 0, let pages = region.ownedPages(record) else {
            throw ShmemError(ENOENT, "it is not mapped any more, or its file was not kept")
        }
        do throws(Errno) {
            let told = try unsafe MemoryTableRegion(
                guestAddress: guestAddress &+ record.start, length: knownLength(record, pages, object.fd),
                userAddress: UInt64(UInt(bitPattern: region.window.baseAddress)) &+ record.start, fileOffset: record.fileOffset)
            return (told, try file(of: record, object.fd))
        } catch {
            throw ShmemError(error.code, "its file: \(Errno.text(error.code))")
        }
    }

    /// The whole pages that the file has: a back-end may refuse what lies beyond its end, or die of it.
    private func knownLength(_ record: MappingRecord, _ pages: ByteRange, _ fd: Int32) throws(Errno) -> UInt64 {
        let status = try FileStatus(of: fd)
        guard status.isRegular else { return pages.length }
        guard record.fileOffset < status.size else { throw Errno(EOVERFLOW) }
        let rest = ByteRange(start: 0, length: status.size &- record.fileOffset)?.roundedUp(to: Page.size)
        return min(pages.length, rest?.length ?? pages.length)
    }

    /// A read-only mapping goes with a descriptor that is open for reading alone. A file that another process keeps is not
    /// opened, because that may wait.
    private func file(of record: MappingRecord, _ fd: Int32) throws(Errno) -> SharedDescriptor {
        let closes = region.device.closes
        if MappingWord(bits: record.word).isWritable || OwnedDescriptor.isReadOnly(fd) {
            return SharedDescriptor(try OwnedDescriptor.duplicate(fd, of: closes))
        }
        guard record.facts.isLocal else { throw Errno(EACCES) }
        return SharedDescriptor(try OwnedDescriptor.reopenReadOnly(fd, of: closes))
    }
}
