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
        var chains: [DescriptorChain] = []
        _ = unsafe try popMany(queue: index, most: most) { chains.append(unsafe $0.takeRetainedValue()) }
        return chains
    }

    /// Hands the chains to `take`, which owns the references. Returns how many there were.
    @inline(__always)
    func popMany(queue index: Int, most: Int, _ take: (Unmanaged<DescriptorChain>) -> Void) throws(ShmemError) -> Int {
        let ring = try running(index)
        var count = 0
        do throws(VirtqueueFault) {
            _ = unsafe try ring.pop(most: most) {
                count = count &+ 1
                unsafe take($0)
            }
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

    /// `next`: the chain with this number, and how much was written to it. The caller holds all of them. `areGiven`: its
    /// references to those that were given back go along.
    @inline(__always)
    func pushMany(
        queue index: Int, count: Int, areGiven: Bool, _ next: (Int) throws(ShmemError) -> (Unmanaged<DescriptorChain>, UInt32)
    ) throws(ShmemError) -> Int {
        // SAFETY: a ring that is in use belongs to its queue.
        guard let ring = unsafe rings[index]?.takeUnretainedValue() else { throw refusal(index) }
        var done = 0
        do throws(ShmemError) {
            while done < count {
                let (chain, written) = unsafe try next(done)
                // SAFETY: the caller holds it, and until the end of the burst so does the queue.
                let isDone = unsafe chain._withUnsafeGuaranteedRef { chain in
                    guard UInt64(written) <= chain.writableSize, chain.isHeld(from: ring) else { return false }
                    switch ring.pushLater(chain, written: written, isGiven: areGiven) {
                    case .done, .taken: return true
                    case .notHeld, .notNow, .broken: return false
                    }
                }
                guard isDone else { throw unsafe refusal(of: chain.takeUnretainedValue(), written: written, from: ring) }
                done = done &+ 1
            }
        } catch {
            if done == 0 { throw error }
        }
        guard done > 0 else { return 0 }
        ring.endBurst()
        finishPush(ring)
        _ = try? notify(queue: index)
        return done
    }

    @inline(never)
    private func refusal(of chain: DescriptorChain, written: UInt32, from ring: Virtqueue) -> ShmemError {
        UInt64(written) > chain.writableSize || chain.isHeld(from: ring) ? refusal(of: chain, written: written) : Backend.stale
    }
}
