// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// SHMEM_MAP and SHMEM_UNMAP as they came, for a channel and for a program that reads the channel itself.
extension ShmemDevice {
    /// Handles a SHMEM_MAP that the caller has received: with the same checks, in the same order, as a channel. The mapping
    /// shows in the window when the call returns. Then answer the device process, and call `commit`.
    ///
    /// - Parameters:
    ///   - payload: the payload as it came, 40 bytes.
    ///   - fd: the descriptor that came with it. It still belongs to the caller. Negative: there is none.
    /// - Throws: EINVAL (another length; no descriptor), ENOENT (there is no such region), ECANCELED (a reset is under way),
    ///   and what `Region.map` throws.
    public func handleMap(payload: UnsafeRawBufferPointer, fd: Int32) throws(ShmemError) {
        let map = try unsafe decoded(payload, BackendRequest.shmemMap)
        if state.attention.load(ordering: .relaxed) != 0 { return try handle(map, BackendRequest.shmemMap, fd: fd) }
        try carryOutMap(map, fd: fd)
        // A reset that has begun meanwhile has undone the mapping, or finds nothing to undo here.
        if isResetting { try undoForReset(map) }
    }

    /// Handles a SHMEM_UNMAP in the same way.
    ///
    /// - Parameter payload: the payload as it came, 40 bytes.
    /// - Throws: EINVAL (another length), ENOENT (there is no such region), and what `Region.unmap` throws.
    public func handleUnmap(payload: UnsafeRawBufferPointer) throws(ShmemError) {
        let map = try unsafe decoded(payload, BackendRequest.shmemUnmap)
        if state.attention.load(ordering: .relaxed) != 0 { return try handle(map, BackendRequest.shmemUnmap) }
        try carryOutUnmap(map)
    }

    /// The same while a reset is under way, or while traces are on.
    @inline(never)
    private func handle(_ map: SharedMemoryMap, _ request: UInt32, fd: Int32 = -1) throws(ShmemError) {
        let isMap = request == BackendRequest.shmemMap
        do throws(ShmemError) {
            if isResetting {
                let unmap = ShmemError.Subject.unmap(shmid: map.shmid, offset: map.offset, length: map.length)
                throw ShmemError(ECANCELED, isMap ? map.mapSubject : unmap, .duringReset)
            }
            if isMap { try carryOutMap(map, fd: fd) } else { try carryOutUnmap(map) }
            if isMap, isResetting { try undoForReset(map) }
        } catch {
            Trace.tellMapping(request, map, error)
            throw error
        }
        Trace.tellMapping(request, map, nil)
    }

    @inline(__always)
    private var isResetting: Bool {
        state.attention.load(ordering: .sequentiallyConsistent) & DeviceState.isResetting != 0
    }

    @inline(never)
    private func undoForReset(_ map: SharedMemoryMap) throws(ShmemError) {
        _ = try? carryOutUnmap(map)
        throw ShmemError(ECANCELED, map.mapSubject, .duringReset)
    }

    @inline(__always)
    private func decoded(_ payload: UnsafeRawBufferPointer, _ request: UInt32) throws(ShmemError) -> SharedMemoryMap {
        guard let map = unsafe SharedMemoryMap(payload) else { throw wrongPayload(payload.count, request) }
        return map
    }

    @inline(never)
    private func wrongPayload(_ count: Int, _ request: UInt32) -> ShmemError {
        ShmemError(EINVAL, .request(request), .wrongPayload(expected: SharedMemoryMap.size, got: count))
    }

    /// SHMEM_MAP. The commit is left to the caller, which answers first. `isBatched`: so is `endBatch`.
    @_optimize(speed)
    func carryOutMap(_ map: SharedMemoryMap, fd: Int32, isBatched: Bool = false) throws(ShmemError) {
        guard fd >= 0 else { throw ShmemError(EINVAL, map.mapSubject, .wrongDescriptors(expected: 1, got: 0)) }
        let isMissing = { ShmemError(ENOENT, map.mapSubject, .noSuchRegion) }
        try withRegion(shmid: map.shmid, isMissing: isMissing) { region throws(ShmemError) in
            try region.map(map, fd: fd, isBatched ? .isBatched : [])
        }
    }

    /// Leaves the mappings of a batch out of core dumps.
    @_optimize(speed)
    func endBatch() {
        let failure = state.lock.withLock { held in
            state.undumped[held].leaveOut()
            return state.undumped[held].takeFailure()
        }
        guard let failure else { return }
        Log.warning("the kernel cannot leave mappings out of core dumps: \(Errno.text(failure.code)) (errno \(failure.code))")
    }

    /// SHMEM_UNMAP in the same way. Returns the length of the mapping in bytes.
    @_optimize(speed)
    @discardableResult
    func carryOutUnmap(_ map: SharedMemoryMap) throws(ShmemError) -> UInt64 {
        let isMissing = {
            ShmemError(ENOENT, .unmap(shmid: map.shmid, offset: map.offset, length: map.length), .noSuchRegion)
        }
        var length: UInt64 = 0
        try withRegion(shmid: map.shmid, isMissing: isMissing) { region throws(ShmemError) in
            length = try region.unmapLeavingCommit(at: map.offset, length: map.length)
        }
        return length
    }

    /// Tells every region's observers that a change is complete: after the answer to what `handleMap` and `handleUnmap` did.
    public func commit() {
        guard state.isObserved else { return }
        for region in allRegions { region.commit() }
    }
}
