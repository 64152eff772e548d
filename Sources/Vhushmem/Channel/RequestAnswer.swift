// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What a request that is not about mappings is answered with, on the channel.
enum OtherAnswer {
    case done
    /// A positive errno value, and why, for the event.
    case refused(ShmemError)
    /// 0 with a descriptor: a reply of the request's own, which is sent whether it was asked for or not.
    case descriptor(SharedDescriptor)
    /// A refusal that is a reply of the request's own.
    case noDescriptor(ShmemError)
    /// `BackendChannel.answerUnanswered` comes later; until then nothing more is read.
    case later
}

/// What the VMM answers a request that is not about mappings with, unless it throws what it refuses the request with.
public enum RequestAnswer: ~Copyable, Sendable {
    /// Done: 0, where an answer is wanted.
    case done
    /// Done, and this descriptor goes with the answer, which is then sent whether it was asked for or not.
    case descriptor(OwnedDescriptor)
}

extension OtherRequest {
    /// What the channel sends for the VMM's answer; without one the request is refused.
    func answered(_ answer: () throws(ShmemError) -> RequestAnswer?) -> OtherAnswer {
        do throws(ShmemError) {
            switch try answer() {
            case .done: return .done
            case .descriptor(let descriptor):
                guard OwnedDescriptor.isOpen(descriptor.raw) else {
                    // Its number may be somebody else's by the time it would be closed.
                    _ = descriptor.release()
                    return refusal(.system("the VMM", EBADF), EBADF)
                }
                return .descriptor(SharedDescriptor(descriptor))
            case nil: return refusal(.notServed, EOPNOTSUPP)
            }
        } catch {
            // What is no errno can't be told: the kernel's are 1 to 4095.
            let code = (1...4095).contains(error.code) ? error.code : EIO
            return refusal(.system("the VMM", code), code)
        }
    }

    private func refusal(_ reason: ShmemError.Reason, _ code: Int32) -> OtherAnswer {
        let error = ShmemError(code, .request(id), reason)
        // A look-up has a reply of its own, which the back-end waits for whatever its header says.
        return id == BackendRequest.sharedObjectLookup ? .noDescriptor(error) : .refused(error)
    }
}
