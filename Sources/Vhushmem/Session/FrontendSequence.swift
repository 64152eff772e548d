// SPDX-License-Identifier: BSD-3-Clause

/// Questions that are asked one after the other; the first one that fails ends the sequence.
final class FrontendSequence {
    /// A step: asks, and tells how it ended. Returns an error instead where there is nothing to wait for.
    typealias Step = (Frontend, @escaping (ShmemError?) -> Void) -> ShmemError?

    private var steps: [Step]
    private var completion: ((ShmemError?) -> Void)?

    init(_ steps: [Step]) {
        self.steps = steps
    }

    /// A step that asks one question and hands the answer on.
    static func ask<Answer>(
        _ question: FrontendQuestion<Answer>, _ use: @escaping (Answer) -> ShmemError? = { _ in nil }
    ) -> Step {
        { frontend, done in
            do throws(ShmemError) {
                try frontend.ask(question) { result in
                    switch result {
                    case .success(let answer): done(use(answer))
                    case .failure(let error): done(error)
                    }
                }
                return nil
            } catch {
                return error
            }
        }
    }

    func run(on frontend: Frontend, _ completion: @escaping (ShmemError?) -> Void) {
        self.completion = completion
        next(on: frontend)
    }

    private func next(on frontend: Frontend) {
        guard !steps.isEmpty else { return finish(nil) }
        let step = steps.removeFirst()
        let failure = step(frontend) { error in
            if let error { self.finish(error) } else { self.next(on: frontend) }
        }
        if let failure { finish(failure) }
    }

    private func finish(_ error: ShmemError?) {
        steps = []
        let completion = completion
        self.completion = nil
        completion?(error)
    }
}

extension Frontend {
    /// Runs a sequence and dispatches until it has ended.
    func perform(_ sequence: FrontendSequence) throws(ShmemError) {
        let failure: ShmemError? = try waitFor { sequence.run(on: self, $0) }
        if let failure { throw failure }
    }
}
