// SPDX-License-Identifier: BSD-3-Clause

/// The direction in which a device's inner state goes.
public enum DeviceStateDirection: UInt32, Sendable {
    /// The back-end writes it.
    case save = 0
    /// The back-end reads it.
    case load = 1
}

/// The payload of SET_DEVICE_STATE_FD: the direction in which a device's inner state goes, and the phase. 8 bytes.
struct DeviceStateTransfer: Equatable {
    static let size = 8

    typealias Direction = DeviceStateDirection

    var direction: Direction
    /// The only phase: the device is stopped, its queues too.
    static let stopped: UInt32 = 0

    init(_ direction: Direction) {
        self.direction = direction
    }

    /// nil if the specification does not have the direction or the phase.
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

    /// Reads the reply: its lowest byte is an error, and another bit says whether a descriptor to use instead travels with it.
    static func reply(_ value: UInt64) -> (failed: Bool, hasDescriptor: Bool) {
        (value & 0xff != 0, value & (1 << 8) == 0)
    }

    static func encodedReply(failed: Bool, hasDescriptor: Bool) -> UInt64 {
        (failed ? 1 : 0) | (hasDescriptor ? 0 : 1 << 8)
    }
}
