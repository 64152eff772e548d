// SPDX-License-Identifier: BSD-3-Clause

import CLinux

extension ShmemDevice {
    /// Makes the regions of a back-end's answer. Throws EPROTO: they cannot be made.
    func addRegions(_ config: SharedMemoryConfig, options: RegionOptions) throws(ShmemError) {
        for shmid in UInt8.min...UInt8.max where config[shmid] != 0 {
            do throws(ShmemError) {
                try addRegion(shmid: shmid, size: config[shmid], options: options)
            } catch {
                // The caller asked for no region, so the error is about the back-end's answer.
                throw ShmemError(EPROTO, "the back-end's GET_SHMEM_CONFIG cannot be used: \(error.message)")
            }
        }
    }

    /// Makes the regions of a reply to GET_SHMEM_CONFIG. It checks the payload as a front-end does. A device that has regions
    /// already must have the same ones: they cannot change, because the guest has seen them.
    ///
    /// - Parameters:
    ///   - payload: the payload of the reply, as it came.
    ///   - options: for each region.
    /// - Returns: how many regions there are.
    /// - Throws: EPROTO; a device that had no region has none then.
    public func addRegions(payload: UnsafeRawBufferPointer, options: RegionOptions) throws(ShmemError) -> Int {
        guard let config = unsafe SharedMemoryConfig(payload) else {
            throw ShmemError(
                EPROTO,
                "the back-end's reply to GET_SHMEM_CONFIG has \(payload.count) bytes, and not \(SharedMemoryConfig.size)")
        }
        try config.check()
        var known = SharedMemoryConfig()
        for region in allRegions { known[region.shmid] = region.size }
        guard known.regionCount == 0 else {
            if let error = known.difference(from: config) { throw error }
            return known.regionCount
        }
        do throws(ShmemError) {
            try addRegions(config, options: options)
        } catch {
            removeRegions()
            throw error
        }
        return config.regionCount
    }
}

extension SharedMemoryConfig {
    /// Checks that regions can be made of it. If only the count disagrees with the sizes, this logs it: the sizes decide.
    func check() throws(ShmemError) {
        guard statedRegions <= UInt32(SharedMemoryConfig.maximumRegions) else {
            throw ShmemError(
                EPROTO, "the back-end says that it has \(statedRegions) shared memory regions, and a device has at most 256")
        }
        for shmid in UInt8.min...UInt8.max where !self[shmid].isMultiple(ofPage: Page.size) {
            throw ShmemError(
                EPROTO,
                "the back-end's region \(shmid) has \(hex(self[shmid])) bytes, no multiple of the page size,"
                    + " \(hex(Page.size))")
        }
        if statedRegions != UInt32(regionCount) {
            Log.warning(
                "the back-end says that it has \(statedRegions) shared memory regions, and gives sizes for \(regionCount)")
        }
    }

    /// Returns the differences between the regions; nil: they are the same. They cannot change, because the guest has seen
    /// them.
    func difference(from now: SharedMemoryConfig) -> ShmemError? {
        var differences = ""
        for shmid in UInt8.min...UInt8.max where self[shmid] != now[shmid] {
            let what: Sentence =
                if self[shmid] == 0 {
                    "region \(shmid) of \(hex(now[shmid])) bytes is new"
                } else if now[shmid] == 0 {
                    "region \(shmid) of \(hex(self[shmid])) bytes is missing"
                } else {
                    "region \(shmid) has \(hex(now[shmid])) bytes and had \(hex(self[shmid]))"
                }
            if !differences.isEmpty { differences += ", " }
            differences += what.text
        }
        return differences.isEmpty ? nil : ShmemError(EPROTO, "the back-end came back with other regions: \(differences)")
    }
}
