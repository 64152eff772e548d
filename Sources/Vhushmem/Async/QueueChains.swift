// SPDX-License-Identifier: BSD-3-Clause

import CLinux
/// The chains that the driver puts into a queue, as a sequence; see `Backend.chains(of:)`.
public struct QueueChains: AsyncSequence {
    /// One chain.
    public typealias Element = DescriptorChain
    /// `CancellationError` or `ShmemError`.
    public typealias Failure = any Error

    let backend: Backend
    let queue: Int

    /// Begins to take chains. Use it where the back-end is.
    ///
    /// - Returns: the iterator that takes them.
    public func makeAsyncIterator() -> Iterator { Iterator(backend: backend, queue: queue) }

    /// Takes one chain after the other.
    public struct Iterator: AsyncIteratorProtocol {
        let backend: Backend
        let queue: Int

        /// Takes the next chain.
        ///
        /// - Parameter actor: where the back-end is used, and this runs.
        /// - Returns: the chain; nil: there will be none.
        /// - Throws: `CancellationError`, and `ShmemError` if the back-end cannot be waited for (EMFILE, ENFILE, ENOMEM).
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> DescriptorChain? {
            try await backend.nextChain(of: queue)
        }
    }
}

extension Backend {
    /// The chains that the driver puts into a queue. Taking the next one drives the back-end: while a task waits for one, the
    /// back-end serves the front-end's requests.
    ///
    /// The sequence continues over stops and starts of the queue, and over front-ends. It ends when the back-end is closed, or
    /// when its connection ends and there is no listener. While a queue is broken there is nothing to take; the handler of
    /// queues reports that. Give each chain back with `push`, and tell the driver with `notify`.
    ///
    /// - Parameter queue: its number.
    /// - Returns: the sequence.
    /// - Throws: EINVAL: the device has no such queue.
    public func chains(of queue: Int) throws(ShmemError) -> QueueChains {
        guard queues.indices.contains(queue) else { throw ShmemError(EINVAL, "the device has no queue \(queue)") }
        listenToQueues()
        return QueueChains(backend: self, queue: queue)
    }

    /// Serves a queue with workers. Each chain goes to a task of its own, on any thread, and back to the driver when the task
    /// has ended. While this waits, the back-end serves the front-end's requests.
    ///
    /// It returns when the back-end is closed, or when its connection has ended and there is no listener. A chain that a worker
    /// has while its queue is stopped cannot be given back any more. If in-flight tracking is on (INFLIGHT_SHMFD), it comes
    /// again.
    ///
    /// - Parameters:
    ///   - queue: its number.
    ///   - workers: how many chains workers may have at a time; at least 1.
    ///   - body: serves a chain, and returns how many bytes it wrote. If it throws, the queue is broken: the driver put
    ///     something in that the device does not understand. `CancellationError` breaks nothing: that chain is not given back.
    /// - Throws: EINVAL (the device has no such queue), `CancellationError`, and EMFILE, ENFILE or ENOMEM if the back-end
    ///   cannot be waited for. It then cancels the workers, and waits for them.
    public nonisolated(nonsending) func serve(
        queue: Int, workers: Int = 1, _ body: @escaping @Sendable (DescriptorChain) async throws -> UInt32
    ) async throws {
        guard queues.indices.contains(queue) else { throw ShmemError(EINVAL, "the device has no queue \(queue)") }
        listenToQueues()
        let tasks = tasks
        let done = DoneChains(tasks.doorbell)
        // No task group: its body would be a closure, which runs in no actor, and the back-end with it.
        var working: [ObjectIdentifier: Task<Void, Never>] = [:]
        // Chains that could not go back yet, because the front-end has taken the memory of the rings away for now.
        var late: [DoneChains.Done] = []
        var ending: (any Error)?
        while true {
            let ended = done.takeAll()
            for (chain, _) in ended { working[ObjectIdentifier(chain)] = nil }
            late = giveBack(late + ended, to: queue)
            while working.count + late.count < max(1, workers), let chain = take(from: queue) {
                working[ObjectIdentifier(chain)] = Task {
                    do {
                        done.add(chain, .success(try await body(chain)))
                    } catch {
                        done.add(chain, .failure(error))
                    }
                }
            }
            if isFinished { break }
            let isBusy = working.count + late.count >= max(1, workers)
            let isLate = !late.isEmpty
            do {
                try await drive { [self] in
                    !done.isEmpty || isFinished || ((!isBusy || isLate) && tasks.kicked.contains(queue))
                }
            } catch {
                ending = error
                break
            }
        }
        for worker in working.values { worker.cancel() }
        for worker in working.values { await worker.value }
        _ = giveBack(late + done.takeAll(), to: queue)
        if let ending { throw ending }
    }

    nonisolated(nonsending) func nextChain(of queue: Int) async throws -> DescriptorChain? {
        let tasks = tasks
        while true {
            if let chain = take(from: queue) { return chain }
            if isFinished { return nil }
            try await drive { [self] in tasks.kicked.contains(queue) || isFinished }
        }
    }

    /// A queue that is broken, or does not run, has nothing to take; a kick tells when it has again.
    private func take(from queue: Int) -> DescriptorChain? {
        guard isRunning(queue: queue), let chain = try? pop(queue: queue) else {
            tasks.kicked.remove(queue)
            return nil
        }
        return chain
    }

    /// Returns the chains that cannot go back now: a kick tells when they can.
    private func giveBack(_ chains: [DoneChains.Done], to queue: Int) -> [DoneChains.Done] {
        var late: [DoneChains.Done] = []
        for (chain, result) in chains {
            switch result {
            case .success(let written):
                let count = UInt32(clamping: min(UInt64(written), chain.writableSize))
                let refused = refusal { () throws(ShmemError) in try push(chain, written: count) }
                // A queue that was stopped meanwhile takes nothing back.
                if refused?.code == EAGAIN { late.append((chain, result)) }
            // It is not given back; the queue may serve others.
            case .failure(is CancellationError): break
            case .failure(let error):
                Log.warning("queue \(queue) is broken: a worker failed: \(String(describing: error))")
                try? breakQueue(queue)
            }
        }
        if late.count < chains.count { _ = try? notify(queue: queue) }
        if !late.isEmpty { tasks.kicked.remove(queue) }
        return late
    }

    private func refusal(_ body: () throws(ShmemError) -> Void) -> ShmemError? {
        do throws(ShmemError) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    private func listenToQueues() {
        queueListener = { [weak tasks] queue in tasks?.kicked.insert(queue) }
    }
}

/// Chains that workers have finished, on their way back.
private final class DoneChains: Sendable {
    typealias Done = (chain: DescriptorChain, result: Result<UInt32, any Error>)

    private let chains = Shared<[Done]>([])
    private let doorbell: Doorbell

    init(_ doorbell: Doorbell) { self.doorbell = doorbell }

    var isEmpty: Bool { chains.withLock { $0.isEmpty } }

    func add(_ chain: DescriptorChain, _ result: Result<UInt32, any Error>) {
        chains.withLock { $0.append((chain, result)) }
        doorbell.ring()
    }

    func takeAll() -> [Done] {
        chains.withLock { chains in
            defer { chains = [] }
            return chains
        }
    }
}
