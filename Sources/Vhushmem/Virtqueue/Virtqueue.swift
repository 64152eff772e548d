// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A started split virtqueue: it takes chains of descriptors, and gives them back. It knows no sockets and no file descriptors.
///
/// The driver writes all that is in guest memory, and may change it at any moment. So the library checks and uses one copy of
/// each value. The first impossible value breaks the queue: the library ignores it from then on.
@safe final class Virtqueue {
    static let indirectFeature: UInt64 = 1 << 28
    static let eventIndexFeature: UInt64 = 1 << 29
    /// VIRTQ_USED_F_NO_NOTIFY
    static let noKick: UInt16 = 1
    /// VIRTQ_AVAIL_F_NO_INTERRUPT
    static let noCall: UInt16 = 1
    /// The most pieces of all chains that the device holds: each takes memory of this process, and a driver can put the same
    /// descriptors into many chains.
    static let mostPieces = 1 << 20

    let home: ChainHome
    /// The number of the queue in its device.
    var index: Int { home.index }
    let size: UInt16
    private let addresses: VringAddresses
    let hasEventIndex: Bool
    private let takesIndirect: Bool
    private(set) var memory: BackendMemory
    /// nil: the rings must be looked up again, because guest memory has changed.
    private(set) var rings: RingMemory?
    /// The fault that broke it.
    private(set) var fault: VirtqueueFault?
    /// The device was told that the queue runs.
    var isAnnounced = false
    /// A fault that `take` has found and that is not reported yet.
    var found: VirtqueueFault?
    var refused = RefusedChains()
    /// The index of the available ring that is taken next.
    var nextAvailable: UInt16
    /// How many entries of the available ring this start has taken. Unlike the index, it never comes round.
    var taken: UInt64 = 0
    var nextUsed: UInt16
    /// How many entries the driver got since the last check of its wish.
    var unannounced: UInt32 = 0
    /// The driver has got no call yet in this life of the device, and may be waiting since the last one.
    var isFirstCall = true
    var wantsKicks = true
    /// The available index at the last `hasNews`.
    var looked: UInt16?
    /// One bit for each chain that the device has, by its head.
    let held: UnsafeMutablePointer<UInt64>
    var heldWords: Int { (Int(size) &+ 63) / 64 }
    private(set) var walk = DescriptorWalk()
    var spare = SpareChains()
    /// Chains that a burst has given back, and whose references it lets go of at its end.
    var leaving = ChainList()
    /// How many pieces they and the other chains of the burst had.
    var leavingPieces = 0
    let ledger: InflightLedger?
    /// Heads of chains that were begun before this life of the device. The next one is last.
    var begun: [UInt16] = []
    /// The log of writes to guest memory; nil: there is none.
    var log: WriteLog?
    /// Its bits, which a `push` uses.
    var logBits: LogBits?
    /// The front-end wants a signal for each logged write.
    var tellsOfWrites = false
    /// The used ring's guest address; nil: its changes are not logged.
    var loggedUsedRing: UInt64?
    /// What was not done because the rings, or room for more pieces, were missing.
    var misses: Misses = []

    struct Misses: OptionSet {
        let rawValue: UInt8
        static let rings = Misses(rawValue: 1)
        static let room = Misses(rawValue: 2)
    }

    /// Throws if the rings are not in guest memory.
    init(
        index: Int, size: UInt16, base: UInt16, features: UInt64, addresses: VringAddresses, memory: BackendMemory,
        ledger: InflightLedger?
    ) throws(VirtqueueFault) {
        home = ChainHome(index: index)
        self.size = size
        self.addresses = addresses
        self.memory = memory
        self.ledger = ledger
        hasEventIndex = features & Virtqueue.eventIndexFeature != 0
        takesIndirect = features & Virtqueue.indirectFeature != 0
        nextAvailable = base
        nextUsed = 0
        unsafe held = .allocate(capacity: (Int(size) &+ 63) / 64)
        unsafe held.initialize(repeating: 0, count: (Int(size) &+ 63) / 64)
        guard let rings = lookUpRings() else { throw VirtqueueFault("its rings lie outside of guest memory") }
        nextUsed = rings.usedIndex
        // An earlier life of the device may have left there that it wants no kicks.
        rings.setUsedFlags(0)
        nextAvailable = rings.beginning(from: base)
        guard let heads = ledger?.begin(usedIndex: nextUsed) else { return }
        begun = heads
        // The chains that were taken are those that were given back and those that were begun. After a back-end that died, the
        // base has neither.
        nextAvailable = nextUsed &+ UInt16(clamping: begun.count)
    }

    deinit {
        spare.removeAll()
        unsafe held.deallocate()
    }

    /// After a `push` there is something else to do: the front-end wants a signal, or there is room again.
    @inline(__always)
    var hasMoreToDo: Bool { tellsOfWrites || !misses.isEmpty }

    /// Uses other guest memory. A queue whose rings are gone waits for them: a front-end takes a range away to put a larger one
    /// back. Returns whether they are back, and were missed.
    func memoryChanged(to memory: BackendMemory) -> Bool {
        self.memory = memory
        // These hold the old memory.
        spare.removeAll()
        walk.memoryChanged()
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
    func findRings() -> RingMemory? { rings ?? lookUpRings() }

    private func lookUpRings() -> RingMemory? {
        rings = RingMemory(size: size, addresses, in: memory)
        if rings == nil { misses.insert(.rings) }
        return rings
    }

    /// Breaks the queue. The first fault counts.
    func breakDown(_ fault: VirtqueueFault) {
        if self.fault == nil { self.fault = fault }
    }
}

// MARK: Taking chains

extension Virtqueue {
    /// The same as `pop`, but a fault is left in `found`.
    @inline(__always)
    func take() -> Unmanaged<DescriptorChain>? {
        do throws(VirtqueueFault) {
            return unsafe try pop()
        } catch {
            found = error
            return nil
        }
    }

