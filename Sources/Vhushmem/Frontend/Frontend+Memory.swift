// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Guest memory, and mappings of other devices that are shared as guest memory.
///
/// A running back-end is told at once what has changed, and another one when the device is started. Each call has two forms:
/// one that waits, and one that calls `completion` once. Both throw EALREADY (an earlier change is still under way), ENOSPC
/// (more ranges than the back-end has slots for), EINVAL (ranges overlap, are not whole pages of their file, or of a file that
/// cannot be mapped), EACCES (a file cannot be read and written), ENOTCONN (the connection is over), and what `ask` throws.
extension Frontend {
    /// Sets the guest's memory, all of it.
    ///
    /// - Parameter ranges: the guest's RAM.
    /// - Throws: EALREADY (an earlier change is still under way), ENOSPC (more ranges than the back-end takes), EINVAL (a range
    ///   overlaps a region that is shared), ENOTCONN, and what `ask` throws.
    public func setMemory(_ ranges: [GuestMemory]) throws(ShmemError) {
        try tellMemory(.ram(ranges))
    }

    /// The same without waiting.
    ///
    /// - Parameters:
    ///   - ranges: the guest's RAM.
    ///   - completion: called once, with the error if it failed.
    /// - Throws: EALREADY, ENOSPC, EINVAL, EACCES, ENOTCONN, as the form that waits; then `completion` is not called.
    public func setMemory(
        _ ranges: [GuestMemory], completion: @escaping (ShmemError?) -> Void
    ) throws(ShmemError) {
        try tellMemory(.ram(ranges), outside(completion))
    }

    /// Shares a mapping of another device with the back-end as a range of guest memory, until `unshare`.
    ///
    /// - Parameters:
    ///   - mapping: a live, writable mapping of a region that keeps files.
    ///   - guestAddress: its guest address.
    /// - Throws: EEXIST (it is shared already), ENOENT (it is not live), EACCES (it is read-only), EBADF (its region keeps no
    ///   files), EMFILE, and what `setMemory` throws.
    public func share(_ mapping: Mapping, at guestAddress: UInt64) throws(ShmemError) {
        let range = try shared(mapping, at: guestAddress)
        try tellMemory(.share(range))
    }

    /// The same without waiting.
    ///
    /// - Parameters:
    ///   - mapping: a live, writable mapping of a region that keeps files.
    ///   - guestAddress: its guest address.
    ///   - completion: called once, with the error if it failed.
    /// - Throws: what the form that waits throws before it asks; then `completion` is not called.
    public func share(
        _ mapping: Mapping, at guestAddress: UInt64, completion: @escaping (ShmemError?) -> Void
    ) throws(ShmemError) {
        let range = try shared(mapping, at: guestAddress)
        try tellMemory(.share(range), outside(completion))
    }

    /// Takes a shared mapping away from the back-end.
    ///
    /// - Parameter mapping: one that was shared.
    /// - Throws: ENOENT (it is not shared), and what `setMemory` throws.
    public func unshare(_ mapping: Mapping) throws(ShmemError) {
        try requireShared(mapping)
        try tellMemory(.unshare(mapping))
    }

    /// The same without waiting.
    ///
    /// - Parameters:
    ///   - mapping: one that was shared.
    ///   - completion: called once, with the error if it failed.
    /// - Throws: ENOENT (it is not shared), and what the form that waits throws before it asks.
    public func unshare(_ mapping: Mapping, completion: @escaping (ShmemError?) -> Void) throws(ShmemError) {
        try requireShared(mapping)
        try tellMemory(.unshare(mapping), outside(completion))
    }

    private func shared(_ mapping: Mapping, at guestAddress: UInt64) throws(ShmemError) -> GuestMemory {
        guard !setup.memory.wanted.contains(where: { $0.mapping === mapping }) else {
            throw ShmemError(EEXIST, "the mapping is shared with this back-end already")
        }
        return try GuestMemory(mapping, at: guestAddress)
    }

