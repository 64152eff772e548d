// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// What tasks do with a back-end. All of it runs where the caller does (`nonisolated(nonsending)`): a back-end is not Sendable, so the
// compiler sees to it that one actor, or one task, has it. While any of these waits, the session is served.
extension Backend: TaskSession {
    var isUnconnected: Bool { connection == nil && acceptor == nil }
    var isClosed: Bool { isOver }
    var isFinished: Bool { isClosed || (isUnconnected && ending != nil && !eventQueue.hasWaiting) }

    /// What happens to the connection, in order. It takes the place of `onEvent`. What happens to queues, `chains(of:)` and the handlers tell.
    ///
    /// The sequence ends behind `disconnected`, if there is no listener that waits for the next front-end, and when the back-end is closed.
    public var events: SessionEvents<BackendEvent> {
        makeEvents { tell in onEvent = { _, event in tell(event) } }
    }

    /// Serves the front-end until the connection is over, or, of a back-end that listens, one front-end after the other.
    ///
    /// It returns when the back-end is closed.
    ///
    /// - Throws: what ended the connection, `CancellationError`, and `ShmemError` with ENOTCONN (there is no connection and no listener) or
    ///   EMFILE, ENFILE, ENOMEM (it can't be waited for).
    public nonisolated(nonsending) func run() async throws {
        try await serveUntilTheEnd()
    }

    /// Asks for a range of a file to be mapped, and returns when the front-end has mapped it. Other tasks may ask meanwhile: several requests
    /// are then on their way at once.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - fd: the file, which stays the caller's.
    ///   - fileOffset: where the range begins in the file, in bytes; a multiple of the page size.
    ///   - offset: where it is to be in the region, in bytes; a multiple of the page size.
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

    /// Asks for a mapping to be undone, and returns when the front-end has undone it.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - offset: the offset that the mapping was made with.
    ///   - length: the length that it was made with.
    /// - Throws: what the form with a completion throws or is called with; `CancellationError`, and the request goes on.
    public nonisolated(nonsending) func unmap(shmid: UInt8, at offset: UInt64, length: UInt64) async throws {
        try await perform(.unmap(shmid: shmid, at: offset, length: length))
    }

    /// Says that the device has changed its configuration space, and returns when the front-end has taken note.
    ///
    /// - Throws: what the form that blocks throws; `CancellationError`.
    public nonisolated(nonsending) func configChanged() async throws {
        guard protocolFeatures.contains(.config) else {
            throw ShmemError(ENOTCONN, "no front-end has agreed to hear of the configuration")
        }
        _ = try await perform(BackendRequest.configChange, [], fd: nil, hasReply: false)
    }

    /// Asks for anything that this library has no method for, and returns the answer. Other tasks may ask meanwhile.
    ///
    /// - Parameters:
    ///   - id: the request's id.
    ///   - payload: at most 4,096 bytes.
    ///   - fd: a descriptor to send along, which stays the caller's.
    ///   - hasReply: the request has a reply of its own, a number and maybe a descriptor (SHARED_OBJECT_LOOKUP). Else it is acknowledged
    ///     where REPLY_ACK was agreed on, and anything but 0 is thrown.
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
