// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// The async functions of a front-end. All of them run where the caller does (`nonisolated(nonsending)`): a front-end is not
// Sendable, so the compiler makes sure that one actor, or one task, has it. While any of these waits, the session is served.
extension Frontend: TaskSession {
    var isUnconnected: Bool { !isBegun }
    var isClosed: Bool { hasEnded && history.ending?.code == ECONNABORTED }
    var isFinished: Bool { isOver }
    var ending: ShmemError? { history.ending }

    /// The events, in order. The sequence replaces `onEvent`.
    ///
    /// The last event is `disconnected`; then the sequence ends. If the front-end looks for its back-end again, the sequence
    /// continues.
    public var events: SessionEvents<FrontendEvent> {
        makeEvents { tell in onEvent = { _, event in tell(event) } }
    }

    /// Serves the back-end until the connection is over. Run it in a task of its own, so that requests are served also while no
    /// other task waits for an answer.
    ///
    /// It returns when the front-end is closed.
    ///
    /// - Throws: the error that ended the connection, `CancellationError`, and `ShmemError` with ENOTCONN (it was not started)
    ///   or EMFILE, ENFILE, ENOMEM (it cannot be waited for).
    public nonisolated(nonsending) func run() async throws {
        try await serveUntilTheEnd()
    }

    /// Starts, and returns when the handshake is done. If nothing listens at the path, it tries again until the time is up.
    ///
    /// - Parameter timeout: the limit for the whole; nil: only each request's own limit.
    /// - Throws: what `start` does; the error that ended the handshake: ETIMEDOUT, ECONNRESET (the back-end went away), EPROTO
    ///   (it broke the protocol, or refused a request); `CancellationError`, and then the connection is over.
    public nonisolated(nonsending) func connect(timeout: Duration? = nil) async throws {
        let deadline = timeout.map { Clock.now() &+ $0.clampedMicroseconds }
        try await startWhenThere(until: deadline)
        do {
            try await drive(until: deadline) { [self] in isReady || history.ending != nil }
            if !isReady, let ending { throw ending }
        } catch let error as ShmemError where error.code == ETIMEDOUT && history.ending == nil {
            end(ShmemError(ETIMEDOUT, "the handshake was not done in time: \(waitingFor)"))
            throw history.ending ?? error
        } catch is CancellationError {
            endForGood(ShmemError(ECANCELED, "the task that waited for the handshake was cancelled"))
            throw CancellationError()
        }
    }

