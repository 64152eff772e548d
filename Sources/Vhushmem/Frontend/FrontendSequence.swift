// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Questions that are asked one after the other on one connection. The first one that fails ends the sequence. The handshake is
/// a sequence, and so are the start and the stop of a device.
final class FrontendSequence {
    struct Step {
        let take: (Frontend, _ done: @escaping (ShmemError?) -> Void) throws(ShmemError) -> Taken
    }

    /// The outcome of a step's turn.
    enum Taken {
        /// There is nothing to ask.
        case nothing
        /// The request to send, which calls `done` in the end.
        case call(FrontendRequest, FrontendCall)
        /// Other code calls `done` in the end.
        case later
        /// These steps replace it.
        case steps([Step])
    }

    private var steps: [Step]
    private var completion: ((Frontend?, ShmemError?) -> Void)?
    /// The front-end owns the connection, which has the sequence: the sequence does not retain the front-end.
    private var way: BackReference<Frontend>?
    /// The sequence is given up if the device is reset meanwhile.
    private let isOfOneLife: Bool
    private var life: UInt = 0
    private var connection: Connection?
    private var progress = Progress.waiting

    /// If nothing is acknowledged, a step is answered before it returns. The next step is not taken from within it, or the
    /// stack would grow with the number of queues.
    private enum Progress {
        case waiting
        /// A step is being taken.
        case asking
        /// It was answered at once.
        case answered
    }

    init(_ steps: [Step], isOfOneLife: Bool = false) {
        self.steps = steps
        self.isOfOneLife = isOfOneLife
    }

    /// A step that asks one question and passes the answer on.
    static func ask<Answer>(
        _ question: FrontendQuestion<Answer>, _ use: @escaping (Frontend, Answer) -> ShmemError? = { _, _ in nil }
    ) -> Step {
        step({ _ in question }, use)
    }

    /// The same with a question that depends on the answers before it; nil: it is left out.
    static func step<Answer>(
        _ question: @escaping (Frontend) throws(ShmemError) -> FrontendQuestion<Answer>?,
        _ use: @escaping (Frontend, Answer) -> ShmemError? = { _, _ in nil }
    ) -> Step {
        Step { frontend, done throws(ShmemError) in
            guard let question = try question(frontend) else { return .nothing }
            let way = frontend.way
            let call = question.call { result in
                switch result {
                case .success(let answer):
                    guard let frontend = way.target else { return done(.notConnected) }
                    done(use(frontend, answer))
                case .failure(let error): done(error)
                }
            }
            return .call(question.request, call)
        }
    }

    /// A step that asks nothing.
    static func act(_ body: @escaping (Frontend) -> Void) -> Step {
        Step { frontend, _ in
            body(frontend)
            return .nothing
        }
    }

    /// `completion` is called once. It gets the front-end, unless that has gone, so it need not retain it.
    func run(on frontend: Frontend, _ completion: @escaping (Frontend?, ShmemError?) -> Void) {
        self.completion = completion
        way = frontend.way
        life = frontend.setup.life
        connection = frontend.connection
        proceed(on: frontend)
    }

    private func proceed(on frontend: Frontend) {
        guard case .waiting = progress else {
            progress = .answered
            return
        }
        defer { progress = .waiting }
        repeat {
            progress = .asking
            guard !isOfOneLife || life == frontend.setup.life else {
                return finish(ShmemError(ECANCELED, "the device was reset meanwhile"))
            }
            guard !steps.isEmpty else { return finish(nil) }
            guard let connection, frontend.connection === connection else { return finish(.notConnected) }
            do throws(ShmemError) {
                try take(steps.removeFirst(), on: frontend)
            } catch {
                return finish(error)
            }
        } while progress == .answered
    }

    private func take(_ step: Step, on frontend: Frontend) throws(ShmemError) {
        let taken = try step.take(frontend) { [way] error in
            if let error { return self.finish(error) }
            guard let frontend = way?.target else { return self.finish(.notConnected) }
            self.proceed(on: frontend)
        }
        switch taken {
        case .nothing: proceed(on: frontend)
        case .call(let request, let call):
            try frontend.requireAgreement(to: request)
            try frontend.submit(call)
        case .later: break
        case .steps(let more):
            steps = more + steps
            proceed(on: frontend)
        }
    }

    private func finish(_ error: ShmemError?) {
        steps = []
        connection = nil
        let completion = completion
        self.completion = nil
        completion?(way?.target, error)
    }
}
