// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Undoes all mappings: a guest's driver may go without a word about its mappings.
extension Backend {
    /// Asks the front-end to undo all live mappings that the back-end has asked for, and waits for the answers.
    ///
    /// A mapping that the front-end does not know any more counts as undone.
    ///
    /// - Parameter shmid: the region; nil: all of them.
    /// - Returns: how many were undone.
    /// - Throws: what `unmap` throws. After a refusal it still asks for the others.
    @discardableResult
    public func unmapAll(shmid: UInt8? = nil) throws(ShmemError) -> Int {
        var requests: [MappingRequest] = []
        do throws(Errno) {
            try whileAsking(if: isNegotiated) { channel throws(Errno) in
                requests = connection?.live.unmaps(of: shmid) ?? []
                try exchange(&requests, oneAnswer: false, on: channel)
            }
        } catch {
            throw ShmemError(error.code, .nothing, .system("cannot undo all mappings", error.code))
        }
        var count = 0
        var refusal: ShmemError?
        for request in requests {
            if request.result == 0 { count = count &+ 1 }
            guard refusal == nil, !isGone(request.result) else { continue }
            refusal = obstacle(to: request) ?? .refusal(of: request, request.result)
        }
        if let refusal { throw refusal }
        return count
    }

    /// The same without waiting: `completion` is called once, from a later dispatch, with the first refusal, or nil when all is
    /// undone. It also undoes maps that were begun before and have no answer yet.
    ///
    /// - Parameters:
    ///   - shmid: the region; nil: all of them.
    ///   - completion: called like that of `map`.
    /// - Throws: what the form of `unmap` with a completion does.
    public func unmapAll(shmid: UInt8? = nil, completion: @escaping (ShmemError?) -> Void) throws(ShmemError) {
        guard isNegotiated, let connection else { throw .notServed(.nothing) }
        try checkRoom(for: .nothing, connection)
        var left = connection.live.unmaps(of: shmid)
        for case let request? in connection.calls.all.map({ $0.mapping }) where request.isMap {
            let map = request.payload
            guard shmid == nil || map.shmid == shmid else { continue }
            left.append(.unmap(shmid: map.shmid, at: map.offset, length: map.length))
        }
        UnmapOfAll(self, left, completion).begin()
    }

    /// Whether an unmap with this result leaves nothing mapped.
    func isGone(_ result: Int32) -> Bool { LiveMappings.isGone(result, anyRefusalIsGone: options.isForQemu) }
}

/// The unmaps of all mappings, on their way: a bounded number at a time.
@safe private final class UnmapOfAll {
    /// Not retained: an outcome is reported while something holds the back-end, or by its deinit.
    private let unmanaged: Unmanaged<Backend>
    private var left: [MappingRequest]
    private var next = 0
    private var underWay = 0
    private var refusal: ShmemError?
    private let completion: (ShmemError?) -> Void

    init(_ backend: Backend, _ unmaps: [MappingRequest], _ completion: @escaping (ShmemError?) -> Void) {
        unsafe unmanaged = unsafe .passUnretained(backend)
        left = unmaps
        self.completion = completion
    }

    private var backend: Backend { unsafe unmanaged.takeUnretainedValue() }

    /// A later dispatch reports the outcome, also if there is nothing to do.
    func begin() {
        ask()
        guard underWay == 0 else { return }
        let (completion, refusal) = (completion, refusal)
        backend.eventQueue.keep { completion(refusal) }
        backend.watch()
    }

    private func ask() {
        while underWay < Backend.mostInFlight, next < left.count {
            next = next &+ 1
            do throws(ShmemError) {
                try backend.begin(left[next &- 1], isCounted: false) { self.wasAnswered($0) }
                underWay = underWay &+ 1
            } catch {
                // If the connection has ended, all others end in the same way.
                left = []
                note(error)
            }
        }
    }

    private func wasAnswered(_ error: ShmemError?) {
        underWay = underWay &- 1
        note(error)
        // They do not concern the next front-end.
        if error?.code == ENOTCONN { left = [] }
        ask()
        if underWay == 0 { completion(refusal) }
    }

    private func note(_ error: ShmemError?) {
        if let error, refusal == nil, !backend.isGone(-error.code) { refusal = error }
    }
}
