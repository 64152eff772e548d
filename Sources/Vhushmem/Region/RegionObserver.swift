// SPDX-License-Identifier: BSD-3-Clause

/// What changes with a region, under its lock: a guest's memory slots. So it is exact at every moment, and when it is taken away
/// nothing is left of it.
protocol RegionFollower: AnyObject {
    /// The memory of the mapping is there, and nobody finds the mapping yet. What this throws undoes it.
    func mappingComes(_ record: MappingRecord, _ pages: ByteRange, in window: Window) throws(ShmemError)
    /// The memory of the mapping is about to go.
    func mappingGoes(_ record: MappingRecord)
    /// So is that of all mappings.
    func allMappingsGo()
    /// A mapping takes the place of another one, whose pages are the same.
    func mappingIsExchanged(
        _ old: MappingRecord, for new: MappingRecord, _ pages: ByteRange, in window: Window
    ) throws(ShmemError)
}

/// Someone outside of the library who wants to know what a region holds: the series' listeners. Called with no lock held, so a mapping
/// may come and go meanwhile; each is told of once when it comes and once when it goes, in this order.
protocol RegionObserver: AnyObject {
    /// The mapping can be read through the window; the back-end has not been answered yet.
    func regionDidMap(_ region: Region, _ record: MappingRecord)
    /// The memory of the mapping is about to go, unless another thread was quicker.
    func regionWillUnmap(_ region: Region, _ record: MappingRecord)
    /// The changes since the last commit are complete, and the back-end has been answered.
    func regionDidCommit(_ region: Region)
}

/// An observer that stands for the region outside of this library. The region owns it.
struct RegionStandIn {
    let observer: any RegionObserver
    /// What the program knows it by.
    let address: UnsafeMutableRawPointer
}

extension Region {
    /// From now on `observer` is told of every change. It is told at once of what there is, in `regionDidMap`.
    func observe(with observer: any RegionObserver) {
        device.lock.withLock {
            if self.observer == nil { device.countObserved(1) }
            self.observer = observer
        }
        var from: UInt64 = 0
        while let (record, end) = nextUnannounced(from: from) {
            from = end
            observer.regionDidMap(self, record)
            confirm(record, observer)
        }
    }

    /// Nobody is told of anything any more.
    func stopObserving() {
        device.lock.withLock {
            if observer != nil { device.countObserved(-1) }
            observer = nil
            // Who comes later is told of them anew.
            forEachRecordHeld { record, _ in
                if record.facts.isAnnounced { table.replace(with: record.unannounced) }
            }
        }
    }

    private func nextUnannounced(from offset: UInt64) -> (MappingRecord, end: UInt64)? {
        device.lock.withLock { () -> (MappingRecord, end: UInt64)? in
            var from = offset
            while let record = table.first(endingAfter: from), let pages = ownedPages(record) {
                if !record.facts.isAnnounced { return (record, pages.end) }
                from = pages.end
            }
            return nil
        }
    }

    /// Tells the observer of a mapping that has just come.
    @inline(never)
    func announce(_ record: MappingRecord, inPlaceOf old: MappingRecord?) {
        guard let watcher = device.lock.withLock({ observer }) else { return }
        if let old, old.facts.isAnnounced { watcher.regionWillUnmap(self, old) }
        watcher.regionDidMap(self, record)
        confirm(record, watcher)
    }

    /// Notes that the observer was told; if the mapping has gone meanwhile, it is told of that as well.
    private func confirm(_ record: MappingRecord, _ watcher: any RegionObserver) {
        let isThere = device.lock.withLock { () -> Bool in
            guard let now = table.find(at: record.start), now.isSame(as: record) else { return false }
            if observer != nil { table.replace(with: now.announced) }
            return true
        }
        if !isThere { watcher.regionWillUnmap(self, record) }
    }

    /// Tells the observer that what changed is complete. Called after the back-end was answered.
    @_optimize(speed)
    func commit() {
        guard device.isObserved else { return }
        let watcher = device.lock.withLock { observer }
        watcher?.regionDidCommit(self)
    }

    // MARK: With the lock held

    /// From now on `follower` changes with the region. Throws what it says of a mapping that is there; then it has been told that all go.
    func add(_ follower: any RegionFollower) throws(ShmemError) {
        var failure: ShmemError?
        forEachRecordHeld { record, pages in
            guard failure == nil else { return }
            do throws(ShmemError) {
                try follower.mappingComes(record, pages, in: window)
            } catch {
                failure = error
            }
        }
        if let failure {
            follower.allMappingsGo()
            throw failure
        }
        followers.append(follower)
    }

    func remove(_ follower: any RegionFollower) {
        follower.allMappingsGo()
        followers.removeAll { $0 === follower }
    }

    @inline(never)
    func tellFollowers(of record: MappingRecord, _ pages: ByteRange) throws(ShmemError) {
        for (index, follower) in followers.enumerated() {
            do throws(ShmemError) {
                try follower.mappingComes(record, pages, in: window)
            } catch {
                for told in followers[..<index] { told.mappingGoes(record) }
                throw error
            }
        }
    }

    @inline(never)
    func forgetByFollowers(_ record: MappingRecord) {
        for follower in followers { follower.mappingGoes(record) }
    }

    func forgetAllByFollowers() {
        for follower in followers { follower.allMappingsGo() }
    }

    func exchangeByFollowers(_ old: MappingRecord, for new: MappingRecord) throws(ShmemError) {
        guard let pages = ownedPages(old) else { return }
        for (index, follower) in followers.enumerated() {
            do throws(ShmemError) {
                try follower.mappingIsExchanged(old, for: new, pages, in: window)
            } catch {
                for told in followers[..<index] { try? told.mappingIsExchanged(new, for: old, pages, in: window) }
                throw error
            }
        }
    }
}

extension MappingRecord {
    private func with(_ identity: MappingIdentity) -> MappingRecord {
        MappingRecord(start: start, length: length, fileOffset: fileOffset, word: word, identity: identity.bits)
    }

    var announced: MappingRecord { with(facts.announced) }
    var unannounced: MappingRecord { with(facts.unannounced) }
    var leaving: MappingRecord { with(facts.leaving) }
    var staying: MappingRecord { with(facts.staying) }
}
