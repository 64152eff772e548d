// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Dispatch

/// The tasks that wait for one session. They all run where the session is used, one at a time: threads share only the waiters.
///
/// A task that waits drives the session: when its descriptor is readable, one of the tasks is woken and dispatches. After each
/// dispatch, the tasks are woken that find what they wait for. So the library has no task of its own, and nothing that must be
/// ended.
final class SessionTasks: PollAttachment {
    private struct Place {
        let waiter: Waiter
        let isDone: () -> Bool
    }

    private var places: [Place] = []
    private var watch: ReadableWatch?
    let doorbell = Doorbell()
    /// Queues of a back-end that were kicked since a task found them empty.
    var kicked: Set<Int> = []
    /// How many of them wait for an answer, which comes only if the session is dispatched.
    var asking = 0
    /// Events that the program has not taken yet; nil: it has not asked for events.
    var events: (any EventBuffering)?

    func sessionWasFreed() {
        for place in places { place.waiter.wake() }
    }

    /// Something may have happened.
    func look() {
        for place in places where place.isDone() { place.waiter.wake() }
    }

    /// Suspends the task until the descriptor is readable and it is this task's turn, until `isDone`, until the time is up
    /// (microseconds; nil: never), or until the task is cancelled.
    nonisolated(nonsending) func wait(
        for fd: Int32, until deadline: UInt64?, _ isDone: @escaping () -> Bool
    ) async throws(Errno) {
        if watch == nil { watch = try ReadableWatch(fd) }
        let waiter = Waiter()
        places.append(Place(waiter: waiter, isDone: isDone))
        arm()
        if let deadline {
            let now = Clock.now()
            let left = deadline > now ? Int(clamping: deadline &- now) : 0
            DispatchQueue.global().asyncAfter(deadline: .now() + .microseconds(left)) { [weak waiter] in waiter?.wake() }
        }
        await waiter.wait()
        places.removeAll { $0.waiter === waiter }
        // It may have been the next one to wake, or a worker's bell was for another one.
        look()
        arm()
    }

    /// While the program takes no events, the session serves nothing that would make more. But an answer that a task waits for
    /// must arrive.
    func arm() {
        let isHeldUp = asking == 0 && events?.isFull == true
        watch?.arm(isHeldUp ? nil : places.first?.waiter)
        doorbell.arm(places.first?.waiter)
    }
}

extension Pollable {
    /// The tasks of this session.
    var tasks: SessionTasks {
        for attachment in loops.attachments {
            if let tasks = attachment as? SessionTasks { return tasks }
        }
        let tasks = SessionTasks()
        attach(tasks)
        return tasks
    }

    /// Suspends the task, and dispatches, until `isDone`. `isAsking`: it waits for an answer. Throws CancellationError; EMFILE
    /// and the like if the session cannot be waited for; ETIMEDOUT at the `deadline` (microseconds).
    nonisolated(nonsending) func drive(
        until deadline: UInt64? = nil, isAsking: Bool = false, _ isDone: @escaping () -> Bool
    ) async throws {
        if isDone() { return }
        let tasks = tasks
        let descriptor = try waitDescriptor()
        whenWatched { [weak tasks] in tasks?.look() }
        if isAsking { tasks.asking += 1 }
        defer { if isAsking { tasks.asking -= 1 } }
        while !isDone() {
            try Task.checkCancellation()
            if let deadline, Clock.now() >= deadline { throw ShmemError(ETIMEDOUT, "it was not done in time") }
            do throws(Errno) {
                try await tasks.wait(for: descriptor, until: deadline, isDone)
            } catch {
                throw ShmemError(error.code, "cannot wait for the session: \(Errno.text(error.code))")
            }
            // What this task needs may be there already. A cancelled task does not do what it does not need.
            if !isDone(), !Task.isCancelled { _ = dispatch(.both) }
        }
    }

    /// Begins an operation that calls a completion in the end, and suspends the task until then. A cancelled task stops
    /// waiting; the operation goes on.
    nonisolated(nonsending) func ask<Answer>(
        _ begin: (@escaping (Result<Answer, ShmemError>) -> Void) throws(ShmemError) -> Void
    ) async throws -> Answer {
        try Task.checkCancellation()
        let box = AnswerBox<Answer>()
        try begin { [weak tasks] result in
            box.result = result
            tasks?.look()
        }
        while true {
            if let result = box.result { return try result.get() }
            try await drive(isAsking: true) { box.result != nil }
        }
    }
}

/// Stores the value that a completion was called with.
final class AnswerBox<Answer> {
    var result: Result<Answer, ShmemError>?
}