    private func requireShared(_ mapping: Mapping) throws(ShmemError) {
        guard setup.memory.wanted.contains(where: { $0.mapping === mapping }) else {
            throw ShmemError(ENOENT, "the mapping is not shared with this back-end")
        }
    }

    private func tellMemory(_ change: MemoryChange) throws(ShmemError) {
        let failure: ShmemError? = try waitFor { done throws(ShmemError) in try tellMemory(change, done) }
        if let failure { throw failure }
    }

    private func tellMemory(
        _ change: MemoryChange, _ completion: @escaping (ShmemError?) -> Void
    ) throws(ShmemError) {
        guard !isLost else { throw ShmemError(ENOTCONN, "the connection to the back-end is over") }
        guard !setup.memory.isBeingTold else {
            throw ShmemError(EALREADY, "an earlier change of guest memory is still under way")
        }
        try requireNotStarting()
        let before = setup.memory.wanted
        let wanted = change.applied(to: before)
        for (index, range) in wanted.enumerated() {
            for other in wanted[..<index] where range.overlaps(other) {
                throw ShmemError(
                    EINVAL, "guest memory at \(hex(range.guestAddress)) overlaps the range at \(hex(other.guestAddress))")
            }
        }
        for range in wanted where setup.shares.overlaps(range.guestAddress, range.length) {
            throw ShmemError(EINVAL, "guest memory at \(hex(range.guestAddress)) overlaps a region that is shared")
        }
        if case .ram(let ranges) = change {
            for range in ranges { try range.check() }
        }
        setup.memory.wanted = wanted
        do throws(ShmemError) {
            // If there is a back-end, this finds out at once whether the ranges fit.
            let steps = isReady ? try memorySteps() : []
            setup.memory.isBeingTold = true
            setup.memory.former = before
            FrontendSequence(setup.run == .started ? steps : []).run(on: self) { frontend, error in
                if let frontend {
                    frontend.setup.memory.isBeingTold = false
                    frontend.setup.memory.former = []
                    if error != nil, !frontend.isKept(change) { frontend.setup.memory.wanted = before }
                    let next = frontend.setup.memory.whenTold
                    frontend.setup.memory.whenTold = nil
                    next?()
                }
                completion(error)
            }
        } catch {
            setup.memory.wanted = before
            throw error
        }
    }

    /// Whether a change stays although it failed. The VMM's memory does, also if the back-end was lost over it: the next one is
    /// told. A mapping that was not shared does not.
    private func isKept(_ change: MemoryChange) -> Bool {
        guard isAway else { return false }
        if case .share = change { return false }
        return true
    }

    /// The messages for a device that starts. A change may be under way from before a stop or a reset: it ends first, or its
    /// messages would be sent twice.
    func startMemorySteps() -> [FrontendSequence.Step] {
        [
            FrontendSequence.Step { frontend, done in
                guard frontend.setup.memory.isBeingTold else { return .nothing }
                frontend.setup.memory.whenTold = { done(nil) }
                return .later
            },
            FrontendSequence.Step { frontend, _ throws(ShmemError) in
                if !frontend.protocolFeatures.contains(.configureMemSlots) { frontend.setup.memory.told = [] }
                return .steps(try frontend.memorySteps() + frontend.shareSteps())
            },
        ]
    }

    /// The messages that tell what the back-end does not know yet.
    func memorySteps() throws(ShmemError) -> [FrontendSequence.Step] {
        let slots = protocolFeatures.contains(.configureMemSlots) ? negotiated.memorySlots : nil
        let steps = try setup.memory.questions(slots: slots).map { message in
            FrontendSequence.ask(message.question) { frontend, _ in
                frontend.setup.memory.wasTold(message)
                return nil
            }
        }
        // RAM goes first: if it takes the slots of shared mappings, those are given up.
        return steps.isEmpty || setup.shares.isEmpty ? steps : [FrontendSequence.act { $0.makeRoomForMemory() }] + steps
    }
}
