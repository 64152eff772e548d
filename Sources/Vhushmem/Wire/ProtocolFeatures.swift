// SPDX-License-Identifier: BSD-3-Clause

/// The protocol features, as a set of bits.
public struct ProtocolFeatures: OptionSet, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    public static let multiqueue = ProtocolFeatures(rawValue: 1 << 0)
    public static let logSharedFd = ProtocolFeatures(rawValue: 1 << 1)
    public static let replyAck = ProtocolFeatures(rawValue: 1 << 3)
    public static let backendRequests = ProtocolFeatures(rawValue: 1 << 5)
    public static let crossEndian = ProtocolFeatures(rawValue: 1 << 6)
    public static let config = ProtocolFeatures(rawValue: 1 << 9)
    public static let backendSendsFds = ProtocolFeatures(rawValue: 1 << 10)
    public static let hostNotifier = ProtocolFeatures(rawValue: 1 << 11)
    public static let inflightFd = ProtocolFeatures(rawValue: 1 << 12)
    public static let resetDevice = ProtocolFeatures(rawValue: 1 << 13)
    public static let inbandNotifications = ProtocolFeatures(rawValue: 1 << 14)
    public static let configureMemSlots = ProtocolFeatures(rawValue: 1 << 15)
    public static let status = ProtocolFeatures(rawValue: 1 << 16)
    public static let sharedObject = ProtocolFeatures(rawValue: 1 << 18)
    public static let deviceState = ProtocolFeatures(rawValue: 1 << 19)
    public static let getVringBaseSkipDrain = ProtocolFeatures(rawValue: 1 << 23)

    /// What this library can do, SHMEM left out: which bit that is depends on the peer.
    static let known: ProtocolFeatures = [
        .multiqueue, .replyAck, .backendRequests, .backendSendsFds, .resetDevice, .configureMemSlots,
    ]

    /// What a front-end of this library speaks, SHMEM left out likewise.
    static let ofFrontends: ProtocolFeatures = known.union([
        .logSharedFd, .config, .inflightFd, .status, .deviceState,
    ])
    /// What changes how queues are run: a front-end accepts it, and a back-end offers it, only when it is asked to.
    static let onRequest: ProtocolFeatures = [.crossEndian, .inbandNotifications]

    /// What of these, which this side knows, is to be spoken. `chosen`: what the program wants, which may be on request; nil: all of them.
    func chosen(_ chosen: ProtocolFeatures?) -> ProtocolFeatures {
        guard let chosen else { return self }
        return union(.onRequest).intersection(chosen)
    }

    /// SHMEM is bit 22; series older than v12 and interim trees had 20 and 21, which mean something else today. The wire can't
    /// settle which is meant, so the caller does, and then that bit has no other meaning.
    static let shmemBit: UInt32 = 22
    static let legacyShmemBits: ClosedRange<UInt32> = 20...21
    /// What the first versions of the series had. The flags of a map were others there too.
    static let firstShmemBit: UInt32 = 20

    /// The feature that says that there are shared memory regions. `bit` is 22, or 20 or 21 with old peers.
    public static func shmem(bit: UInt32) -> ProtocolFeatures {
        ProtocolFeatures(rawValue: 1 << UInt64(bit & 63))
    }

    static func isShmemBit(_ bit: UInt32) -> Bool {
        bit == shmemBit || legacyShmemBits.contains(bit)
    }

    /// The bit of the virtio features that says that there are protocol features.
    static let virtioFeature: UInt64 = 1 << 30
    /// The one that has writes to guest memory logged: VHOST_F_LOG_ALL, which a back-end offers together with LOG_SHMFD.
    static let logAll: UInt64 = 1 << 26

    /// The specification's name of a bit, without its prefix; nil: the bit has none.
    public static func name(ofBit bit: UInt32) -> StaticString? { description(ofBit: bit)?.name }
}
