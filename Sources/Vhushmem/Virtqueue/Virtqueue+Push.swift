// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: Giving chains back

extension Virtqueue {
    /// The outcome of giving a chain back.
    enum Return {
        case done, notHeld
        /// It is done, and the reference that was given is taken.
        case taken
        /// The rings are not there now.
        case notNow
        /// `fault` says why.
        case broken
    }

    /// Gives a chain back to the driver, with `written` bytes of its writable part written. `isGiven`: the caller's reference
    /// goes along, if it can be used (`taken`).
    ///
    /// The used entry is written before the used index (VIRTIO 1.2, 2.7.8.2). The ledger notes the chain before the index and
    /// again after it.
    @_optimize(speed)
    func push(_ chain: DescriptorChain, written: UInt32, isGiven: Bool = false) -> Return {
        guard fault == nil else { return .broken }
        // The chain itself decides, and not its head: the driver may have offered the head again meanwhile.
        guard chain.isHeld else { return .notHeld }
        guard let rings = findRings() else { return .notNow }
        giveBack(chain.head, written: written, rings)
        if let logBits { chain.noteWritten(written, in: logBits) }
        return letGo(chain, isGiven: isGiven) ? .taken : .done
    }

    @inline(__always)
    func fillIn(_ head: UInt16, written: UInt32, _ rings: RingMemory) {
        rings.setUsed(at: nextUsed, head: head, written: written)
        if loggedUsedRing != nil { noteUsed(rings.place(of: .entry(nextUsed))) }
        nextUsed = nextUsed &+ 1
        unannounced = unannounced &+ 1
    }

    @inline(__always)
    func publish(_ rings: RingMemory) {
        rings.publishUsedIndex(nextUsed)
        if loggedUsedRing != nil { noteUsed(rings.place(of: .index)) }
    }

    @inline(__always)
    func giveBack(_ head: UInt16, written: UInt32, _ rings: RingMemory) {
        fillIn(head, written: written, rings)
        ledger?.willBeGivenBack(head)
        publish(rings)
        ledger?.wasGivenBack(head, usedIndex: nextUsed)
    }

    @inline(__always)
    @discardableResult
    func letGo(_ chain: DescriptorChain, isGiven: Bool = false) -> Bool {
        home.remove(pieces: chain.pieces)
        return retire(chain, isGiven: isGiven)
    }

    /// The device does not hold it any more. Returns whether the caller's reference was taken.
    @inline(__always)
    func retire(_ chain: DescriptorChain, isGiven: Bool) -> Bool {
        setHeld(chain.head, false)
        chain.end()
        // A chain that was taken before guest memory changed holds the old memory.
        return chain.isOf(memory) && spare.keep(chain, isGiven: isGiven)
    }

    /// Whether chains can be taken again that had to wait until others were given back.
    func hasRoomAgain() -> Bool {
        guard misses.contains(.room), home.pieceCount < Virtqueue.mostPieces else { return false }
        misses.remove(.room)
        return true
    }

    /// Sets the log of writes. `usedRing`: the guest address of the used ring, if its changes must be logged. `isTold`: the
    /// front-end wants a signal each time.
    func noteWrites(in log: WriteLog?, usedRing: UInt64?, isTold: Bool) {
        let begins = self.log == nil
        tellsOfWrites = log != nil && isTold
        self.log = log
        logBits = log?.bits
        loggedUsedRing = log != nil ? usedRing : nil
        // A queue that has just been started has written its flags.
        if begins, log != nil, let rings { noteUsed(rings.place(of: .flags)) }
    }

    /// Logs a part of the used ring.
    @inline(never)
    func noteUsed(_ place: RingMemory.UsedPlace) {
        guard let logBits, let loggedUsedRing else { return }
        logBits.note(loggedUsedRing &+ place.offset, place.count)
    }

    @inline(__always)
    func isHeld(_ head: UInt16) -> Bool {
        // SAFETY: there is a bit for each descriptor, and `head` is below their number.
        unsafe held[Int(head >> 6)] & 1 &<< UInt64(head & 63) != 0
    }

    @inline(__always)
    func setHeld(_ head: UInt16, _ isHeld: Bool) {
        let bit: UInt64 = 1 &<< UInt64(head & 63)
        // SAFETY: as above.
        if isHeld { unsafe held[Int(head >> 6)] |= bit } else { unsafe held[Int(head >> 6)] &= ~bit }
    }
}
