// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// A split virtqueue while it is started: takes chains of descriptors, and gives them back. Knows no sockets and no descriptors of
/// files.
///
/// All that stands in guest memory is the driver's to write, so each word is read once and checked. The first impossible value breaks
/// the queue: it is not touched any more.
final class Virtqueue {
    static let indirectFeature: UInt64 = 1 << 28
    static let eventIndexFeature: UInt64 = 1 << 29
    /// VIRTQ_USED_F_NO_NOTIFY
    private static let noKick: UInt16 = 1
    /// VIRTQ_AVAIL_F_NO_INTERRUPT
    private static let noCall: UInt16 = 1
    /// How many pieces the chains that the device holds may come to: each takes memory of this process, and a driver can put the same
    /// descriptors into many chains.
    private static let mostPieces = 1 << 20

    /// Which of the device's queues it is.
    let index: Int
    let size: UInt16
    private let addresses: VringAddresses
    private let hasEventIndex: Bool
    private let takesIndirect: Bool
    private var memory: BackendMemory
    /// nil: to be looked up again, because guest memory has changed.
    private var rings: RingMemory?
    /// What broke it.
    private(set) var fault: VirtqueueFault?
    var refused = RefusedChains()
    /// The entry of the available ring that is taken next.
    private(set) var nextAvailable: UInt16
    private var nextUsed: UInt16
    /// How many entries the driver was given since it was last asked whether it wants to know.
    private var unannounced: UInt32 = 0
    /// The driver was told nothing yet in this life of the device, and may be waiting since the one before.
    private var isFirstCall = true
    private var wantsKicks = true
    /// The available index when `hasNews` looked last.
    private var looked: UInt16?
    /// One bit for each chain that the device has, by its head.
    private var held: [UInt64]
    private var walk = DescriptorWalk()
    private let ledger: InflightLedger?
    /// Heads of chains that were begun before this life of the device, the next one last.
    private var begun: [UInt16] = []
    /// Where writes to guest memory are noted; nil: nowhere.
    private(set) var log: WriteLog?
    /// The used ring's place in the guest; nil: its changes are not noted.
    private var loggedUsedRing: UInt64?
    /// Atomic, because a chain that is never given back may go on any thread.
    private let pieces = Atomic<Int>(0)
    /// Something was not done for want of the rings, or of room for more pieces.
    private var misses: Misses = []

    private struct Misses: OptionSet {
        let rawValue: UInt8
        static let rings = Misses(rawValue: 1)
        static let room = Misses(rawValue: 2)
    }

    /// Throws where the rings are not in guest memory.
    init(
        index: Int, size: UInt16, base: UInt16, features: UInt64, addresses: VringAddresses, memory: BackendMemory,
        ledger: InflightLedger?
    ) throws(VirtqueueFault) {
        self.index = index
        self.size = size
        self.addresses = addresses
        self.memory = memory
        self.ledger = ledger
        hasEventIndex = features & Virtqueue.eventIndexFeature != 0
        takesIndirect = features & Virtqueue.indirectFeature != 0
        nextAvailable = base
        nextUsed = 0
        held = [UInt64](repeating: 0, count: (Int(size) &+ 63) / 64)
        guard let rings = lookUpRings() else { throw VirtqueueFault("its rings lie outside of guest memory") }
        nextUsed = rings.usedIndex
        // An earlier life of the device may have left there that it wants no kicks.
        rings.setUsedFlags(0)
        nextAvailable = rings.beginning(from: base)
        guard let heads = ledger?.begin(usedIndex: nextUsed) else { return }
        begun = heads
        // What was taken is what was given back and what was begun; after a back-end that died, the base knows neither.
        nextAvailable = nextUsed &+ UInt16(clamping: begun.count)
    }

    /// Guest memory is another now. A queue whose rings are gone waits for them: a front-end takes a range away to put it back larger.
    /// Returns whether they are back, and were missed.
    func memoryChanged(to memory: BackendMemory) -> Bool {
        self.memory = memory
        rings = nil
        guard misses.contains(.rings), lookUpRings() != nil else { return false }
        misses.remove(.rings)
        do throws(VirtqueueFault) {
            _ = try setKicks(wantsKicks)
        } catch {
            breakDown(error)
        }
        return true
    }

    @inline(__always)
    private func findRings() -> RingMemory? { rings ?? lookUpRings() }

    private func lookUpRings() -> RingMemory? {
        rings = RingMemory(size: size, addresses, in: memory)
        if rings == nil { misses.insert(.rings) }
        return rings
    }

    /// The driver did what it must not. What is found first is what is told.
    func breakDown(_ fault: VirtqueueFault) {
        if self.fault == nil { self.fault = fault }
    }
}

// MARK: Taking chains

