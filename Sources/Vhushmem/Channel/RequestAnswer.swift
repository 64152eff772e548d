// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The answer to a request besides maps and unmaps, on the channel.
enum OtherAnswer {
    case done
    /// A positive errno value, and why, for the event.
    case refused(ShmemError)
    /// 0 with a descriptor: a reply of the request's own, which is sent in any case.
    case descriptor(SharedDescriptor)
    /// A refusal that is a reply of the request's own.
    case noDescriptor(ShmemError)
    /// `BackendChannel.answerUnanswered` comes later. Until then the channel reads nothing more.
    case later
}

/// The VMM's answer to a request besides maps and unmaps. To refuse the request, the VMM throws an error.
public enum RequestAnswer: ~Copyable, Sendable {
    /// Done: 0, if the back-end wants an answer.
    case done
    /// Done, and this descriptor goes with the answer, which is sent in any case.
    case descriptor(OwnedDescriptor)
}

extension OtherRequest {
    /// The channel's message for the VMM's answer. Without an answer the request is refused.
    func answered(_ answer: () throws(ShmemError) -> RequestAnswer?) -> OtherAnswer {
        do throws(ShmemError) {
            switch try answer() {
            case .done: return .done
            case .descriptor(let descriptor):
                guard OwnedDescriptor.isOpen(descriptor.raw) else {
                    // The number may be another file's by the time of a close.
                    _ = descriptor.release()
                    return refusal(.system("the VMM", EBADF), EBADF)
                }
                return .descriptor(SharedDescriptor(descriptor))
            case nil: return refusal(.notServed, EOPNOTSUPP)
            }
        } catch {
            // A number that is no errno cannot be sent: the kernel's are 1 to 4095.
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
