// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// Where this process has the three parts of a split virtqueue (VIRTIO 1.2, 2.7).
struct VirtqueueRings {
    let descriptors: UnsafeMutableRawPointer
    let available: UnsafeMutableRawPointer
    let used: UnsafeMutableRawPointer

    /// nil: a part lies outside of guest memory, or is not aligned.
    init?(size: UInt16, _ addresses: VringAddresses, in memory: BackendMemory) {
        let entries = UInt64(size)
        // Both rings end with the index that the other side wants to be told at.
        guard let descriptors = memory.host(atUser: addresses.descriptors, length: 16 &* entries),
            let available = memory.host(atUser: addresses.available, length: 6 &+ 2 &* entries),
            let used = memory.host(atUser: addresses.used, length: 6 &+ 8 &* entries),
            UInt(bitPattern: descriptors) & 15 == 0, UInt(bitPattern: available) & 1 == 0, UInt(bitPattern: used) & 3 == 0
        else { return nil }
        self.descriptors = descriptors
        self.available = available
        self.used = used
    }

    var availableIndex: UInt16 { UInt16(littleEndian: vhu_load16_acquire(available + 2)) }
    var availableFlags: UInt16 { UInt16(littleEndian: vhu_load16_relaxed(available)) }
    var usedIndex: UInt16 { UInt16(littleEndian: vhu_load16_relaxed(used + 2)) }

    /// `entry` is below the size.
    func availableEntry(_ entry: UInt16) -> UInt16 {
        UInt16(littleEndian: vhu_load16_relaxed(available + 4 + 2 * Int(entry)))
    }

    func storeUsed(_ entry: UInt16, head: UInt16, written: UInt32) {
        vhu_store32_relaxed(used + 4 + 8 * Int(entry), UInt32(head).littleEndian)
        vhu_store32_relaxed(used + 8 + 8 * Int(entry), written.littleEndian)
    }
}

/// A split virtqueue while it is started: takes chains of descriptors, and gives them back. Knows no sockets and no descriptors of
/// files.
///
/// All that stands in guest memory is the driver's to write, so each word is read once and checked. The first thing that can't be
/// breaks the queue: it is not touched any more.
final class Virtqueue {
    static let indirectFeature: UInt64 = 1 << 28
    static let eventIndexFeature: UInt64 = 1 << 29
    private static let noKick: UInt16 = 1
    private static let noCall: UInt16 = 1

    let size: UInt16
    private let addresses: VringAddresses
    private let hasEventIndex: Bool
    private let takesIndirect: Bool
    private var memory: BackendMemory
    /// nil: to be looked up anew, because guest memory has changed.
    private var rings: VirtqueueRings?
    /// What broke it.
    private(set) var fault: VirtqueueFault?
    /// The entry of the available ring that is taken next.
    private(set) var nextAvailable: UInt16
    private var nextUsed: UInt16
    /// How many entries the driver was given since it was last asked whether it wants to know.
    private var unannounced: UInt32 = 0
    /// The driver was told nothing yet in this life of the device, and may be waiting since the one before.
    private var isFirstCall = true
    private var wantsKicks = true
    /// One bit for each chain that the device has, by its head.
    private var held: [UInt64]
    private var walk = DescriptorWalk()
    private let ledger: InflightLedger?
    /// Where writes to guest memory are noted; nil: nowhere.
    var log: WriteLog?
    /// The used ring's place in the guest; nil: its changes are not noted.
    var loggedUsedRing: UInt64?
    /// Heads of chains that were begun before this life of the device, the next one last.
    private var begun: [UInt16]

