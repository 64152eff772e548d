// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: Several chains at once

extension Backend {
    /// Takes up to `most` chains of a running queue, and looks at the driver's wishes once for all.
    ///
    /// - Parameters:
    ///   - index: the queue's number.
    ///   - most: the most chains to take.
    /// - Returns: the chains, in their order; none: there is none now.
    /// - Throws: what `pop(queue:)` does, if none was taken.
    public func popMany(queue index: Int, most: Int) throws(ShmemError) -> [DescriptorChain] {
        // A queue has no more.
        let most = min(max(most, 0), Int(UInt16.max) &+ 1)
        return unsafe try withUnsafeTemporaryAllocation(of: Unmanaged<DescriptorChain>?.self, capacity: most) {
            places throws(ShmemError) in
            guard let start = places.baseAddress else { return [] }
            let count = unsafe try popMany(queue: index, most: most, into: start)
            // SAFETY: so many were filled in.
            return (0..<count).compactMap { unsafe start[$0]?.takeRetainedValue() }
        }
    }

    /// The caller owns the references. Returns how many there are.
    @inline(__always)
    func popMany(queue index: Int, most: Int, into places: Virtqueue.Places) throws(ShmemError) -> Int {
        let ring = try running(index)
        var count = 0
        do throws(VirtqueueFault) {
            unsafe try ring.pop(most: most, into: places, &count)
        } catch {
            // The device owns the chains that were taken before the queue broke.
            let reason = broken(ring, error)
            if count == 0 { throw reason }
            return count
        }
        popped(ring, index, isEnd: count < most)
        return count
    }

    /// Gives chains of one queue back, and tells the driver once if it wants to know, as `notify` does. It stops at the first
    /// chain that cannot be given back.
    ///
    /// - Parameters:
    ///   - chains: the chains, in the order in which the driver finds them.
    ///   - written: how many bytes of each were written.
    ///   - index: the queue's number.
    /// - Returns: how many were given back.
    /// - Throws: what `push` does, if it was the first.
    @discardableResult
    public func pushMany(_ chains: [DescriptorChain], written: [UInt32], queue index: Int) throws(ShmemError) -> Int {
        unsafe try pushMany(queue: index, count: min(chains.count, written.count), areGiven: false) {
            unsafe (.passUnretained(chains[$0]), written[$0])
        }
    }

    /// The caller holds all of the chains. `areGiven`: its references to those that were given back go along.
    @inline(__always)
    func pushMany(queue index: Int, count: Int, areGiven: Bool, _ next: Virtqueue.NextOfBurst) throws(ShmemError) -> Int {
        // SAFETY: a ring that is in use belongs to its queue.
        guard let ring = unsafe rings[index]?.takeUnretainedValue() else { throw refusal(index) }
        var done = unsafe ring.pushPlain(count: count, areGiven: areGiven, next)
        while done < count {
            let (chain, written) = unsafe next(done)
            if let reason = unsafe push(chain, written: written, to: ring, isGiven: areGiven) {
                if done == 0 { throw reason }
                break
            }
            done = done &+ 1
        }
        guard done > 0 else { return 0 }
        ring.endBurst()
        finishPush(ring)
        _ = try? notify(queue: index)
        return done
    }

    /// Returns why it was not done; nil: the chain is a part of the burst now.
    @inline(never)
    private func push(
        _ chain: Unmanaged<DescriptorChain>?, written: UInt32, to ring: Virtqueue, isGiven: Bool
    ) -> ShmemError? {
        guard let chain = unsafe chain else { return ShmemError(EFAULT, "a chain is NULL") }
        // SAFETY: the caller holds it, and until the end of the burst so does the queue.
        return unsafe chain._withUnsafeGuaranteedRef { chain in
            guard UInt64(written) <= chain.writableSize else { return refusal(of: chain, written: written) }
            guard chain.isHeld(from: ring) else { return Backend.stale }
            switch ring.pushLater(chain, written: written, isGiven: isGiven) {
            case .done, .taken: return nil
            case .notHeld, .notNow, .broken: return refusal(of: chain, written: written)
            }
        }
    }
}
