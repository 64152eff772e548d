// SPDX-License-Identifier: BSD-3-Clause

/// The payload of SET_VRING_KICK, _CALL and _ERR: the queue, and whether a descriptor travels along.
struct VringDescriptor: Equatable {
    private static let indexMask: UInt64 = 0xff
    private static let noDescriptorBit: UInt64 = 1 << 8

    var queue: UInt8
    var hasDescriptor: Bool

    init(queue: UInt8, hasDescriptor: Bool) {
        self.queue = queue
        self.hasDescriptor = hasDescriptor
    }

    /// nil where bits are set that the specification gives no meaning.
    init?(_ value: UInt64) {
        guard value & ~(VringDescriptor.indexMask | VringDescriptor.noDescriptorBit) == 0 else { return nil }
        queue = UInt8(truncatingIfNeeded: value & VringDescriptor.indexMask)
        hasDescriptor = value & VringDescriptor.noDescriptorBit == 0
    }

    var encoded: UInt64 {
        UInt64(queue) | (hasDescriptor ? 0 : VringDescriptor.noDescriptorBit)
    }
}
