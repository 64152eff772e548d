// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What a back-end asks of its front-end. These wait for the answer, where one is owed, and serve the front-end's own requests meanwhile:
/// events and handlers may be called from within.
extension Backend {
    /// Asks for a range of a file to be mapped, and waits for the answer where the front-end gives one (REPLY_ACK).
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - fd: the file, which stays the caller's.
    ///   - fileOffset: where the range begins in the file, in bytes; a multiple of the page size.
    ///   - offset: where it is in the region, in bytes; a multiple of the page size.
    ///   - length: bytes.
    ///   - writable: the guest may write to it.
    /// - Throws: the errno that the front-end answered (EIO where it answered something else), EINVAL (no bytes, or a range that wraps
    ///   around; nothing was sent), EAGAIN and EACCES (`isForQemu`), ENOTCONN (no front-end serves mappings), ETIMEDOUT (`answerTimeout`
    ///   has passed; the channel is closed), ECONNRESET, EPROTO, EBADF, EBUSY (another one waits: this is a callback from within it).
    public func map(
        shmid: UInt8, fd: Int32, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64, writable: Bool = false
    ) throws(ShmemError) {
        try ask(.map(shmid: shmid, fd: fd, fileOffset: fileOffset, at: offset, length: length, writable: writable))
    }

    /// Asks for a mapping to be undone, and waits for the answer where the front-end gives one.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - offset: the offset that the mapping was made with.
    ///   - length: the length that it was made with.
    /// - Throws: what `map` does.
    public func unmap(shmid: UInt8, at offset: UInt64, length: UInt64) throws(ShmemError) {
        try ask(.unmap(shmid: shmid, at: offset, length: length))
    }

    /// Asks for several mappings at once: all are sent before the first answer is awaited. Of a front-end without REPLY_ACK no result is
    /// known.
    ///
    /// - Parameters:
    ///   - requests: what is asked for, in this order. Each has its result afterwards.
    ///   - oneAnswer: the last one alone is answered, and what became of the others is not known unless it was refused for their sake.
    /// - Returns: how many were refused.
    /// - Throws: what `map` throws, but for a refusal, EINVAL and EBADF, which are results.
    @discardableResult
    public func perform(_ requests: inout [MappingRequest], oneAnswer: Bool = false) throws(ShmemError) -> Int {
        do throws(Errno) {
            try exchange(&requests, oneAnswer: oneAnswer)
        } catch {
            throw ShmemError(error.code, .nothing, .system("the front-end", error.code))
        }
        var refused = 0
        for request in requests where request.result < 0 { refused = refused &+ 1 }
        return refused
    }

    func ask(_ request: MappingRequest) throws(ShmemError) {
        _ = try served(request)
        var requests = [request]
        do throws(Errno) {
            try exchange(&requests, oneAnswer: false)
        } catch {
            throw ShmemError(error.code, request.subject, .system("the front-end", error.code))
        }
        let result = requests[0].result
        if result < 0 { throw .refusal(of: request, result) }
    }
}