    /// How many pieces the chains that the device holds may come to: each takes memory of this process, and a driver can put the same
    /// descriptors into many chains.
    private static let mostPieces = 1 << 20
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
        size: UInt16, base: UInt16, features: UInt64, addresses: VringAddresses, memory: BackendMemory,
        ledger: InflightLedger? = nil
    ) throws(VirtqueueFault) {
        self.size = size
        self.addresses = addresses
        self.memory = memory
        self.ledger = ledger
        hasEventIndex = features & Virtqueue.eventIndexFeature != 0
        takesIndirect = features & Virtqueue.indirectFeature != 0
        nextAvailable = base
        nextUsed = 0
        held = [UInt64](repeating: 0, count: (Int(size) &+ 63) / 64)
        begun = []
        guard let rings = findRings() else { throw VirtqueueFault("its rings lie outside of guest memory") }
        nextUsed = rings.usedIndex
        // An earlier life of the device may have left there that it wants no kicks.
        vhu_store16_relaxed(rings.used, 0)
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
        guard misses.contains(.rings), findRings() != nil else { return false }
        misses.remove(.rings)
        _ = try? setKicks(wantsKicks)
        return true
    }

    // MARK: Chains

    /// The next chain; nil: there is none.
    func pop() throws(VirtqueueFault) -> DescriptorChain? {
        if let fault { throw fault }
        do throws(VirtqueueFault) {
            guard let rings = findRings() else { return nil }
            guard pieces.load(ordering: .relaxed) < Virtqueue.mostPieces else {
                misses.insert(.room)
                return nil
            }
            if let head = begun.last {
                let chain = try chain(from: head, position: nil, rings)
                begun.removeLast()
                return chain
            }
            guard try hasMore(rings) else { return nil }
            let head = rings.availableEntry(nextAvailable & (size &- 1))
            let chain = try chain(from: head, position: nextAvailable, rings)
            nextAvailable = nextAvailable &+ 1
            if wantsKicks { askForKick(rings) }
            return chain
        } catch {
            fault = error
            throw error
        }
    }

    private func chain(from head: UInt16, position: UInt16?, _ rings: VirtqueueRings) throws(VirtqueueFault) -> DescriptorChain
    {
        guard head < size else { throw VirtqueueFault("an entry of the available ring names no descriptor") }
        // So the device never holds more chains than there are descriptors, whatever a driver writes.
        guard !isHeld(head) else { throw VirtqueueFault("a chain was made available twice") }
        walk.begin()
        try walk.follow(
            from: head, in: rings.descriptors, size: size, memory: memory, takesIndirect: takesIndirect)
        setHeld(head, true)
        pieces.wrappingAdd(walk.segments.count, ordering: .relaxed)
        // What was begun before is in the book, and keeps its place there.
        if position != nil { ledger?.wasTaken(head) }
        return DescriptorChain(walk, of: self, head: head, position: position, memory: memory)
    }

    /// Whether the driver has put in something that was not taken.
    private func hasMore(_ rings: VirtqueueRings) throws(VirtqueueFault) -> Bool {
        if try waiting(rings) { return true }
        guard wantsKicks, hasEventIndex else { return false }
        // Between our look at its index and its look at ours the driver may have put something in, and found no kick wanted.
        askForKick(rings)
        vhu_fence_full()
        return try waiting(rings)
    }

    private func waiting(_ rings: VirtqueueRings) throws(VirtqueueFault) -> Bool {
        let count = rings.availableIndex &- nextAvailable
        guard count <= size else { throw VirtqueueFault("the available index has gone further than the queue is long") }
        return count > 0
    }

    /// What became of a chain that was to be given back.
    enum Return {
        case done, notHeld
        /// The rings are not there.
        case notNow
        case broken(VirtqueueFault)
    }

    /// Gives a chain back to the driver: `written` bytes of what could be written were.
    func push(_ chain: DescriptorChain, written: UInt32) -> Return {
        if let fault { return .broken(fault) }
        guard isHeld(chain.head) else { return .notHeld }
        guard let rings = findRings() else { return .notNow }
        rings.storeUsed(nextUsed & (size &- 1), head: chain.head, written: written)
        ledger?.willBeGivenBack(chain.head)
        nextUsed = nextUsed &+ 1
        vhu_store16_release(rings.used + 2, nextUsed.littleEndian)
        ledger?.wasGivenBack(chain.head, usedIndex: nextUsed)
        if let log {
            chain.forEachWritten(written, log.note)
            noteUsed(4 &+ 8 &* UInt64((nextUsed &- 1) & (size &- 1)), 8)
            noteUsed(2, 2)
        }
        letGo(chain)
        unannounced = unannounced &+ 1
        return .done
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

    /// Puts the chain that was taken last back, as if it had not been. False: it is not that one.
    func putBack(_ chain: DescriptorChain) -> Bool {
        guard fault == nil, let position = chain.position, position == nextAvailable &- 1, isHeld(chain.head) else {
            return false
        }
        nextAvailable = position
        letGo(chain)
        ledger?.wasPutBack(chain.head)
        return true
    }

    // MARK: Who wants to be told

    /// Whether the driver wants to be told of what was given back since this was last asked.
    func wantsCall() throws(VirtqueueFault) -> Bool {
        if let fault { throw fault }
        guard unannounced > 0, let rings = findRings() else { return false }
        // What was given back must be seen before the driver's wish is looked at: it writes that and looks again.
        vhu_fence_full()
        let count = unannounced
        let isFirst = isFirstCall
        unannounced = 0
        isFirstCall = false
        guard hasEventIndex else { return rings.availableFlags & Virtqueue.noCall == 0 }
        // The index behind the ring, of which the driver wants to be told when it is passed (VIRTIO 1.2, 2.7.10).
        let event = UInt16(littleEndian: vhu_load16_relaxed(rings.available + 4 + 2 * Int(size)))
        return isFirst || UInt32(nextUsed &- event &- 1) < count
    }

    /// Says whether the driver is to kick. Returns whether there is something to take, of which no kick will tell.
    func setKicks(_ wanted: Bool) throws(VirtqueueFault) -> Bool {
        if let fault { throw fault }
        wantsKicks = wanted
        guard let rings = findRings() else { return false }
        do throws(VirtqueueFault) {
            // With event indices, the driver kicks when its index passes ours: one that stays behind asks for none.
            if !hasEventIndex {
                vhu_store16_relaxed(rings.used, (wanted ? 0 : Virtqueue.noKick).littleEndian)
                noteUsed(0, 2)
            } else if wanted {
                askForKick(rings)
            }
            guard wanted else { return false }
            vhu_fence_full()
            let hasNew = try waiting(rings)
            return hasNew || !begun.isEmpty
        } catch {
            fault = error
            throw error
        }
    }

    private func askForKick(_ rings: VirtqueueRings) {
        guard hasEventIndex else { return }
        vhu_store16_relaxed(rings.used + 4 + 8 * Int(size), nextAvailable.littleEndian)
        noteUsed(4 &+ 8 &* UInt64(size), 2)
    }

    /// Bytes of the used ring were written.
    private func noteUsed(_ offset: UInt64, _ count: UInt64) {
        guard let log, let loggedUsedRing else { return }
        log.note(loggedUsedRing &+ offset, count)
    }

    // MARK: State

    /// The device found that the driver did what it must not.
    func breakDown(_ fault: VirtqueueFault) {
        if self.fault == nil { self.fault = fault }
    }

    private func findRings() -> VirtqueueRings? {
        if rings == nil {
            rings = VirtqueueRings(size: size, addresses, in: memory)
            if rings == nil { misses.insert(.rings) }
        }
        return rings
    }

    private func isHeld(_ head: UInt16) -> Bool {
        held[Int(head >> 6)] & 1 << UInt64(head & 63) != 0
    }

    private func setHeld(_ head: UInt16, _ isHeld: Bool) {
        let bit: UInt64 = 1 << UInt64(head & 63)
        if isHeld { held[Int(head >> 6)] |= bit } else { held[Int(head >> 6)] &= ~bit }
    }
}
