// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Shares the mappings of regions with the front-end's own back-end, each as a range of guest memory, so that a buffer of the
/// guest may lie in one.
///
/// The loop sends the messages, behind the answer to the request that mapped something. Nothing waits for them.
extension Frontend {
    /// The most messages about shared mappings that may be under way. Each has a descriptor of its own until it is sent.
    static let mostSharesUnderWay = 16

    /// Shares each mapping of a region, now and later, until `unshareRegion`.
    ///
    /// - Parameters:
    ///   - region: a region of this front-end's device that keeps files.
    ///   - guestAddress: guest address of the region's first byte.
    ///   - writableOnly: leave out read-only mappings.
    /// - Throws: ENOTCONN (not ready yet, or over), EINVAL (a region of another device; the address; it overlaps guest memory),
    ///   EBADF (the region keeps no files), EOPNOTSUPP (CONFIGURE_MEM_SLOTS was not agreed on), EEXIST (it is shared already).
    public func shareRegion(_ region: Region, at guestAddress: UInt64, writableOnly: Bool = false) throws(ShmemError) {
        guard setup.wasReady, !isLost, let alarm = loops.alarm else {
            throw region.notShared(ENOTCONN, "the front-end is not ready yet, or its connection is over")
        }
        guard device.region(shmid: region.shmid) === region else {
            throw region.notShared(EINVAL, "it is a region of another device")
        }
        guard region.options.keepsFiles else { throw region.notShared(EBADF, "it keeps no descriptors of files") }
        guard protocolFeatures.contains(.configureMemSlots) else {
            throw region.notShared(EOPNOTSUPP, "the back-end did not agree to CONFIGURE_MEM_SLOTS")
        }
        guard guestAddress.isMultiple(ofPage: Page.size), ByteRange(start: guestAddress, length: region.size) != nil else {
            throw region.notShared(EINVAL, "the guest's address is no multiple of the page size, or it wraps around")
        }
        guard share(of: region) == nil else { throw region.notShared(EEXIST, "it is shared already") }
        var isTaken = setup.shares.overlaps(guestAddress, region.size)
        for range in setup.memory.wanted + setup.memory.former
        where guestAddress < range.guestAddress &+ range.length && range.guestAddress < guestAddress &+ region.size {
            isTaken = true
        }
        guard !isTaken else { throw region.notShared(EINVAL, "it overlaps guest memory") }
        let share = RegionShare(region, at: guestAddress, isWritableOnly: writableOnly, alarm: alarm)
        try share.begin()
        setup.shares.all.append(share)
        watch()
    }

    /// Takes all mappings of a region away from the back-end.
    ///
    /// - Parameter region: one that was shared.
    /// - Throws: ENOENT: it is not shared.
    public func unshareRegion(_ region: Region) throws(ShmemError) {
        guard let share = share(of: region) else { throw region.notShared(ENOENT, "it is not shared") }
        setup.shares.remove(share)
        watch()
    }

    /// Counts the mappings of a shared region that the back-end was told of.
    ///
    /// - Parameter region: the region.
    /// - Returns: the number; nil: the region is not shared.
    public func sharedMappings(of region: Region) -> Int? {
        share(of: region)?.toldCount
    }

    func share(of region: Region) -> RegionShare? {
        setup.shares.all.first { $0.region === region }
    }

    // MARK: Telling

    /// A change of RAM and a start go first, and so do the answers to maps.
    private var canTellShares: Bool {
        guard isReady, setup.reset == .none, setup.run != .starting, !setup.memory.isBeingTold,
            protocolFeatures.contains(.configureMemSlots), setup.shares.underWay < Frontend.mostSharesUnderWay
        else { return false }
        guard let channel = connection?.channel else { return true }
        return !channel.isCarryingOut && !channel.stream.hasUnsent
    }

    var hasSharesToTell: Bool {
        guard canTellShares else { return false }
        if !setup.shares.gone.isEmpty { return true }
        var hasUnseen = false
        for share in setup.shares.all {
            if share.isChanged { return true }
            if share.hasUnseen || share.waitingCount > 0 { hasUnseen = true }
        }
        return hasUnseen && setup.run == .started && freeSlots > 0
    }

    /// Tells the back-end what has changed, as far as possible now.
    func tellShares() {
        guard canTellShares else { return }
        findShares()
        while canTellShares, !setup.shares.gone.isEmpty { removeOneShare() }
        // A mapping is not told twice, and a device that runs alone may use it.
        while canTellShares, setup.shares.gone.isEmpty, setup.run == .started, let call = nextShare() {
            try? submit(call)
        }
    }

    /// Updates what is known of the regions.
    private func findShares() {
        for share in setup.shares.all {
            setup.shares.gone += share.forgetGone()
            if setup.run == .started { share.findNew(freeSlots &- setup.shares.waitingCount) }
        }
    }

    /// Free slots of the back-end.
    private var freeSlots: Int {
        let slots = Int(clamping: negotiated.memorySlots)
        let ram = max(setup.memory.wanted.count, setup.memory.told.count)
        return max(0, slots &- ram &- setup.shares.toldCount &- setup.shares.gone.count)
    }

    private func removeOneShare() {
        let region = setup.shares.gone.removeFirst()
        let payload = unsafe encoded(SingleMemoryRegion.size, SingleMemoryRegion(region).encode)
        try? submit(sharing(FrontendQuestion(.remMemReg, payload), of: nil, generation: 0) { _ in })
    }

