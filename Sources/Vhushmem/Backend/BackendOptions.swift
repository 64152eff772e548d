// SPDX-License-Identifier: BSD-3-Clause

/// How a back-end is to be.
public struct BackendOptions: Sendable {
    /// Which protocol feature bit means SHMEM: 22, or 20 or 21 for old front-ends.
    public var shmemBit: UInt32 = 22
    /// What the flags of a SHMEM_MAP mean on the wire; nil: where SHMEM is bit 20 those of the first versions, else today's.
    public var mapFlags: MapFlags?
    var speaksFirstFlags: Bool { (mapFlags ?? .default(shmemBit: shmemBit)) == .first }
    /// What GET_QUEUE_NUM answers. A network device says there how many pairs of queues it has.
    public var queues: UInt32 = 1
    /// Queues that the device has, at most 256; nil: as many as GET_QUEUE_NUM answers.
    public var rings: UInt32?
    /// How long the front-end may take to answer a map or unmap. Kept in milliseconds.
    public var answerTimeout: Duration {
        get { answerTimeoutLimit.duration }
        set { answerTimeoutLimit = Milliseconds(newValue) }
    }
    var answerTimeoutLimit = Milliseconds(10_000)
    /// virtio features to offer, beside VIRTIO_F_VERSION_1 and VHOST_USER_F_PROTOCOL_FEATURES. Those of the ring that are served: 28,
    /// indirect descriptors, and 29, event indices.
    public var features: UInt64 = 0
    /// Protocol features to offer; nil: all that this library knows.
    public var protocolFeatures: ProtocolFeatures?
    /// Bytes of the configuration space, at most 65536; 0: there is none.
    public var configSize: UInt32 = 0

    /// What was seen to end QEMU 11.1 is not done, and what it never grants is refused here (docs/with-qemu.md).
    public var isForQemu = false

    /// The defaults: 22 as the bit of SHMEM, one queue, and no more than the comments above say.
    public init() {}

    /// What is left out is as it is by default. Each argument sets the property of its name.
    public init(
        shmemBit: UInt32 = 22,
        mapFlags: MapFlags? = nil,
        queues: UInt32 = 1,
        rings: UInt32? = nil,
        answerTimeout: Duration = .seconds(10),
        features: UInt64 = 0,
        protocolFeatures: ProtocolFeatures? = nil,
        configSize: UInt32 = 0,
        isForQemu: Bool = false
    ) {
        self.shmemBit = shmemBit
        self.mapFlags = mapFlags
        self.queues = queues
        self.rings = rings
        self.answerTimeout = answerTimeout
        self.features = features
        self.protocolFeatures = protocolFeatures
        self.configSize = configSize
        self.isForQemu = isForQemu
    }
}

/// What a back-end tells.
public enum BackendEvent: Sendable {
    /// A front-end is there; the handshake begins.
    case connected
    /// The channel is there and SHMEM was negotiated: maps can be asked for.
    case negotiated
    /// The front-end reset the device: everything that was mapped is gone.
    case reset
    /// The front-end is gone; a listening back-end waits for the next.
    case disconnected(ShmemError)
}
