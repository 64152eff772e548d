// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: Several chains at once

extension Virtqueue {
    /// Where a burst of chains goes. Each has a reference, which the reader owns.
    typealias Places = UnsafeMutablePointer<Unmanaged<DescriptorChain>?>

    /// Takes chains until there are no more, or `most` were taken. `places` has room for so many. `count` is 0 at first, and
    /// counts those that were taken, also if a fault comes after them.
    @_optimize(speed)
    func pop(most: Int, into places: Places, _ count: inout Int) throws(VirtqueueFault) {
        guard let rings = try ready() else { return }
        // Other threads can only make it smaller.
        let before = home.pieceCount
        // Each has one piece.
        count = unsafe takePlain(rings, most: min(most, Virtqueue.mostPieces &- before), into: places)
        var pieces = count
        // One addition for all, also before a fault.
        defer { home.add(pieces: pieces) }
        while count < most {
            guard before &+ pieces < Virtqueue.mostPieces else {
                misses.insert(.room)
                break
            }
            guard let chain = unsafe try next(rings) else { break }
            pieces = pieces &+ (unsafe chain._withUnsafeGuaranteedRef { $0.pieces })
            // SAFETY: there is room for `most`.
            unsafe places[count] = unsafe chain
            count = count &+ 1
        }
        if count > 0, wantsKicks { askForKick(rings) }
    }

    /// Takes the usual chains: one direct descriptor, in the range of guest memory where the last buffer was. It stops at the
    /// first chain that is unusual or wrong, or for which there is no spare one, and does not take it. `next` reads that chain
    /// again, and decides what it is.
    @inline(never)
    @_optimize(speed)
    private func takePlain(_ rings: RingMemory, most: Int, into places: Places) -> Int {
        let span = walk.span
        // Without a ledger there is nothing in `begun`. A range that is read-only needs a look at each descriptor's flags.
        guard ledger == nil, let start = unsafe span.writable else { return 0 }
        let waiting = rings.availableIndex &- nextAvailable
        guard waiting <= size else { return 0 }
        let most = min(most, Int(waiting))
        let table = rings.descriptorTable
        // Local, so that the loop keeps them in registers.
        var (chains, available, position) = (spare, nextAvailable, taken)
        let held = unsafe self.held
        var count = 0
        while count < most {
            let head = rings.availableHead(at: available)
            let bit: UInt64 = 1 &<< UInt64(head & 63)
            // SAFETY: `held` has a bit for each descriptor of the table, and this one is looked up there before.
            guard let descriptor = table[UInt32(head)], descriptor.isAlone, descriptor.length > 0,
                let offset = span.offset(of: descriptor.address, UInt64(descriptor.length)),
                unsafe held[Int(head >> 6)] & bit == 0, let chain = unsafe chains.take()
            else { break }
            unsafe chain._withUnsafeGuaranteedRef { chain in
                // SAFETY: the buffer lies in the span, which begins at `start`.
                unsafe chain.begin(head: head, position: position, with: descriptor, at: start + offset)
            }
            // SAFETY: as above.
            unsafe held[Int(head >> 6)] |= bit
            // SAFETY: there is room for `most`.
            unsafe places[count] = unsafe chain
            available = available &+ 1
            position = position &+ 1
            count = count &+ 1
        }
        spare = chains
        nextAvailable = available
        taken = position
        return count
    }

    /// The chain with this number in a burst that is given back, and how much was written to it. nil: the program gave NULL.
    typealias NextOfBurst = (Int) -> (chain: Unmanaged<DescriptorChain>?, written: UInt32)

    /// Gives chains back up to the first that needs more work or cannot be given back. `pushLater` is for the others. Returns
    /// how many. `areGiven`: the caller's references go along. The driver finds the chains when `endBurst` is called.
    @inline(__always)
    func pushPlain(count: Int, areGiven: Bool, _ next: NextOfBurst) -> Int {
        guard ledger == nil, fault == nil, logBits == nil, let rings = findRings() else { return 0 }
        var (chains, used) = (spare, nextUsed)
        let held = unsafe self.held
        var done = 0
        var pieces = 0
        while done < count {
            let (chain, written) = unsafe next(done)
            guard let chain = unsafe chain else { break }
            // SAFETY: the caller holds it, and until the end of the burst so does the queue.
            let isDone = unsafe chain._withUnsafeGuaranteedRef { chain -> Bool in
                guard UInt64(written) <= chain.writableSize, chain.isHeld(from: self), chain.isOf(memory),
                    chains.hasRoom(for: chain)
                else { return false }
                let head = chain.head
                rings.setUsed(at: used, head: head, written: written)
                // SAFETY: as for `setHeld`. The head was checked when the chain was taken.
                unsafe held[Int(head >> 6)] &= ~(1 &<< UInt64(head & 63))
                chain.end()
                pieces = pieces &+ chain.pieces
                chains.add(chain, isGiven: areGiven)
                return true
            }
            guard isDone else { break }
            used = used &+ 1
            done = done &+ 1
        }
        spare = chains
        nextUsed = used
        unannounced = unannounced &+ UInt32(truncatingIfNeeded: done)
        leavingPieces = leavingPieces &+ pieces
        return done
    }

    /// Gives a chain back as a part of a burst: the driver finds it when `endBurst` is called. `isGiven`: the caller's reference
    /// goes along in any case, if the chain was given back.
    @inline(never)
    func pushLater(_ chain: DescriptorChain, written: UInt32, isGiven: Bool) -> Return {
        // The ledger can note only one chain at a time that may have been given back.
        guard ledger == nil else { return pushAtOnce(chain, written: written, isGiven: isGiven) }
        guard fault == nil else { return .broken }
        guard chain.isHeld else { return .notHeld }
        guard let rings = findRings() else { return .notNow }
        fillIn(chain.head, written: written, rings)
        if let logBits { chain.noteWritten(written, in: logBits) }
        leavingPieces = leavingPieces &+ chain.pieces
        if !retire(chain, isGiven: isGiven), isGiven { unsafe leaving.add(.passUnretained(chain)) }
        return .done
    }

    private func pushAtOnce(_ chain: DescriptorChain, written: UInt32, isGiven: Bool) -> Return {
        let result = push(chain, written: written, isGiven: isGiven)
        // The same chain may come again in this burst, so it must live until the end of it.
        if case .done = result, isGiven { unsafe leaving.add(.passUnretained(chain)) }
        return result
    }

    /// Shows the driver what a burst has given back.
    func endBurst() {
        if ledger == nil, let rings = findRings() { publish(rings) }
        if leavingPieces > 0 { home.remove(pieces: leavingPieces) }
        leavingPieces = 0
        leaving.removeAll()
    }
}
