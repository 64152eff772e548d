// SPDX-License-Identifier: BSD-3-Clause

import CLinux

// MARK: What the front-end says about logging

extension Backend {
    var isLogging: Bool { features & ProtocolFeatures.logAll != 0 }

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
        guard let eventfd = takeEventfd(main) else { return .refused(EINVAL) }
        logCall = eventfd
        return .done
    }

    /// Where the queues' writes are noted from now on.
    func logChanged() {
        for queue in queues { logChanged(of: queue) }
    }

    func logChanged(of queue: BackendQueue) {
        queue.ring?.noteWrites(in: isLogging ? log : nil, usedRing: queue.setup.addresses?.loggedUsedRing)
    }

    /// The device has written to guest memory by itself.
    public func logWrite(at guestAddress: UInt64, length: UInt64) {
        guard isLogging, let log else { return }
        log.note(guestAddress, length)
        logCall?.signal()
    }
}
