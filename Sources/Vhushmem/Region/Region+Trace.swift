// SPDX-License-Identifier: BSD-3-Clause

/// Traces of mappings. While traces are off, they cost nothing: `DeviceState.isObserved` and `attention` are checked anyway,
/// and `DeviceState.followTraces` changes them.
extension Trace {
    /// A map or unmap, with its result.
    @inline(never)
    static func tellMapping(_ request: UInt32, _ map: SharedMemoryMap?, _ error: ShmemError?) {
        guard wants(maps) else { return }
        var line = Line(
            category: maps, request: request, name: BackendRequest.name(of: request) ?? "?", result: -(error?.code ?? 0))
        if let map {
            line.shmid = map.shmid
            line.offset = map.offset
            line.length = map.length
        }
        if let error { return tell(line, Sentence(stringLiteral: error.message)) }
        tell(line, "\(line.name): \(line.length) bytes at \(line.offset) of region \(line.shmid): done")
    }
}

extension Region {
    /// Performs a map or unmap of the program itself, and traces its result.
    @inline(__always)
    func telling(
        _ request: UInt32, _ map: SharedMemoryMap, _ body: () throws(ShmemError) -> Void
    ) throws(ShmemError) {
        do throws(ShmemError) {
            try body()
        } catch {
            Trace.tellMapping(request, map, error)
            throw error
        }
        if device.isObserved { Trace.tellMapping(request, map, nil) }
    }

    /// A map of the program itself.
    func mapForProgram(_ request: SharedMemoryMap, fd: Int32) throws(ShmemError) {
        try telling(BackendRequest.shmemMap, request) { () throws(ShmemError) in try map(request, fd: fd) }
        commit()
    }
}