extension Virtqueue {
    /// The next chain; nil: there is none, or enough that can't be served were given back for now. Who catches a fault calls `breakDown`.
    func pop() throws(VirtqueueFault) -> DescriptorChain? {
        if let fault { throw fault }
        refused.begin()
        guard let rings = findRings() else { return nil }
        guard pieces.load(ordering: .relaxed) < Virtqueue.mostPieces else {
            misses.insert(.room)
            return nil
        }
        return try begun.isEmpty ? popNew(rings) : popBegun(rings)
    }

    /// Chains of an earlier life of the device come first. The ledger has them, and they keep their place there.
    private func popBegun(_ rings: RingMemory) throws(VirtqueueFault) -> DescriptorChain? {
        while let head = begun.last {
            let chain = try chain(from: head, position: nil, rings)
            begun.removeLast()
            if let chain { return chain }
            giveBack(head, written: 0, rings)
            if refused.areEnough { return nil }
        }
        return try popNew(rings)
    }

    /// What the next entry of the available ring names (VIRTIO 1.2, 2.7.6 and 2.7.13).
    @inline(__always)
    private func popNew(_ rings: RingMemory) throws(VirtqueueFault) -> DescriptorChain? {
        // As many as there can be at a time: a driver that goes on putting in such chains gets no more of this thread's time.
        var left = size
        while try hasMore(rings) {
            let head = rings.availableHead(at: nextAvailable)
            let chain = try chain(from: head, position: nextAvailable, rings)
            ledger?.wasTaken(head)
            nextAvailable = nextAvailable &+ 1
            if wantsKicks { askForKick(rings) }
            if let chain { return chain }
            giveBack(head, written: 0, rings)
            if refused.areEnough { return nil }
            guard left > 0 else { throw VirtqueueFault("one chain after the other can't be served") }
            left = left &- 1
        }
        return nil
    }

    /// nil: it can't be served, and is to be given back.
    private func chain(from head: UInt16, position: UInt16?, _ rings: RingMemory) throws(VirtqueueFault) -> DescriptorChain? {
        guard head < size else { throw VirtqueueFault("an entry of the available ring names no descriptor") }
        // So the device never holds more chains than there are descriptors, whatever a driver writes.
        guard !isHeld(head) else { throw VirtqueueFault("a chain was made available twice") }
        do throws(VirtqueueFault) {
            try walk.follow(from: head, in: rings.descriptorTable, memory: memory, takesIndirect: takesIndirect)
        } catch {
            guard error.isOfChain else { throw error }
            refused.add(walk)
            return nil
        }
        setHeld(head, true)
        unsafe pieces.wrappingAdd(walk.segments.count, ordering: .relaxed)
        return DescriptorChain(walk, of: self, head: head, position: position, memory: memory)
    }

    /// Whether the driver has put in something that was not taken. If not, it is asked to kick.
    private func hasMore(_ rings: RingMemory) throws(VirtqueueFault) -> Bool {
        if try waiting(rings) { return true }
        guard wantsKicks, hasEventIndex else { return false }
        // Between our look at its index and its look at ours the driver may have put something in, and found no kick wanted.
        askForKick(rings)
        vhu_fence_full()
        return try waiting(rings)
    }

    /// The driver is ahead of the device by at most the size of the queue.
    @inline(__always)
    private func waiting(_ rings: RingMemory) throws(VirtqueueFault) -> Bool {
        let count = rings.availableIndex &- nextAvailable
        guard count <= size else { throw VirtqueueFault("the available index has gone further than the queue is long") }
        return count > 0
    }

    /// Puts the chain that was taken last back, as if it had not been. False: it is not that one. Not of a queue that is broken.
    func putBack(_ chain: DescriptorChain) -> Bool {
        guard let position = chain.position, position == nextAvailable &- 1, !chain.isGivenBack else { return false }
        nextAvailable = position
        letGo(chain)
        ledger?.wasPutBack(chain.head)
        return true
    }
}

// MARK: Giving chains back

extension Virtqueue {
    /// What became of a chain that was to be given back.
    enum Return {
        case done, notHeld
        /// The rings are not there.
        case notNow
        case broken(VirtqueueFault)
    }

    /// Gives a chain back to the driver: `written` bytes of what could be written were.
    ///
    /// The used entry is written before the used index (VIRTIO 1.2, 2.7.8.2). The ledger notes the chain before the index and again
    /// behind it.
    func push(_ chain: DescriptorChain, written: UInt32) -> Return {
        if let fault { return .broken(fault) }
        // The chain itself is asked, and not its head: the driver may have offered that again meanwhile.
        guard !chain.isGivenBack else { return .notHeld }
        guard let rings = findRings() else { return .notNow }
        giveBack(chain.head, written: written, rings)
        if let log { chain.forEachWritten(written, log.note) }
        letGo(chain)
        return .done
    }

