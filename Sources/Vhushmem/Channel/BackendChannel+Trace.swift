// SPDX-License-Identifier: BSD-3-Clause

/// What is told of a channel's requests where traces are on. A request that is served finds out by `isObserved`, which it asks anyway.
extension BackendChannel {
    /// What was changed is complete, and somebody wants to know.
    @inline(never)
    func complete(_ request: UInt32, _ map: SharedMemoryMap?) {
        if let map { device.region(shmid: map.shmid)?.commit() }
        trace(request, map, nil)
    }

    /// A map or unmap is refused. Returns the error.
    @inline(never)
    func refuse(_ request: UInt32, _ map: SharedMemoryMap?, _ error: ShmemError) -> ShmemError {
        counters.countRefused(request)
        trace(request, map, error)
        return error
    }

    private func trace(_ request: UInt32, _ map: SharedMemoryMap?, _ error: ShmemError?) {
        guard Trace.wants(Trace.maps) else { return }
        var line = Trace.Line(
            category: Trace.maps, request: request, name: BackendRequest.name(of: request) ?? "?", result: -(error?.code ?? 0))
        if let map {
            line.shmid = map.shmid
            line.offset = map.offset
            line.length = map.length
        }
        if let error { return Trace.tell(line, Sentence(stringLiteral: error.message)) }
        Trace.tell(line, "\(line.name): \(line.length) bytes at \(line.offset) of region \(line.shmid): done")
    }

    @inline(never)
    func trace(_ request: UInt32, _ outcome: OtherAnswer) {
        switch outcome {
        case .done, .descriptor, .later: trace(request, nil, nil)
        case .refused(let error), .noDescriptor(let error): trace(request, nil, error)
        }
    }
}
