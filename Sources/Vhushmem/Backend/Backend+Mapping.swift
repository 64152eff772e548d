// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Maps and unmaps of a back-end. These functions wait for the answer, if there is one, and serve the front-end's own requests
/// meanwhile: events and handlers may be called from within.
extension Backend {
    /// Asks the front-end to map a range of a file, and waits for the answer, if the front-end gives one (REPLY_ACK).
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - fd: the file, which stays the caller's.
    ///   - fileOffset: first byte in the file; a multiple of the page size.
    ///   - offset: first byte in the region; a multiple of the page size.
    ///   - length: bytes.
    ///   - writable: the guest may write to it.
    /// - Throws: the errno of the front-end's answer (EIO if it answered something else), EINVAL (no bytes, or a range that
    ///   wraps around; nothing was sent), EAGAIN and EACCES (`isForQemu`), ENOTCONN (no front-end serves mappings), ETIMEDOUT
    ///   (`answerTimeout` has passed; the channel is closed), ECONNRESET, EPROTO, EBADF, EBUSY (another request waits, and a
    ///   callback of it makes this call).
    public func map(
        shmid: UInt8, fd: Int32, fileOffset: UInt64 = 0, at offset: UInt64, length: UInt64, writable: Bool = false
    ) throws(ShmemError) {
        try ask(.map(shmid: shmid, fd: fd, fileOffset: fileOffset, at: offset, length: length, writable: writable))
    }

    /// Asks the front-end to undo a mapping, and waits for the answer, if the front-end gives one.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - offset: the offset of the mapping, as it was made.
    ///   - length: the length of the mapping, as it was made.
    /// - Throws: what `map` does.
    public func unmap(shmid: UInt8, at offset: UInt64, length: UInt64) throws(ShmemError) {
        try ask(.unmap(shmid: shmid, at: offset, length: length))
    }

    /// Sends several maps and unmaps before it waits for the first answer. A front-end without REPLY_ACK gives no results.
    ///
    /// - Parameters:
    ///   - requests: the requests, in this order. Each has its result afterwards.
    ///   - oneAnswer: only the last one is answered. The results of the others stay unknown.
    /// - Returns: how many were refused.
    /// - Throws: what `map` throws, except a refusal, EINVAL and EBADF, which are results.
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
