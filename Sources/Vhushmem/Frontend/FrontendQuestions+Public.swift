// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: Requests that few devices need, as Swift programs ask them

extension FrontendQuestion where Answer == Void {
    /// SET_LOG_BASE: gives the back-end a log in which it marks the pages that it has written. It needs LOG_SHMFD.
    ///
    /// - Parameters:
    ///   - fd: a file, which is duplicated.
    ///   - offset: first byte of the log in the file.
    ///   - length: bytes; a bit for each page of guest memory.
    /// - Returns: the question.
    /// - Throws: EBADF, EMFILE.
    public static func setLog(fd: Int32, offset: UInt64, length: UInt64) throws(ShmemError) -> FrontendQuestion {
        setLog(try Frontend.shared(fd), offset: offset, length: length)
    }

    /// SET_LOG_FD: sets the eventfd that the back-end signals when it has marked pages.
    ///
    /// - Parameter fd: duplicated.
    /// - Returns: the question.
    /// - Throws: EBADF, EMFILE.
    public static func setLogDescriptor(_ fd: Int32) throws(ShmemError) -> FrontendQuestion {
        setLogDescriptor(try Frontend.shared(fd))
    }

    /// VRING_KICK: kicks a queue by a message. It needs INBAND_NOTIFICATIONS.
    ///
    /// - Parameter queue: its number. One that the front-end does not have is refused with EINVAL.
    /// - Returns: the question.
    public static func kick(queue: Int) -> FrontendQuestion { vring(.vringKick, ofQueue: queue, 0) }

    /// SET_VRING_ENDIAN: sets the byte order of a queue's rings. It needs CROSS_ENDIAN.
    ///
    /// - Parameters:
    ///   - queue: its number. One that the front-end does not have is refused with EINVAL.
    ///   - isBigEndian: the most significant byte comes first.
    /// - Returns: the question.
    public static func setEndian(ofQueue queue: Int, isBigEndian: Bool) -> FrontendQuestion {
        vring(.setVringEndian, ofQueue: queue, isBigEndian ? 1 : 0)
    }

    private static func vring(_ request: FrontendRequest, ofQueue queue: Int, _ number: UInt32) -> FrontendQuestion {
        var question = vring(request, queue, number)
        question.fault = { options in
            guard queue < 0 || queue >= Int(options.queues) else { return nil }
            return ShmemError(EINVAL, "the front-end has \(options.queues) queues, and none with the number \(queue)")
        }
        return question
    }
}

extension FrontendQuestion where Answer == FrontendReply {
    /// GET_SHARED_OBJECT: the file that the back-end has under a name, as the descriptor of the reply. It needs SHARED_OBJECT.
    ///
    /// - Parameter uuid: 16 bytes.
    /// - Returns: the question.
    /// - Throws: EINVAL (the name). The answer is ENOENT if the back-end has no such object.
    public static func sharedObject(_ uuid: [UInt8]) throws(ShmemError) -> FrontendQuestion {
        let name = try SharedObjects.name(uuid)
        return unsafe FrontendQuestion(
            request: .getSharedObject, payload: encoded(ObjectName.size, name.encode)
        ) { reply throws(ShmemError) in
            guard reply.fd != nil else { throw ShmemError(ENOENT, "the back-end has no such shared object") }
            return reply
        }
    }
}

extension Frontend {
    /// Begins to transfer the state of a stopped device through a pipe, and does not wait.
    ///
    /// - Parameters:
    ///   - direction: whether the back-end writes its state or reads it.
    ///   - pipe: the pipe's end for the back-end; this closes it as soon as the back-end has it.
    ///   - completion: called once with the reply, unless this throws. If the reply has a descriptor, use it instead of the
    ///     pipe.
    /// - Throws: EBUSY (the device runs), and what `ask` throws.
    public func transferState(
        _ direction: DeviceStateDirection, through pipe: consuming OwnedDescriptor,
        completion: @escaping (Result<FrontendReply, ShmemError>) -> Void
    ) throws(ShmemError) {
        try ask(deviceStateQuestion(direction, SharedDescriptor(pipe)), completion: completion)
    }

    /// Asks for the file that the back-end has under a name, and waits for the answer.
    ///
    /// - Parameter uuid: 16 bytes.
    /// - Returns: a descriptor of the file.
    /// - Throws: EINVAL (the name), ENOENT (the back-end has no such object), and what `ask` throws.
    public func sharedObject(_ uuid: [UInt8]) throws(ShmemError) -> OwnedDescriptor {
        try ask(FrontendQuestion<FrontendReply>.sharedObject(uuid)).requireDescriptor()
    }
}
