// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// The async functions of a back-end. All of them run where the caller does (`nonisolated(nonsending)`): a back-end is not
// Sendable, so the compiler makes sure that one actor, or one task, has it. While any of these waits, the session is served.
extension Backend: TaskSession {
    var isUnconnected: Bool { connection == nil && acceptor == nil }
    var isClosed: Bool { isOver }
    var isFinished: Bool { isClosed || (isUnconnected && ending != nil && !eventQueue.hasWaiting) }

    /// The events of the connection, in order. The sequence replaces `onEvent`. `chains(of:)` and the handlers report events of
    /// queues.
    ///
    /// The sequence ends behind `disconnected`, if no listener waits for the next front-end, and when the back-end is closed.
    public var events: SessionEvents<BackendEvent> {
        makeEvents { tell in onEvent = { _, event in tell(event) } }
    }

    /// Serves the front-end until the connection is over; a back-end that listens serves one front-end after the other.
    ///
    /// It returns when the back-end is closed.
    ///
    /// - Throws: the error that ended the connection, `CancellationError`, and `ShmemError` with ENOTCONN (there is no
    ///   connection and no listener) or EMFILE, ENFILE, ENOMEM (it cannot be waited for).
    public nonisolated(nonsending) func run() async throws {
        try await serveUntilTheEnd()
    }

    /// Asks the front-end to map a range of a file, and returns when it has done so. Other tasks may send requests meanwhile:
    /// several are under way at once then.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - fd: the file, which stays the caller's.
    ///   - fileOffset: first byte in the file; a multiple of the page size.
    ///   - offset: first byte in the region; a multiple of the page size.
    ///   - length: bytes.
    ///   - writable: the guest may write to it.
    /// - Throws: what the form with a completion throws or is called with; `CancellationError`, and the request goes on.
    public nonisolated(nonsending) func map(
        shmid: UInt8, fd: Int32, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64, writable: Bool = false
    ) async throws {
        let request = MappingRequest.map(
            shmid: shmid, fd: fd, fileOffset: fileOffset, at: offset, length: length, writable: writable)
        try await perform(request)
    }

    /// Asks the front-end to undo a mapping, and returns when it has done so.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - offset: the offset of the mapping, as it was made.
    ///   - length: the length of the mapping, as it was made.
    /// - Throws: what the form with a completion throws or is called with; `CancellationError`, and the request goes on.
    public nonisolated(nonsending) func unmap(shmid: UInt8, at offset: UInt64, length: UInt64) async throws {
        try await perform(.unmap(shmid: shmid, at: offset, length: length))
    }

    /// Tells the front-end that the device has changed its configuration space, and returns when the front-end has acknowledged
    /// it.
    ///
    /// - Throws: what the form that blocks throws; `CancellationError`.
    public nonisolated(nonsending) func configChanged() async throws {
        guard protocolFeatures.contains(.config) else {
            throw ShmemError(ENOTCONN, "no front-end has agreed to hear of the configuration")
        }
        _ = try await perform(BackendRequest.configChange, [], fd: nil, hasReply: false)
    }

    /// Sends a request that this library has no method for, and returns the answer. Other tasks may send requests meanwhile.
    ///
    /// - Parameters:
    ///   - id: the request's id.
    ///   - payload: at most 4,096 bytes.
    ///   - fd: a descriptor to send along, which stays the caller's.
    ///   - hasReply: the request has a reply of its own, a number and maybe a descriptor (SHARED_OBJECT_LOOKUP). Otherwise it
    ///     is acknowledged if REPLY_ACK was agreed on, and any answer but 0 is thrown.
    /// - Returns: the reply; an empty one if there was only an acknowledgement.
    /// - Throws: what the form that blocks throws; ENOBUFS (1,024 requests have no outcome yet); `CancellationError`.
    public nonisolated(nonsending) func request(
        _ id: UInt32, _ payload: [UInt8] = [], fd: Int32? = nil, hasReply: Bool = false
    ) async throws -> BackendReply {
        try Backend.check(id, payloadSize: payload.count)
        return try await perform(id, payload, fd: fd, hasReply: hasReply)
    }

    private nonisolated(nonsending) func perform(
        _ id: UInt32, _ payload: [UInt8], fd: Int32?, hasReply: Bool
    ) async throws -> BackendReply {
        guard let connection, connection.channel != nil else {
            throw ShmemError(ENOTCONN, .request(id), .text("there is no front-end, or no channel to it"))
        }
        return try await ask { done throws(ShmemError) in
            try begin(.other(id: id, payload: payload, hasReply: hasReply), fd: fd, connection, done)
        }
    }

    private nonisolated(nonsending) func perform(_ request: MappingRequest) async throws {
        let connection = try served(request)
        _ = try await ask { done throws(ShmemError) in
            try begin(.mapping(request, isQuiet: false), fd: request.fd, connection, done)
        }
    }
}
