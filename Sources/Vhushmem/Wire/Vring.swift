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

    /// nil if bits without a meaning in the specification are set.
    init?(_ value: UInt64) {
        guard value & ~(VringDescriptor.indexMask | VringDescriptor.noDescriptorBit) == 0 else { return nil }
        queue = UInt8(truncatingIfNeeded: value & VringDescriptor.indexMask)
        hasDescriptor = value & VringDescriptor.noDescriptorBit == 0
    }

    var encoded: UInt64 {
        UInt64(queue) | (hasDescriptor ? 0 : VringDescriptor.noDescriptorBit)
    }
}

/// The payload of SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ENABLE and GET_VRING_BASE: a queue and a number. 8 bytes.
struct VringState: Equatable {
    static let size = 8

    var queue: UInt32
    var number: UInt32

    init(queue: UInt32, number: UInt32) {
        self.queue = queue
        self.number = number
    }

    init?(_ payload: UnsafeRawBufferPointer) {
        guard payload.count == VringState.size, let queue = unsafe payload.integer(at: 0, as: UInt32.self),
            let number = unsafe payload.integer(at: 4, as: UInt32.self)
        else { return nil }
        self.init(queue: queue, number: number)
    }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        unsafe payload.store(integer: queue, at: 0)
        unsafe payload.store(integer: number, at: 4)
    }
}

/// The payload of SET_VRING_ADDR: the addresses of the three parts of a split virtqueue in the front-end's process. 40 bytes.
struct VringAddresses: Equatable {
    static let size = 40
    /// The bit of `flags` that asks for changes of the used ring to be logged.
    static let logsUsedRing: UInt32 = 1 << 0

    var queue: UInt32
    var flags: UInt32
    var descriptors: UInt64
    var used: UInt64
    var available: UInt64
    /// A guest address.
    var log: UInt64

    init(queue: UInt32, flags: UInt32 = 0, descriptors: UInt64, used: UInt64, available: UInt64, log: UInt64 = 0) {
        self.queue = queue
        self.flags = flags
        self.descriptors = descriptors
        self.used = used
        self.available = available
        self.log = log
    }

    /// The guest address of the used ring, if its changes must be logged.
    var loggedUsedRing: UInt64? { flags & VringAddresses.logsUsedRing != 0 ? log : nil }

    /// Whether these are the same rings, logged or not.
    func hasRings(of other: VringAddresses) -> Bool {
        descriptors == other.descriptors && used == other.used && available == other.available
    }

    init?(_ payload: UnsafeRawBufferPointer) {
        guard payload.count == VringAddresses.size, let queue = unsafe payload.integer(at: 0, as: UInt32.self),
            let flags = unsafe payload.integer(at: 4, as: UInt32.self),
            let descriptors = unsafe payload.integer(at: 8, as: UInt64.self),
            let used = unsafe payload.integer(at: 16, as: UInt64.self),
            let available = unsafe payload.integer(at: 24, as: UInt64.self),
            let log = unsafe payload.integer(at: 32, as: UInt64.self)
        else { return nil }
        self.init(queue: queue, flags: flags, descriptors: descriptors, used: used, available: available, log: log)
    }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        unsafe payload.store(integer: queue, at: 0)
        unsafe payload.store(integer: flags, at: 4)
        unsafe payload.store(integer: descriptors, at: 8)
        unsafe payload.store(integer: used, at: 16)
        unsafe payload.store(integer: available, at: 24)
        unsafe payload.store(integer: log, at: 32)
    }
}
