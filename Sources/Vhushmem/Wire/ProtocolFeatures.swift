// SPDX-License-Identifier: BSD-3-Clause

/// The protocol features, as a set of bits.
public struct ProtocolFeatures: OptionSet, Sendable {
    /// The bits, as GET_PROTOCOL_FEATURES has them.
    public let rawValue: UInt64

    /// Features of these bits.
    ///
    /// - Parameter rawValue: the bits.
    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// MQ: the back-end tells how many queues it can have.
    public static let multiqueue = ProtocolFeatures(rawValue: 1 << 0)
    /// LOG_SHMFD: the log of dirty pages is shared as a file descriptor.
    public static let logSharedFd = ProtocolFeatures(rawValue: 1 << 1)
    /// REPLY_ACK: any request can ask for an acknowledgement.
    public static let replyAck = ProtocolFeatures(rawValue: 1 << 3)
    /// BACKEND_REQ: the back-end sends requests of its own, on a channel.
    public static let backendRequests = ProtocolFeatures(rawValue: 1 << 5)
    /// CROSS_ENDIAN: rings may have the other byte order.
    public static let crossEndian = ProtocolFeatures(rawValue: 1 << 6)
    /// CONFIG: the configuration space is in the back-end.
    public static let config = ProtocolFeatures(rawValue: 1 << 9)
    /// BACKEND_SEND_FD: requests of the back-end may carry file descriptors.
    public static let backendSendsFds = ProtocolFeatures(rawValue: 1 << 10)
    /// HOST_NOTIFIER: the back-end gives a queue's doorbell as memory.
    public static let hostNotifier = ProtocolFeatures(rawValue: 1 << 11)
    /// INFLIGHT_SHMFD: requests in flight are kept in shared memory, and survive the back-end.
    public static let inflightFd = ProtocolFeatures(rawValue: 1 << 12)
    /// RESET_DEVICE: the device can be reset without reconnecting.
    public static let resetDevice = ProtocolFeatures(rawValue: 1 << 13)
    /// INBAND_NOTIFICATIONS: queues are kicked and called by messages.
    public static let inbandNotifications = ProtocolFeatures(rawValue: 1 << 14)
    /// CONFIGURE_MEM_SLOTS: guest memory is added and removed a range at a time.
    public static let configureMemSlots = ProtocolFeatures(rawValue: 1 << 15)
    /// STATUS: the back-end knows the virtio device status.
    public static let status = ProtocolFeatures(rawValue: 1 << 16)
    /// SHARED_OBJECT: devices share files that are found by a UUID.
    public static let sharedObject = ProtocolFeatures(rawValue: 1 << 18)
    /// DEVICE_STATE: the back-end's inner state is saved and loaded for migration.
    public static let deviceState = ProtocolFeatures(rawValue: 1 << 19)
    /// GET_VRING_BASE_SKIP_DRAIN: a queue can be stopped without waiting for its requests.
    public static let getVringBaseSkipDrain = ProtocolFeatures(rawValue: 1 << 23)

    /// The features that this library supports, without SHMEM, whose bit depends on the peer.
    static let known: ProtocolFeatures = [
        .multiqueue, .replyAck, .backendRequests, .backendSendsFds, .resetDevice, .configureMemSlots,
    ]

    /// The features that a front-end of this library supports, also without SHMEM.
    static let ofFrontends: ProtocolFeatures = known.union([
        .logSharedFd, .config, .inflightFd, .status, .deviceState,
    ])
    /// Features that change how queues are run. A front-end accepts them, and a back-end offers them, only if the program asks
    /// for it.
    static let onRequest: ProtocolFeatures = [.crossEndian, .inbandNotifications]

    /// The features of this set, which this side knows, that it will use. `chosen`: what the program wants, those on request
    /// included; nil: all but those.
    func chosen(_ chosen: ProtocolFeatures?) -> ProtocolFeatures {
        guard let chosen else { return self }
        return union(.onRequest).intersection(chosen)
    }

    /// SHMEM is bit 22. Series older than v12 and interim trees used 20 and 21, which mean something else today. The wire
    /// cannot tell which is meant, so the caller decides, and that bit has no other meaning then.
    static let shmemBit: UInt32 = 22
    static let legacyShmemBits: ClosedRange<UInt32> = 20...21
    /// The first versions of the series used this bit. They also had other flags of a map.
    static let firstShmemBit: UInt32 = 20

    /// The feature of shared memory regions.
    ///
    /// - Parameter bit: 22, or 20 or 21 with old peers.
    /// - Returns: the feature.
    public static func shmem(bit: UInt32) -> ProtocolFeatures {
        ProtocolFeatures(rawValue: 1 << UInt64(bit & 63))
    }

    static func isShmemBit(_ bit: UInt32) -> Bool {
        bit == shmemBit || legacyShmemBits.contains(bit)
    }

    /// The virtio feature bit of protocol features.
    static let virtioFeature: UInt64 = 1 << 30
    /// The virtio feature bit of logging: VHOST_F_LOG_ALL, which a back-end offers together with LOG_SHMFD.
    static let logAll: UInt64 = 1 << 26

    /// The specification's name of a bit, without its prefix.
    ///
    /// - Parameter bit: its number.
    /// - Returns: the name; nil: the bit has none.
    public static func name(ofBit bit: UInt32) -> StaticString? { description(ofBit: bit)?.name }
}
