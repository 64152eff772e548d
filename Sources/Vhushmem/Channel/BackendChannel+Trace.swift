// SPDX-License-Identifier: BSD-3-Clause

/// Traces of a channel's requests. A served map finds out about traces by `isObserved`, which it asks anyway, and is traced
/// behind its answer.
extension BackendChannel {
    /// A change is complete, and there is an observer.
    @inline(never)
    func complete(_ request: UInt32, _ flags: UInt32, _ map: SharedMemoryMap?) {
        if let map { device.region(shmid: map.shmid)?.commit() }
        let header = MessageHeader(request: request, flags: flags, size: UInt32(SharedMemoryMap.size))
        trace(header, map, nil, isAnswered: header.needsReply)
    }

    /// A map or unmap is refused. Returns the error.
    @inline(never)
    func refuse(_ request: UInt32, _ flags: UInt32, _ map: SharedMemoryMap?, _ error: ShmemError) -> ShmemError {
        counters.countRefused(request)
        Log.tellWaiting()
        // A size of its own would be kept through the whole request only for this.
        var size = SharedMemoryMap.size
        if case .wrongPayload(_, let got) = error.reason { size = got }
        let header = MessageHeader(request: request, flags: flags, size: UInt32(clamping: size))
        trace(header, map, error, isAnswered: header.needsReply)
        return error
    }

    private func trace(_ header: MessageHeader, _ map: SharedMemoryMap?, _ error: ShmemError?, isAnswered: Bool) {
        stream.traceReceived(header)
        Trace.tellMapping(header.request, map, error)
        if isAnswered { stream.traceAnswer(to: header.request) }
    }

    @inline(never)
    func trace(_ header: MessageHeader, _ outcome: OtherAnswer) {
        switch outcome {
        case .done: trace(header, nil, nil, isAnswered: header.needsReply)
        case .refused(let error): trace(header, nil, error, isAnswered: header.needsReply)
        case .later: trace(header, nil, nil, isAnswered: false)
        case .descriptor: trace(header, nil, nil, isAnswered: true)
        case .noDescriptor(let error): trace(header, nil, error, isAnswered: true)
        }
    }
}
