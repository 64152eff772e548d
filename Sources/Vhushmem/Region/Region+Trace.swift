// SPDX-License-Identifier: BSD-3-Clause

/// What is told of mappings where traces are on. As long as they are off nothing asks for it: `DeviceState.isObserved` and `attention`
/// are looked at anyway, and `DeviceState.followTraces` changes them.
extension Trace {
    /// A map or unmap, and what came of it.
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
    /// Carries out what the program itself asks of its region, and tells what came of it.
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

    /// A map that the program itself asks for.
    func mapForProgram(_ request: SharedMemoryMap, fd: Int32) throws(ShmemError) {
        try telling(BackendRequest.shmemMap, request) { () throws(ShmemError) in try map(request, fd: fd) }
        commit()
    }
}
