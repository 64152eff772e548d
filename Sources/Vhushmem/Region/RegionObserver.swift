// SPDX-License-Identifier: BSD-3-Clause

/// An object that changes with a region, while its lock is held: a guest's memory slots. So it is exact at every moment, and
/// leaves nothing behind when it is taken away.
protocol RegionFollower: AnyObject {
    /// The memory of the mapping is there, and no reader finds the mapping yet. An error that this throws undoes the mapping.
    func mappingComes(_ record: MappingRecord, _ pages: ByteRange, in window: RegionWindow, _ held: Region.Held)
        throws(ShmemError)
    /// The memory of the mapping is about to go.
    func mappingGoes(_ record: MappingRecord, _ held: Region.Held)
    /// The memory of all mappings is about to go.
    func allMappingsGo(_ held: Region.Held)
    /// A mapping replaces another one, whose pages are the same.
    func mappingIsExchanged(
        _ old: MappingRecord, for new: MappingRecord, _ pages: ByteRange, in window: RegionWindow, _ held: Region.Held
    ) throws(ShmemError)
}

/// Observes what a region holds; the only observers are RegionContainer, which forwards to the series' listeners, and
/// ChangeWatch. It is called with no lock held, so a mapping may come and go meanwhile. It hears of each once when it comes and
/// once when it goes, in this order.
protocol RegionObserver: AnyObject {
    /// The mapping can be read through the window; the back-end has not been answered yet.
    func regionDidMap(_ region: Region, _ record: MappingRecord)
    /// The memory of the mapping is about to go, unless another thread was quicker.
    func regionWillUnmap(_ region: Region, _ record: MappingRecord)
    /// The memory of the mapping has gone, and a hole is there.
    func regionDidUnmap(_ region: Region, _ record: MappingRecord)
    /// A mapping has replaced another one in one step.
    func regionDidReplace(_ region: Region, _ old: MappingRecord, by record: MappingRecord)
    /// The changes since the last commit are complete, and the back-end has been answered.
    func regionDidCommit(_ region: Region)
}

extension RegionObserver {
    func regionDidUnmap(_ region: Region, _ record: MappingRecord) {}

    func regionDidReplace(_ region: Region, _ old: MappingRecord, by record: MappingRecord) {
        regionWillUnmap(region, old)
        regionDidMap(region, record)
    }
}

/// An observer that stands for the region outside of this library. The region owns it.
@safe struct RegionStandIn {
    let observer: any RegionObserver
    /// The address by which the program knows it.
    let address: UnsafeMutableRawPointer
}

extension Region {
    /// From now on `observer` hears of every change. It hears at once of the present mappings, in `regionDidMap`.
    func observe(with observer: any RegionObserver) {
        let watch = device.lock.withLock { held -> ChangeWatch? in
            if let watch = self.watch[held] {
                watch.listener[held] = observer
                return watch
            }
            if self.observer[held] == nil { device.countObserved(1) }
            self.observer[held] = observer
            return nil
        }
        // The watch knows the present mappings already.
        if watch != nil { forEachRecord { if $0.facts.isAnnounced { observer.regionDidMap(self, $0) } } }
        var from: UInt64 = 0
        while let (record, end) = nextUnannounced(from: from) {
            from = end
            observer.regionDidMap(self, record)
            confirm(record, observer)
        }
    }

    /// The observer hears of nothing any more.
    func stopObserving() {
        device.lock.withLock { held in
            if let watch = watch[held] {
                watch.listener[held] = nil
                return
            }
            if observer[held] != nil { device.countObserved(-1) }
            observer[held] = nil
            // A later observer hears of them again.
            forEachRecord(held) { record, _ in
                if record.facts.isAnnounced { table[held].replace(with: record.unannounced) }
            }
        }
    }

    private func nextUnannounced(from offset: UInt64) -> (MappingRecord, end: UInt64)? {
        device.lock.withLock { held -> (MappingRecord, end: UInt64)? in
            var from = offset
            while let record = table[held].first(endingAfter: from), let pages = ownedPages(record) {
                if !record.facts.isAnnounced { return (record, pages.end) }
                from = pages.end
            }
            return nil
        }
    }

    /// Tells the observer of a mapping that has just come.
    @inline(never)
    func announce(_ record: MappingRecord, inPlaceOf old: MappingRecord?) {
        guard let watcher = device.lock.withLock({ held in observer[held] }) else { return }
        if let old, old.facts.isAnnounced {
            watcher.regionDidReplace(self, old, by: record)
        } else {
            watcher.regionDidMap(self, record)
        }
        confirm(record, watcher)
    }

    /// Notes that the observer was told. If the mapping has gone meanwhile, this tells it of that as well.
    private func confirm(_ record: MappingRecord, _ watcher: any RegionObserver) {
        let isThere = device.lock.withLock { held -> Bool in
            guard let now = table[held].find(at: record.start), now.isSame(as: record) else { return false }
            if observer[held] != nil { table[held].replace(with: now.announced) }
            return true
        }
        if isThere { return }
        watcher.regionWillUnmap(self, record)
        watcher.regionDidUnmap(self, record)
    }

    /// Tells the observer that a change is complete. Called after the back-end was answered.
    @_optimize(speed)
    func commit() {
        guard device.isObserved else { return }
        let watcher = device.lock.withLock { held in observer[held] }
        watcher?.regionDidCommit(self)
    }

    // MARK: Followers

    /// From now on `follower` changes with the region. Throws its objection to a present mapping; then it was told that all go.
    func add(_ follower: any RegionFollower, _ held: Held) throws(ShmemError) {
        var failure: ShmemError?
        forEachRecord(held) { record, pages in
            guard failure == nil else { return }
            do throws(ShmemError) {
                try follower.mappingComes(record, pages, in: window, held)
            } catch {
                failure = error
            }
        }
        if let failure {
            follower.allMappingsGo(held)
            throw failure
        }
        followers[held].append(follower)
    }

    func remove(_ follower: any RegionFollower, _ held: Held) {
        follower.allMappingsGo(held)
        followers[held].removeAll { $0 === follower }
    }

    @inline(never)
    func tellFollowers(of record: MappingRecord, _ pages: ByteRange, _ held: Held) throws(ShmemError) {
        for (index, follower) in followers[held].enumerated() {
            do throws(ShmemError) {
                try follower.mappingComes(record, pages, in: window, held)
            } catch {
                for told in followers[held][..<index] { told.mappingGoes(record, held) }
                throw error
            }
        }
    }

    @inline(never)
    func forgetByFollowers(_ record: MappingRecord, _ held: Held) {
        for follower in followers[held] { follower.mappingGoes(record, held) }
    }

    func forgetAllByFollowers(_ held: Held) {
        for follower in followers[held] { follower.allMappingsGo(held) }
    }

    func exchangeByFollowers(_ old: MappingRecord, for new: MappingRecord, _ held: Held) throws(ShmemError) {
        guard let pages = ownedPages(old) else { return }
        for (index, follower) in followers[held].enumerated() {
            do throws(ShmemError) {
                try follower.mappingIsExchanged(old, for: new, pages, in: window, held)
            } catch {
                for told in followers[held][..<index] { try? told.mappingIsExchanged(new, for: old, pages, in: window, held) }
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
