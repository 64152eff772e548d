// SPDX-License-Identifier: BSD-3-Clause

// The async functions of a channel; see Frontend+Async.swift.
extension ShmemChannel: TaskSession {
    var isUnconnected: Bool { hasEnded }
    var isClosed: Bool { hasEnded && loss == nil }
    var isFinished: Bool { isOver }
    var ending: ShmemError? { loss }

    /// The events, in order. The sequence replaces `onEvent`. The last event is `lost`; then the sequence ends.
    public var events: SessionEvents<ChannelEvent> {
        makeEvents { tell in onEvent = { _, event in tell(event) } }
    }

    /// Serves the back-end until the channel is lost or closed.
    ///
    /// It returns when the channel is closed.
    ///
    /// - Throws: the reason why it was lost, `CancellationError`, and `ShmemError` with EMFILE, ENFILE or ENOMEM (it cannot be
    ///   waited for).
    public nonisolated(nonsending) func run() async throws {
        try await serveUntilTheEnd()
    }
}
