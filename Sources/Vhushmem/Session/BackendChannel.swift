// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A request of the back-end that was served or refused.
public struct ServedRequest: Sendable {
    public enum Kind: Sendable {
        case map, unmap
        /// A request that this library does not know; all below but `request` and `error` is 0.
        case other
    }

    /// The request's id.
    public let request: UInt32
    /// The region's id.
    public let shmid: UInt8
    /// First byte in the region.
    public let offset: UInt64
    /// Bytes.
    public let length: UInt64
    /// First byte in the file; 0 for an unmap.
    public let fileOffset: UInt64
    /// As they came: bit 0 asks for a mapping that can be written.
    public let flags: UInt64
    /// What it was answered with: nil, it was done.
    public let error: ShmemError?

    public var kind: Kind {
        switch request {
        case BackendRequest.shmemMap: .map
        case BackendRequest.shmemUnmap: .unmap
        default: .other
        }
    }

    /// 0, or the negative errno that was answered.
    public var result: Int32 { error.map { -$0.code } ?? 0 }
}

/// The front-end's end of the back-end channel: serves SHMEM_MAP and SHMEM_UNMAP on a device.
final class BackendChannel {
    /// Longer than any request of a back-end, and room for a batch of them.
    private static let capacity = 4096
    /// So many requests in one dispatch at the most: one device must not starve the others on the loop.
    private static let requestsPerDispatch = 64

    let stream: MessageStream
    private let device: Device
    /// Whether SHMEM was negotiated: before, its requests are refused.
    var isNegotiated = false
    /// Requests that were sent before a reset are refused: so long as this is set, and for so many bytes after it.
    var isResetting = false
    private var bytesBeforeReset = 0
    /// Set when the connection ends, which a listener may bring about in the midst of a request: nothing more is served then.
    var isClosed = false
    /// A map or unmap is under way, listeners among it: the answer has not been sent.
    private(set) var isCarryingOut = false
    /// Some requests are left for the next dispatch.
    private(set) var hasMore = false

    init(socket: consuming FileDescriptor, device: Device, messageTimeout: UInt64) {
        stream = MessageStream(socket: socket, capacity: BackendChannel.capacity, timeout: messageTimeout)
        self.device = device
    }

    var pollTarget: PollTargets.Target {
        // So long as an answer waits nothing is read: a back-end that reads no answers gets no further, and costs no memory.
        PollTargets.Target(fd: stream.fd, events: Int16(stream.hasUnsent ? POLLOUT : POLLIN))
    }

    /// From now on requests that have arrived already are refused, and served again after them.
    func endReset() {
        bytesBeforeReset = stream.waitingBytes()
        isResetting = false
    }

    /// Serves what is there, up to a bound. With `reports`, `report` is called after each answer and returns false to stop.
    /// Returns how many requests were taken.
    func serve(reports: Bool, report: (ServedRequest) -> Bool) -> (count: Int32, lost: ShmemError?) {
        var count: Int32 = 0
        hasMore = false
        while count < BackendChannel.requestsPerDispatch, !isClosed {
            switch serveOne(reports, report) {
            case .stopped: return (count &+ 1, nil)
            case .idle: return (count, nil)
            case .lost(let error): return (count, error)
            case .served: count &+= 1
            }
        }
        hasMore = !isClosed && stream.hasBufferedMessage
        return (count, nil)
    }

    private enum Step {
        case idle, served, stopped
        case lost(ShmemError)
    }

    private func serveOne(_ reports: Bool, _ report: (ServedRequest) -> Bool) -> Step {
        if stream.hasUnsent {
            if case .failed(let error) = stream.flush() { return .lost(failure("answering", error)) }
            if stream.hasUnsent { return .idle }
        }
        switch stream.receive() {
        case .nothing: return .idle
        case .closed: return .lost(ShmemError(ECONNRESET, "the back-end closed its channel"))
        case .failed(let error): return .lost(failure("reading", error))
        case .violation(let violation):
            return .lost(ShmemError(violation.code, "the back-end channel brought \(violation.sentence)"))
        case .message(let header, let payload):
            if header.isReply { return .lost(ShmemError(EPROTO, "the back-end channel brought a reply that nobody asked for")) }
            return serve(header, payload, reports, report)
        }
    }

