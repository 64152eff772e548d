// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Where a front-end that migrates its guest wants to find which pages the device has written: a bit for each 4096 bytes of guest
/// addresses, in a file of its own.
final class WriteLog {
    /// A page of the log, whatever a page is here.
    private static let pageShift: UInt64 = 12

    private let bits: UnsafeMutableRawPointer
    /// Bytes.
    private let length: UInt64
    private let mapping: UnsafeMutableRawPointer
    private let mappedLength: Int
    private let guarded: GuardedRange

    private init(
        _ bits: UnsafeMutableRawPointer, length: UInt64, mapping: UnsafeMutableRawPointer, mappedLength: Int, alarm: Alarm
    ) {
        self.bits = bits
        self.length = length
        self.mapping = mapping
        self.mappedLength = mappedLength
        guarded = GuardedRange.begin(mapping, length: mappedLength, alarm: alarm)
    }

    deinit {
        guarded.end()
        try? Memory.unmap(mapping, mappedLength)
    }

    /// Throws EINVAL (no bytes, no file, or a range that wraps around), EOVERFLOW (it is not inside the file), and what mmap does.
    static func map(_ told: LogArea, fd: Int32, alarm: Alarm) throws(Errno) -> WriteLog {
        guard told.length > 0, let range = ByteRange(start: told.fileOffset, length: told.length) else { throw Errno(EINVAL) }
        let status = try FileStatus(of: fd)
        guard status.isRegular else { throw Errno(EINVAL) }
        let start = range.start & ~(Memory.pageSize &- 1)
        guard range.end <= status.size,
            let whole = ByteRange(start: start, length: range.end &- start)?.roundedUp(to: Memory.pageSize),
            let length = Int(exactly: whole.length), let offset = Int(exactly: start)
        else { throw Errno(EOVERFLOW) }
        let mapping = try Memory.map(
            nil, length, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED, fd: fd, offset: offset)
        return WriteLog(
            mapping + Int(clamping: range.start &- start), length: told.length, mapping: mapping, mappedLength: length,
            alarm: alarm)
    }

    /// Bytes of guest memory were written. What the log has no bits for is not noted: it is the front-end's to say how long it is.
    func note(_ guestAddress: UInt64, _ count: UInt64) {
        guard count > 0, let range = ByteRange(start: guestAddress, length: count) else { return }
        var page = range.start >> WriteLog.pageShift
        let last = (range.end &- 1) >> WriteLog.pageShift
        while page <= last, page >> 3 < length {
            // The front-end takes bits away while others are set.
            vhu_or8(bits + Int(clamping: page >> 3), 1 << UInt8(page & 7))
            page = page &+ 1
        }
    }
}

// MARK: What the front-end says about logging

extension Backend {
    /// VHOST_F_LOG_ALL, which is offered with LOG_SHMFD.
    static let logAll: UInt64 = 1 << 26

    var isLogging: Bool { features & Backend.logAll != 0 }

    /// SET_LOG_BASE: in the place of what was told before.
    func takeLog(_ payload: UnsafeRawBufferPointer, _ main: MessageStream) -> BackendAnswer {
        guard let area = LogArea(payload) else { return .malformed }
        do throws(Errno) {
            log = try WriteLog.map(area, fd: main.firstDescriptor ?? -1, alarm: useAlarm())
            logChanged()
            return .value(0)
        } catch {
            return .refused(error.code)
        }
    }

    /// SET_LOG_FD
    func takeLogDescriptor(_ main: MessageStream) -> BackendAnswer {
        guard let fd = main.firstDescriptor, (try? FileStatus(of: fd))?.isAnonymous == true,
            let descriptor = main.takeFirstDescriptor()
        else { return .refused(EINVAL) }
        logCall = Eventfd(descriptor)
        return .done
    }

    /// Where the queues' writes are noted from now on.
    func logChanged() {
        for queue in queues { logChanged(of: queue) }
    }

    func logChanged(of queue: BackendQueue) {
        queue.ring?.log = isLogging ? log : nil
        queue.ring?.loggedUsedRing = queue.addresses?.loggedUsedRing
    }

    /// The device has written to guest memory by itself.
    public func logWrite(at guestAddress: UInt64, length: UInt64) {
        guard isLogging, let log else { return }
        log.note(guestAddress, length)
        logCall?.signal()
    }
}
