// SPDX-License-Identifier: BSD-3-Clause

/// The mappings and the quotas of a device, as JSON. include/vhushmem/status.h describes each key.
extension ShmemDevice {
    /// Describes the device in one object. Each region lists its first `maximumMappings` live mappings and says how many more
    /// there are. Each region is as it was at one moment. If another thread maps or unmaps during the call, only the regions
    /// that are read later show it.
    ///
    /// - Parameter maximumMappings: the most mappings of each region to list.
    /// - Returns: JSON.
    public func statusJSON(maximumMappings: UInt64 = Region.mappingsInStatus) -> String {
        status(maximumMappings).takeString()
    }

    func status(_ maximumMappings: UInt64) -> JsonText {
        let json = JsonText()
        writeStatus(to: json, nil, maximumMappings)
        return json
    }

    func writeStatus(to json: JsonText, _ key: StaticString?, _ maximumMappings: UInt64) {
        let quota = state.lock.withLock { held in state.quota[held] }
        json.beginObject(key)
        quota.write(to: json)
        json.beginObject("process")
        json.quota("mappings", used: UInt64(clamping: ProcessBudget.inUse), limit: UInt64(clamping: ProcessBudget.limit))
        json.endObject()
        json.beginList("regions")
        for region in allRegions { region.writeStatus(to: json, maximumMappings) }
        json.endList()
        json.endObject()
    }
}

extension Region {
    /// How many live mappings of each region a status lists by default.
    public static var mappingsInStatus: UInt64 { 256 }

    /// Describes one region in the same way.
    ///
    /// - Parameter maximumMappings: the most mappings of each region to list.
    /// - Returns: JSON.
    public func statusJSON(maximumMappings: UInt64 = Region.mappingsInStatus) -> String {
        status(maximumMappings).takeString()
    }

    func status(_ maximumMappings: UInt64) -> JsonText {
        let json = JsonText()
        writeStatus(to: json, maximumMappings)
        return json
    }

    /// The window's address is left out on purpose: a status ends up in logs and bug reports, and would reveal where this
    /// process has its memory.
    func writeStatus(to json: JsonText, _ maximumMappings: UInt64) {
        // The text is made after the lock was released: no thread's map waits for it.
        let (quota, records, count) = unsafe snapshot(maximumMappings)
        defer { unsafe records.deallocate() }
        json.beginObject()
        json.number("shmid", UInt64(shmid))
        json.number("size", size)
        json.text("strategy", options.strategy == .slots ? "slots" : "window" as StaticString)
        json.text("holes", options.holes == .zero ? "zero" : "fault" as StaticString)
        json.bool("populate", options.populate)
        json.bool("huge_pages", options.hugePages)
        json.bool("keeps_files", options.keepsFiles)
        options.filePolicy.write(to: json)
        quota.write(to: json)
        json.beginList("mappings")
        // swift-format-ignore
        for unsafe record in unsafe records[..<count] { record.write(to: json) }
        json.endList()
        json.number("mappings_left_out", quota.mappings &- UInt64(count))
        json.endObject()
    }

    /// The quota, and the first live mappings, as they were at one moment. The caller must deallocate the records.
    private func snapshot(_ maximum: UInt64) -> (Quota, UnsafeMutableBufferPointer<MappingRecord>, Int) {
        var live = mappingCount
        while true {
            // Memory is not allocated with the lock held. Meanwhile there may be more mappings than there is room for.
            let most = Int(clamping: min(maximum, live &+ live / 8))
            // An allocation of no bytes may be anything.
            let room =
                unsafe most == 0
                ? UnsafeMutableBufferPointer<MappingRecord>(start: nil, count: 0) : .allocate(capacity: most)
            let (quota, count) = device.lock.withLock { held in unsafe (self.quota[held], table[held].copyRecords(into: room)) }
            if UInt64(count) == min(maximum, quota.mappings) { return unsafe (quota, room, count) }
            unsafe room.deallocate()
            live = quota.mappings
        }
    }
}

extension FilePolicy {
    fileprivate func write(to json: JsonText) {
        json.beginList("fd_policy")
        if contains(.allowBeyondEnd) { json.item("allow-beyond-end") }
        if contains(.requireSealShrink) { json.item("require-seal-shrink") }
        if contains(.filesOnly) { json.item("files-only") }
        json.endList()
    }
}

extension MappingRecord {
    fileprivate func write(to json: JsonText) {
        let word = MappingWord(bits: word)
        json.beginObject()
        json.number("shm_offset", start)
        json.number("len", length)
        json.number("fd_offset", fileOffset)
        json.bool("rw", word.isWritable)
        json.bool("broken", word.isBroken)
        json.endObject()
    }
}
