// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The outcome of maps and unmaps that are sent together.
private final class Performance {
    private struct Entry {
        var call: BackendCall?
        /// nil: it is not known yet.
        var result: Result<Void, ShmemError>?
    }

    private var entries: [Entry]
    /// How many were begun, and have no outcome.
    private(set) var open = 0

    init(_ count: Int) { entries = Array(repeating: Entry(), count: count) }

    func began(_ call: BackendCall, _ index: Int) {
        entries[index].call = call
        open += 1
    }

    func ended(_ index: Int, _ error: ShmemError?) {
        open -= 1
        entries[index].result = error.map { .failure($0) } ?? .success(())
    }

    func wasRefused(_ index: Int, _ error: ShmemError) { entries[index].result = .failure(error) }

    /// The error that ended the channel before all were begun and answered; nil: there is none.
    func loss() -> ShmemError? {
        var loss: ShmemError?
        for entry in entries where entry.call?.isLost == true {
            if case .failure(let error) = entry.result { loss = error }
        }
        for index in entries.indices where entries[index].result == nil {
            let error = loss ?? ShmemError(ENOTCONN, "the connection has ended")
            entries[index].result = .failure(error)
            loss = error
        }
        return loss
    }

    var refused: Int {
        entries.count { if case .failure = $0.result { true } else { false } }
    }

    func write(to requests: inout [MappingRequest]) {
        for (index, entry) in entries.enumerated() {
            switch entry.result {
            case .success: requests[index].result = 0
            case .failure(let error): requests[index].result = -error.code
            case nil: requests[index].result = -ECANCELED
            }
        }
    }
}

extension Backend {
    /// Sends several maps and unmaps, as the form that blocks does, and returns when all are answered. Other tasks may send
    /// requests meanwhile.
    ///
    /// - Parameters:
    ///   - requests: the requests, in this order. Each has its result afterwards. If this throws, a request whose answer was
    ///     not here has that errno, or -ECANCELED if the task was cancelled.
    ///   - oneAnswer: only the last one is answered; the results of the others stay unknown.
    /// - Returns: how many were refused.
    /// - Throws: the error that ended the channel before all were answered; with `oneAnswer` the fault of the last one;
    ///   `CancellationError`, and the requests that were sent go on.
    @discardableResult
    public nonisolated(nonsending) func perform(
        _ requests: inout [MappingRequest], oneAnswer: Bool = false
    ) async throws -> Int {
        try Task.checkCancellation()
        guard isNegotiated, let connection else { throw ShmemError(ENOTCONN, "no front-end serves mappings") }
        if oneAnswer, let last = requests.last, let obstacle = obstacle(to: last) { throw obstacle }
        let performance = Performance(requests.count)
        defer { performance.write(to: &requests) }
        let last = requests.count - 1
        for (index, request) in requests.enumerated() {
            try await drive(isAsking: true) { performance.open < Backend.mostInFlight }
            guard connection.channel != nil else { break }
            begin(request, isQuiet: oneAnswer && index < last, index, of: performance, connection)
        }
        try await drive(isAsking: true) { performance.open == 0 }
        if let loss = performance.loss() { throw loss }
        return performance.refused
    }

    private func begin(
        _ request: MappingRequest, isQuiet: Bool, _ index: Int, of performance: Performance, _ connection: BackendConnection
    ) {
        do throws(ShmemError) {
            if let obstacle = obstacle(to: request) { throw obstacle }
            let call = try begin(.mapping(request, isQuiet: isQuiet), fd: request.fd, connection) { [weak tasks] outcome in
                performance.ended(index, outcome.failure)
                tasks?.look()
            }
            performance.began(call, index)
        } catch {
            performance.wasRefused(index, error)
        }
    }
}