    /// The next chain; nil: there is none, or enough chains that cannot be served were given back for now. A caller that
    /// catches a fault calls `breakDown`. The caller owns the reference. Here and below, `Unmanaged` counts none.
    @_optimize(speed)
    func pop() throws(VirtqueueFault) -> Unmanaged<DescriptorChain>? {
        guard let rings = try ready(), let chain = unsafe try next(rings) else { return nil }
        home.add(pieces: unsafe chain._withUnsafeGuaranteedRef { $0.pieces })
        if wantsKicks { askForKick(rings) }
        return unsafe chain
    }

    /// The rings, if chains can be taken.
    @inline(__always)
    func ready() throws(VirtqueueFault) -> RingMemory? {
        if let fault { throw fault }
        refused.begin()
        guard let rings = findRings() else { return nil }
        guard home.pieceCount < Virtqueue.mostPieces else {
            misses.insert(.room)
            return nil
        }
        return rings
    }

    /// The head in the next entry of the available ring (VIRTIO 1.2, 2.7.6 and 2.7.13). Chains of an earlier life of the device
    /// come first. The ledger has them, and they keep their place there.
    @inline(never)
    @_optimize(speed)
    func next(_ rings: RingMemory) throws(VirtqueueFault) -> Unmanaged<DescriptorChain>? {
        // As many as there can be at a time: a driver that goes on putting in such chains gets no more of this thread's time.
        var left = size
        while true {
            let again = begun.last
            if again == nil {
                guard try hasMore(rings) else { return nil }
            }
            let head = again ?? rings.availableHead(at: nextAvailable)
            let chain = unsafe try chain(from: head, position: again == nil ? taken : nil, rings)
            if again == nil {
                ledger?.wasTaken(head)
                nextAvailable = nextAvailable &+ 1
                taken = taken &+ 1
            } else {
                begun.removeLast()
            }
            if let chain = unsafe chain { return unsafe chain }
            giveBackUnserved(head, rings)
            if refused.areEnough { return nil }
            guard left > 0 else { throw VirtqueueFault("too many chains in a row cannot be served") }
            left = left &- 1
        }
    }

    @inline(never)
    private func giveBackUnserved(_ head: UInt16, _ rings: RingMemory) {
        if wantsKicks { askForKick(rings) }
        giveBack(head, written: 0, rings)
    }

    /// nil: the chain cannot be served, and must be given back.
    @inline(__always)
    private func chain(
        from head: UInt16, position: UInt64?, _ rings: RingMemory
    ) throws(VirtqueueFault) -> Unmanaged<DescriptorChain>? {
        guard head < size else { throw VirtqueueFault("an entry of the available ring names no descriptor") }
        // So the device never holds more chains than there are descriptors, whatever a driver writes.
        guard !isHeld(head) else { throw VirtqueueFault("a chain was made available twice") }
        let chain = unsafe spare.take() ?? makeChain()
        let fault = unsafe chain._withUnsafeGuaranteedRef { chain -> VirtqueueFault? in
            do throws(VirtqueueFault) {
                try walk.follow(from: head, in: rings.descriptorTable, takesIndirect: takesIndirect, into: chain)
            } catch {
                return error
            }
            chain.begin(head: head, position: position)
            return nil
        }
        if let fault {
            spare.keep(unsafe chain.takeRetainedValue())
            guard fault.isOfChain else { throw fault }
            refused.add(walk)
            return nil
        }
        setHeld(head, true)
        return unsafe chain
    }

    @inline(never)
    private func makeChain() -> Unmanaged<DescriptorChain> { unsafe .passRetained(DescriptorChain(of: home, memory)) }

    /// Whether the driver has put in something that was not taken. If not, this asks it to kick.
    @inline(__always)
    private func hasMore(_ rings: RingMemory) throws(VirtqueueFault) -> Bool {
        if try waiting(rings) { return true }
        guard wantsKicks, hasEventIndex else { return false }
        // The driver may have put something in between the two looks, and found no kick wanted.
        askForKick(rings)
        vhu_fence_full()
        return try waiting(rings)
    }

    /// The driver has put in something that was not taken, or this is not known. Nobody takes it from a broken queue, until the
    /// front-end sets it up again.
    var mayHaveMore: Bool {
        guard let rings = findRings() else { return true }
        return rings.availableIndex != nextAvailable
    }

    /// The driver is ahead of the device by at most the size of the queue.
    @inline(__always)
    func waiting(_ rings: RingMemory) throws(VirtqueueFault) -> Bool {
        let count = rings.availableIndex &- nextAvailable
        guard count <= size else { throw VirtqueueFault("the available index is ahead by more than the queue's size") }
        return count > 0
    }

    /// Puts the chain that was taken last back, as if it had not been taken. False: it is not that one. Not for a broken queue.
    func putBack(_ chain: DescriptorChain) -> Bool {
        guard let position = chain.position, position == taken &- 1, chain.isHeld else { return false }
        taken = position
        nextAvailable = nextAvailable &- 1
        letGo(chain)
        ledger?.wasPutBack(chain.head)
        return true
    }
}
