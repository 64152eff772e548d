// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Questions that are asked one after the other; the first one that fails ends the sequence.
final class FrontendSequence {
    /// A step: asks, and tells how it ended. Returns an error instead where there is nothing to wait for.
    typealias Step = (Frontend, @escaping (ShmemError?) -> Void) -> ShmemError?

    private var steps: [Step]
    private var completion: ((ShmemError?) -> Void)?
    /// Given up when the device is reset meanwhile.
    private let isOfOneLife: Bool
    private var life: UInt = 0
    private var isProceeding = false
    private var wasAnsweredAtOnce = false

    init(_ steps: [Step], isOfOneLife: Bool = false) {
        self.steps = steps
        self.isOfOneLife = isOfOneLife
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
        life = frontend.running.life
        proceed(on: frontend)
    }

    /// Where nothing is acknowledged each step is answered before it returns: the next one is not taken from within it, or the stack would
    /// grow with the number of queues.
    private func proceed(on frontend: Frontend) {
        guard !isProceeding else {
            wasAnsweredAtOnce = true
            return
        }
        isProceeding = true
        defer { isProceeding = false }
        repeat {
            wasAnsweredAtOnce = false
            guard !isOfOneLife || life == frontend.running.life else {
                return finish(ShmemError(ECANCELED, "the device was reset meanwhile"))
            }
            guard !steps.isEmpty else { return finish(nil) }
            let step = steps.removeFirst()
            let failure = step(frontend) { error in
                if let error { self.finish(error) } else { self.proceed(on: frontend) }
            }
            if let failure { return finish(failure) }
        } while wasAnsweredAtOnce
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