    private nonisolated(nonsending) func startWhenThere(until deadline: UInt64?) async throws {
        while true {
            do throws(ShmemError) {
                return try start()
            } catch {
                let next = Clock.now() &+ 20_000
                guard error.code == ENOENT || error.code == ECONNREFUSED, next < deadline ?? .max else { throw error }
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    // MARK: Questions

    /// Asks the back-end a question, and returns its answer. A cancelled task stops waiting; the request goes on.
    ///
    /// - Parameter question: one of the questions of `FrontendQuestion`.
    /// - Returns: the answer.
    /// - Throws: what the form with a completion throws or is called with; `CancellationError`.
    public nonisolated(nonsending) func ask<Answer>(_ question: FrontendQuestion<Answer>) async throws -> Answer {
        try await ask { done throws(ShmemError) in try ask(question, completion: done) }
    }

    /// Sends a request that this library has no question for, and returns its answer.
    ///
    /// - Parameters:
    ///   - id: the request's id.
    ///   - payload: at most 4,096 bytes.
    ///   - descriptors: at most 8, which are duplicated.
    ///   - reply: the form of the reply.
    /// - Returns: the reply; an empty one if there was only an acknowledgement.
    /// - Throws: what the form with a completion throws or is called with; `CancellationError`.
    public nonisolated(nonsending) func request(
        _ id: UInt32, _ payload: [UInt8] = [], descriptors: [Int32] = [], reply: ExpectedReply = .acknowledgement
    ) async throws -> FrontendReply {
        try await ask { done throws(ShmemError) in
            try request(id, payload, descriptors: descriptors, reply: reply, completion: done)
        }
    }

    // MARK: Start, stop, reset

    /// Starts the device, and returns when the back-end knows all that it needs.
    ///
    /// - Parameters:
    ///   - features: the virtio features that the driver accepted, of those that the back-end offers.
    ///   - queues: the queues that the driver has set up, in order.
    /// - Throws: what the form that blocks throws; `CancellationError`.
    public nonisolated(nonsending) func startDevice(features: UInt64, queues: [FrontendQueue]) async throws {
        try await asking { done throws(ShmemError) in try startDevice(features: features, queues: queues, completion: done) }
    }

    /// Stops the device.
    ///
    /// - Returns: where each queue stopped: the base to start it again with (0 for one that was not used).
    /// - Throws: what the form that blocks throws; `CancellationError`.
    public nonisolated(nonsending) func stopDevice() async throws -> [UInt16] {
        try await ask { done throws(ShmemError) in try stopDevice(completion: done) }
    }

    /// Resets the device: undoes every mapping at once, and returns when the back-end has answered and no older request can
    /// take effect.
    ///
    /// - Throws: ENOTCONN (not ready), EALREADY (a reset is under way), the error that ended the connection meanwhile;
    ///   `CancellationError`, and the reset goes on.
    public nonisolated(nonsending) func reset() async throws {
        try Task.checkCancellation()
        let before = history.counters.resets
        try beginResetting()
        try await drive(isAsking: true) { [self] in history.counters.resets != before || !isReady }
        guard history.counters.resets != before else {
            throw ending ?? ShmemError(ENOTCONN, "the connection ended before the reset was answered")
        }
    }

    /// The form of `reset` that does not wait.
    private func beginResetting() throws(ShmemError) { try reset() }

    /// Enables or disables a queue of the running device.
    ///
    /// - Parameters:
    ///   - queue: its number.
    ///   - isEnabled: whether the back-end serves it.
    /// - Throws: what the form that blocks throws; `CancellationError`.
    public nonisolated(nonsending) func setQueueEnabled(_ queue: Int, _ isEnabled: Bool) async throws {
        try await ask { done throws(ShmemError) in try setQueueEnabled(queue, isEnabled, completion: done) }
    }

    // MARK: Memory

    /// Sets the guest's memory, all of it, and returns when the back-end knows it.
    ///
    /// - Parameter ranges: the guest's RAM.
    /// - Throws: what the form that blocks throws; `CancellationError`.
    public nonisolated(nonsending) func setMemory(_ ranges: [GuestMemory]) async throws {
        try await asking { done throws(ShmemError) in try setMemory(ranges, completion: done) }
    }

    /// Shares a mapping of another device with the back-end as a range of guest memory, until `unshare`.
    ///
    /// - Parameters:
    ///   - mapping: a live, writable mapping of a region that keeps files.
    ///   - guestAddress: its guest address.
    /// - Throws: what the form that blocks throws; `CancellationError`.
    public nonisolated(nonsending) func share(_ mapping: Mapping, at guestAddress: UInt64) async throws {
        try await asking { done throws(ShmemError) in try share(mapping, at: guestAddress, completion: done) }
    }

    /// Takes a shared mapping away from the back-end.
    ///
    /// - Parameter mapping: one that was shared.
    /// - Throws: what the form that blocks throws; `CancellationError`.
    public nonisolated(nonsending) func unshare(_ mapping: Mapping) async throws {
        try await asking { done throws(ShmemError) in try unshare(mapping, completion: done) }
    }

    // MARK: What outlives a back-end

    /// Has the back-end make an area for requests in flight, and gives it back at each start.
    ///
    /// - Parameters:
    ///   - queues: the number of queues.
    ///   - queueSize: the number of entries of each.
    /// - Returns: the area.
    /// - Throws: what the form that blocks throws; `CancellationError`.
    public nonisolated(nonsending) func makeInflightArea(queues: UInt16, queueSize: UInt16) async throws -> InflightArea {
        try await ask { done throws(ShmemError) in try makeInflightArea(queues: queues, queueSize: queueSize, completion: done)
        }
    }

    /// Begins to transfer the state of a stopped device through a pipe, and returns when the back-end has begun. Ask
    /// `checkDeviceState` when the pipe is at its end.
    ///
    /// - Parameters:
    ///   - direction: whether the back-end writes its state or reads it.
    ///   - pipe: the pipe's end for the back-end; this closes it as soon as the back-end has it.
    /// - Returns: the descriptor to use instead of the pipe's other end; nil: use the pipe.
    /// - Throws: what the form with a completion throws or is called with; `CancellationError`.
    public nonisolated(nonsending) func transferState(
        _ direction: DeviceStateDirection, through pipe: consuming OwnedDescriptor
    ) async throws -> OwnedDescriptor? {
        let question = try deviceStateQuestion(direction, SharedDescriptor(pipe))
        return try await ask(question).takeDescriptor()
    }

    /// Asks for the file that the back-end has under a name.
    ///
    /// - Parameter uuid: 16 bytes.
    /// - Returns: a descriptor of the file.
    /// - Throws: what the form that blocks throws; `CancellationError`.
    public nonisolated(nonsending) func sharedObject(_ uuid: [UInt8]) async throws -> OwnedDescriptor {
        try await ask(FrontendQuestion<FrontendReply>.sharedObject(uuid)).requireDescriptor()
    }

    /// For requests that end with an error or without one.
    private nonisolated(nonsending) func asking(
        _ begin: (@escaping (ShmemError?) -> Void) throws(ShmemError) -> Void
    ) async throws {
        try await ask { (done: @escaping (Result<Void, ShmemError>) -> Void) throws(ShmemError) in
            try begin { done($0.map { .failure($0) } ?? .success(())) }
        }
    }
}

extension Duration {
    /// Microseconds, at least 0.
    var clampedMicroseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000)
        return overflow ? .max / 2 : whole &+ UInt64(attoseconds) / 1_000_000_000_000
    }
}