    private func giveBack(_ head: UInt16, written: UInt32, _ rings: RingMemory) {
        let index = nextUsed
        rings.setUsed(at: index, head: head, written: written)
        ledger?.willBeGivenBack(head)
        nextUsed = index &+ 1
        rings.publishUsedIndex(nextUsed)
        ledger?.wasGivenBack(head, usedIndex: nextUsed)
        noteUsed(rings.place(of: .entry(index)))
        noteUsed(rings.place(of: .index))
        unannounced = unannounced &+ 1
    }

    private func letGo(_ chain: DescriptorChain) {
        setHeld(chain.head, false)
        chain.isGivenBack = true
        forget(chain)
    }

    /// A chain that is never given back takes no memory any more.
    func forget(_ chain: DescriptorChain) {
        pieces.wrappingSubtract(chain.pieces, ordering: .relaxed)
    }

    /// Whether chains can be taken that had to wait until others were given back.
    func hasRoomAgain() -> Bool {
        guard misses.contains(.room), pieces.load(ordering: .relaxed) < Virtqueue.mostPieces else { return false }
        misses.remove(.room)
        return true
    }

    /// Where writes are noted from now on. `usedRing`: the guest's address of the used ring, if its changes are to be noted.
    func noteWrites(in log: WriteLog?, usedRing: UInt64?) {
        let begins = self.log == nil
        self.log = log
        loggedUsedRing = usedRing
        // A queue that has just been started has written its flags.
        if begins, log != nil, let rings { noteUsed(rings.place(of: .flags)) }
    }

    /// A part of the used ring was written.
    private func noteUsed(_ place: RingMemory.UsedPlace) {
        guard let log, let loggedUsedRing else { return }
        log.note(loggedUsedRing &+ place.offset, place.count)
    }

    @inline(__always)
    private func isHeld(_ head: UInt16) -> Bool {
        held[Int(head >> 6)] & 1 << UInt64(head & 63) != 0
    }

    @inline(__always)
    private func setHeld(_ head: UInt16, _ isHeld: Bool) {
        let bit: UInt64 = 1 << UInt64(head & 63)
        if isHeld { held[Int(head >> 6)] |= bit } else { held[Int(head >> 6)] &= ~bit }
    }
}

// MARK: Who wants to be told

extension Virtqueue {
    /// Whether the driver wants to be told of what was given back since this was last asked (VIRTIO 1.2, 2.7.7.2).
    func wantsCall() -> Bool {
        guard fault == nil, unannounced > 0, let rings = findRings() else { return false }
        // What was given back must be seen before the driver's wish is looked at: it writes that and looks again.
        vhu_fence_full()
        let count = unannounced
        let isFirst = isFirstCall
        unannounced = 0
        isFirstCall = false
        guard hasEventIndex else { return rings.availableFlags & Virtqueue.noCall == 0 }
        // The driver names a used index, and wants to know when it is passed.
        return isFirst || UInt32(nextUsed &- rings.usedEvent &- 1) < count
    }

    /// Says whether the driver is to kick. Returns whether there is something to take, of which no kick will tell. Who catches a fault
    /// calls `breakDown`.
    func setKicks(_ wanted: Bool) throws(VirtqueueFault) -> Bool {
        if let fault { throw fault }
        wantsKicks = wanted
        guard let rings = findRings() else { return false }
        if !hasEventIndex {
            rings.setUsedFlags(wanted ? 0 : Virtqueue.noKick)
            noteUsed(rings.place(of: .flags))
        } else if wanted {
            askForKick(rings)
        }
        guard wanted else { return false }
        // The driver must see the wish before its index is looked at: it writes that and looks again.
        vhu_fence_full()
        let hasNew = try waiting(rings)
        return hasNew || !begun.isEmpty
    }

    /// Whether the driver has put something in since this was last asked, and it was not all taken: for a driver that does not kick.
    func hasNews() -> Bool {
        guard fault == nil, wantsKicks, let rings = findRings() else { return false }
        let index = rings.availableIndex
        guard index != looked else { return false }
        looked = index
        return index != nextAvailable
    }

    /// With event indices, the driver kicks when its index passes the one that the device names; one that stays behind asks for no kick
    /// (VIRTIO 1.2, 2.7.10).
    @inline(__always)
    private func askForKick(_ rings: RingMemory) {
        guard hasEventIndex else { return }
        rings.setAvailableEvent(nextAvailable)
        noteUsed(rings.place(of: .event))
    }
}

// MARK: Its status

extension Virtqueue {
    /// include/vhushmem/status.h says what each key means.
    func write(to json: JsonText, _ state: StaticString) {
        json.beginObject()
        json.number("queue", UInt64(clamping: index))
        json.text("state", state)
        json.number("size", UInt64(size))
        json.number("next_avail", UInt64(nextAvailable))
        json.number("next_used", UInt64(nextUsed))
        json.number("held", UInt64(clamping: held.reduce(0) { $0 &+ $1.nonzeroBitCount }))
        json.bool("in_guest_memory", findRings() != nil)
        if let fault { json.text("fault", fault.sentence) } else { json.null("fault") }
        json.endObject()
    }
}
