// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: Requests that few devices need

extension FrontendQuestion where Answer == Void {
    /// SET_LOG_BASE: the log in which the back-end marks the pages that it has written, `length` bytes of a file from `offset`
    /// on.
    static func setLog(_ file: SharedDescriptor, offset: UInt64, length: UInt64) -> FrontendQuestion {
        let payload = unsafe encoded(LogDescription.size, LogDescription(length: length, fileOffset: offset).encode)
        return FrontendQuestion(request: .setLogBase, payload: payload, descriptors: [file]) { _ in }
    }

    /// SET_LOG_FD: the eventfd that the back-end signals when it has marked pages.
    static func setLogDescriptor(_ file: SharedDescriptor) -> FrontendQuestion {
        FrontendQuestion(.setLogFd, descriptors: [file])
    }
}

extension Frontend {
    /// The questions of the C interface use a file that stays the caller's.
    static func shared(_ fd: Int32) throws(ShmemError) -> SharedDescriptor {
        do throws(Errno) {
            return SharedDescriptor(try OwnedDescriptor.duplicate(fd))
        } catch {
            throw ShmemError(error.code, "cannot duplicate the descriptor \(fd): \(Errno.text(error.code))")
        }
    }

    /// SET_VRING_ENDIAN (1: the rings are big-endian) or VRING_KICK (the queue has something). Throws EINVAL (the queue).
    func queueQuestion(
        _ request: FrontendRequest, _ queue: UInt32, _ number: UInt32 = 0
    ) throws(ShmemError) -> FrontendQuestion<Void> {
        guard queue < options.queues else {
            throw ShmemError(EINVAL, "the front-end has \(options.queues) queues, and none with the number \(queue)")
        }
        return .vring(request, Int(queue), number)
    }
}