    /// The message for the next mapping; nil: there is none. A refusal leaves the mapping out, and is no failure for `done`.
    private func nextShare(_ done: @escaping (ShmemError?) -> Void = { _ in }) -> FrontendCall? {
        guard freeSlots > 0 else { return nil }
        for share in setup.shares.all {
            guard let (mapping, region, file) = share.takeWaiting() else { continue }
            let payload = unsafe encoded(SingleMemoryRegion.size, SingleMemoryRegion(region).encode)
            let question = FrontendQuestion(.addMemReg, payload, descriptors: [file])
            return sharing(question, of: share, generation: mapping.generation, done)
        }
        return nil
    }

    private func sharing(
        _ question: FrontendQuestion<Void>, of share: RegionShare?, generation: UInt64, _ done: @escaping (ShmemError?) -> Void
    ) -> FrontendCall {
        setup.shares.underWay &+= 1
        // The front-end owns the connection, which has the call: the call retains neither.
        let asked = connection.map { ObjectIdentifier($0) }
        return question.call { [way, payload = question.payload] result in
            let isOfConnection = way.target?.shareWasAnswered(asked) == true
            guard case .failure(let error) = result else { return done(nil) }
            if isOfConnection, error.code == ETOOMANYREFS, share?.tellLater(generation: generation) == false {
                way.target?.forgetRemoval(payload)
            }
            let isRefused = isOfConnection && error.code == EIO
            if isRefused {
                share?.leaveOut(generation: generation)
                Log.warning("the back-end could not be told of a shared mapping: \(error.message)")
            }
            done(isRefused ? nil : error)
        }
    }

    /// What the back-end was not told of is not taken away. `payload`: the same in both messages.
    private func forgetRemoval(_ payload: [UInt8]) {
        let isSame = { unsafe encoded(SingleMemoryRegion.size, SingleMemoryRegion($0).encode) == payload }
        if let index = setup.shares.gone.lastIndex(where: isSame) {
            setup.shares.gone.remove(at: index)
        } else {
            connection?.takeBack(.remMemReg, payload)?.complete(.success(FrontendReply()))
        }
    }

    /// False: the connection is over.
    private func shareWasAnswered(_ asked: ObjectIdentifier?) -> Bool {
        guard let connection, ObjectIdentifier(connection) == asked else { return false }
        setup.shares.underWay &-= 1
        return true
    }

    // MARK: Start, and changes of RAM

    /// Before the queues start, the back-end must know the mappings: a request may wait in a ring.
    func shareSteps() -> [FrontendSequence.Step] {
        guard !setup.shares.isEmpty, protocolFeatures.contains(.configureMemSlots) else { return [] }
        for share in setup.shares.all {
            setup.shares.gone += share.forgetGone()
            share.findNew(freeSlots &- setup.shares.waitingCount)
        }
        var steps = [FrontendSequence.act { $0.makeRoomForMemory() }]
        for _ in 0..<setup.shares.waitingCount {
            steps.append(
                FrontendSequence.Step { frontend, done throws(ShmemError) in
                    frontend.nextShare(done).map { .call(.addMemReg, $0) } ?? .nothing
                })
        }
        return steps
    }

    /// Gives up slots that RAM needs, and takes away mappings that are gone. These messages have no descriptors, and nothing
    /// waits for their answers.
    func makeRoomForMemory() {
        let slots = Int(clamping: negotiated.memorySlots)
        while setup.shares.toldCount > max(0, slots &- setup.memory.wanted.count), let told = setup.shares.takeBackLast() {
            setup.shares.gone.append(told)
        }
        while !setup.shares.gone.isEmpty, isConnected { removeOneShare() }
    }
}

/// The regions of its own device that a front-end shares.
struct SharedRegions {
    var all: [RegionShare] = []
    /// The back-end knows them, but they are not mapped or shared any more.
    var gone: [MemoryTableRegion] = []
    /// Messages without an answer yet.
    var underWay = 0

    @inline(__always)
    var isEmpty: Bool { all.isEmpty && gone.isEmpty }

    var toldCount: Int { all.reduce(0) { $0 &+ $1.toldCount } }
    var waitingCount: Int { all.reduce(0) { $0 &+ $1.waitingCount } }

    func overlaps(_ guestAddress: UInt64, _ length: UInt64) -> Bool {
        for share in all
        where guestAddress < share.guestAddress &+ share.region.size && share.guestAddress < guestAddress &+ length {
            return true
        }
        return false
    }

    mutating func remove(_ share: RegionShare) {
        share.end()
        for mapping in share.mappings {
            if let told = mapping.told { gone.append(told) }
        }
        all.removeAll { $0 === share }
    }

    func takeBackLast() -> MemoryTableRegion? {
        for share in all.reversed() {
            if let told = share.takeBackLast() { return told }
        }
        return nil
    }

    /// The next back-end knows nothing of it.
    mutating func connectionEnded(isForGood: Bool) {
        gone = []
        underWay = 0
        for share in all {
            if isForGood { share.end() } else { share.forgetAll() }
        }
        if isForGood { all = [] }
    }
}

extension Region {
    fileprivate func notShared(_ code: Int32, _ why: StaticString) -> ShmemError {
        ShmemError(code, "cannot share region \(shmid) with its back-end: \(why)")
    }
}
