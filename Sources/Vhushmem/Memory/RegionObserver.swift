// SPDX-License-Identifier: BSD-3-Clause

/// Someone who must know what a region holds. Called with no lock held.
protocol RegionObserver: AnyObject {
    /// The mapping can be read through the window; the back-end has not been answered yet. What it throws undoes the mapping, and is the
    /// answer.
    func regionDidMap(_ region: Region, _ record: MappingRecord) throws(ShmemError)
    /// The memory of the mapping is about to go.
    func regionWillUnmap(_ region: Region, _ record: MappingRecord)
    /// The changes since the last commit are complete, and the back-end has been answered.
    func regionDidCommit(_ region: Region)
}

extension Region {
    /// From now on `observer` is told of every change.
    func add(_ observer: any RegionObserver) {
        device.lock.withLock {
            if observers.isEmpty { device.countObserved(1) }
            observers.append(observer)
        }
    }

    func remove(_ observer: any RegionObserver) {
        device.lock.withLock {
            guard !observers.isEmpty else { return }
            observers.removeAll { $0 === observer }
            if observers.isEmpty { device.countObserved(-1) }
        }
    }
}