    private func serve(
        _ header: MessageHeader, _ payload: UnsafeRawBufferPointer, _ reports: Bool, _ report: (ServedRequest) -> Bool
    ) -> Step {
        var map: SharedMemoryMap?
        var failure: ShmemError?
        let isOlder = isOlderThanReset(MessageHeader.size &+ payload.count)
        do throws(ShmemError) {
            switch header.request {
            case BackendRequest.shmemMap, BackendRequest.shmemUnmap:
                map = SharedMemoryMap(payload)
                isCarryingOut = true
                defer { isCarryingOut = false }
                try carryOut(header, map, payload.count, isOlder: isOlder)
            default:
                throw ShmemError(EOPNOTSUPP, .request(header.request), .notServed)
            }
        } catch {
            failure = error
        }
        stream.releaseDescriptors()
        var sending = MessageStream.Sending.done
        if header.needsReply, !isClosed { sending = answer(header.request, failure) }
        // Whether the answer could be sent or not, what was changed is complete.
        if failure == nil, let map { device.region(id: map.shmid)?.commit() }
        if case .failed(let error) = sending { return .lost(self.failure("answering", error)) }
        guard !isClosed else { return .stopped }
        guard reports else { return .served }
        let served = ServedRequest(
            request: header.request, shmid: map?.shmid ?? 0, offset: map?.offset ?? 0, length: map?.length ?? 0,
            fileOffset: map?.fileOffset ?? 0, flags: map?.flags ?? 0, error: failure)
        return report(served) ? .served : .stopped
    }

    /// SHMEM_MAP or SHMEM_UNMAP. In the order of what the message itself must be, then of what the device says.
    private func carryOut(_ header: MessageHeader, _ map: SharedMemoryMap?, _ length: Int, isOlder: Bool) throws(ShmemError) {
        let isMap = header.request == BackendRequest.shmemMap
        let descriptors = stream.descriptorCount
        let wanted = isMap ? 1 : 0
        guard let map else {
            throw ShmemError(
                EINVAL, .request(header.request), .wrongPayload(expected: SharedMemoryMap.size, got: length))
        }
        let subject: ShmemError.Subject =
            isMap
            ? .map(shmid: map.shmid, offset: map.offset, length: map.length)
            : .unmap(shmid: map.shmid, offset: map.offset, length: map.length)
        if header.reservedFlags != 0 { throw ShmemError(EINVAL, subject, .reservedFlags(header.reservedFlags)) }
        if stream.descriptorsWereTruncated {
            guard descriptors <= Int(VHU_MAX_FDS) else { throw ShmemError(EINVAL, subject, .tooManyDescriptors) }
            throw ShmemError(EMFILE, subject, .descriptorsLost)
        }
        guard descriptors == wanted else {
            throw ShmemError(EINVAL, subject, .wrongDescriptors(expected: wanted, got: descriptors))
        }
        guard isNegotiated else { throw ShmemError(EOPNOTSUPP, subject, .notNegotiated) }
        if isOlder { throw ShmemError(ECANCELED, subject, .duringReset) }
        guard let region = device.region(id: map.shmid) else { throw ShmemError(ENOENT, subject, .noSuchRegion) }
        if isMap, let fd = stream.firstDescriptor {
            try region.map(
                fd: fd, fileOffset: map.fileOffset, at: map.offset, length: map.length, flags: map.flags)
        } else {
            try region.unmapLeavingCommit(at: map.offset, length: map.length)
        }
    }

    /// Whether a message of `length` bytes was sent before a reset; to be asked once of every message that is taken.
    private func isOlderThanReset(_ length: Int) -> Bool {
        if isResetting { return true }
        guard bytesBeforeReset > 0 else { return false }
        bytesBeforeReset = bytesBeforeReset &- length
        return true
    }

    /// 20 bytes in one sendmsg: 0, or the negative errno as an unsigned number.
    private func answer(_ request: UInt32, _ failure: ShmemError?) -> MessageStream.Sending {
        let value = UInt64(bitPattern: Int64(failure.map { -$0.code } ?? 0))
        return withUnsafeTemporaryAllocation(byteCount: 20, alignment: 8) { message in
            MessageHeader(request: request, flags: MessageHeader.replyFlags, size: 8).encode(into: message)
            message.store(integer: value, at: MessageHeader.size)
            return stream.send(UnsafeRawBufferPointer(message))
        }
    }

    private func failure(_ doing: StaticString, _ error: Errno) -> ShmemError {
        ShmemError(error.code, "\(doing) on the back-end channel: \(Errno.text(error.code)) (errno \(error.code))")
    }
}
