// SPDX-License-Identifier: BSD-3-Clause

/// Which way a device's inner state goes.
public enum DeviceStateDirection: UInt32, Sendable {
    /// The back-end writes it.
    case save = 0
    /// The back-end reads it.
    case load = 1
}

/// The payload of SET_DEVICE_STATE_FD: which way a device's inner state goes, and when. 8 bytes.
struct DeviceStateTransfer: Equatable {
    static let size = 8

    typealias Direction = DeviceStateDirection

    var direction: Direction
    /// The one phase there is: the device is stopped, its queues too.
    static let stopped: UInt32 = 0

    init(_ direction: Direction) {
        self.direction = direction
    }

    /// nil where the direction or the phase is none that the specification has.
    init?(_ payload: UnsafeRawBufferPointer) {
        guard payload.count == DeviceStateTransfer.size,
            let direction = unsafe payload.integer(at: 0, as: UInt32.self).flatMap(Direction.init(rawValue:)),
            unsafe payload.integer(at: 4, as: UInt32.self) == DeviceStateTransfer.stopped
        else { return nil }
        self.direction = direction
    }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        unsafe payload.store(integer: direction.rawValue, at: 0)
        unsafe payload.store(integer: DeviceStateTransfer.stopped, at: 4)
    }

    /// What the reply says: an error in its lowest byte, and whether a descriptor that is to be used instead travels with it.
    static func reply(_ value: UInt64) -> (failed: Bool, hasDescriptor: Bool) {
        (value & 0xff != 0, value & (1 << 8) == 0)
    }

    static func encodedReply(failed: Bool, hasDescriptor: Bool) -> UInt64 {
        (failed ? 1 : 0) | (hasDescriptor ? 0 : 1 << 8)
    }
}
