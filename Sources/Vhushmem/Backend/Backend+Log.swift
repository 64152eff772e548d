// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: What the front-end says about logging

extension Backend {
    /// SET_LOG_BASE: replaces the last log.
    func takeLog(_ payload: UnsafeRawBufferPointer, _ connection: BackendConnection) -> BackendAnswer {
        guard let log = unsafe LogDescription(payload) else { return .malformed }
        do throws(Errno) {
            connection.log = try WriteLog.map(
                log, fd: connection.main.firstDescriptor ?? -1, quota: given, alarm: connection.useAlarm())
            logChanged(connection)
            return .value(0)
        } catch {
            return .refused(
                error.code,
                "a log of \(hex(log.length)) bytes at \(hex(log.fileOffset)) of its file: \(SharedFile.reason(error, given))")
        }
    }

    /// SET_LOG_FD
    func takeLogDescriptor(_ connection: BackendConnection) -> BackendAnswer {
        guard let eventfd = takeEventfd(connection.main) else { return .refused(.noEventfd) }
        connection.logCall = eventfd
        logChanged(connection)
        return .done
    }

    /// Tells the queues the log of their writes.
    func logChanged(_ connection: BackendConnection) {
        for queue in queues { logChanged(of: queue, connection) }
    }

    func logChanged(of queue: BackendQueue, _ connection: BackendConnection) {
        queue.ring?.noteWrites(
            in: connection.isLogging ? connection.log : nil, usedRing: queue.setup.addresses?.loggedUsedRing,
            isTold: connection.logCall != nil)
    }

    /// Logs a write that the device itself made to guest memory.
    ///
    /// - Parameters:
    ///   - guestAddress: guest address of the first byte.
    ///   - length: bytes.
    public func logWrite(at guestAddress: UInt64, length: UInt64) {
        guard let connection, connection.isLogging, let log = connection.log else { return }
        log.bits.note(guestAddress, length)
        connection.logCall?.signal()
    }
}
