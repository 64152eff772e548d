// SPDX-License-Identifier: BSD-3-Clause

/// Options of a back-end.
public struct BackendOptions: Sendable {
    /// The protocol feature bit that means SHMEM: 22, or 20 or 21 for old front-ends.
    public var shmemBit: UInt32 = 22
    /// The meaning of the flags of a SHMEM_MAP on the wire; nil: if SHMEM is bit 20 those of the first versions, else today's.
    public var mapFlags: MapFlags?
    var speaksFirstFlags: Bool { (mapFlags ?? .default(shmemBit: shmemBit)) == .first }
    /// The answer to GET_QUEUE_NUM. A network device sets it to its number of pairs of queues.
    public var queues: UInt32 = 1
    /// Queues that the device has, at most 256; nil: as many as the answer to GET_QUEUE_NUM.
    public var rings: UInt32?
    /// How long the front-end may take to answer a map or unmap. Kept in milliseconds.
    public var answerTimeout: Duration {
        get { answerTimeoutLimit.duration }
        set { answerTimeoutLimit = Milliseconds(newValue) }
    }
    var answerTimeoutLimit = Milliseconds(10_000)
    /// Virtio features to offer besides VIRTIO_F_VERSION_1 and VHOST_USER_F_PROTOCOL_FEATURES. Of the ring's features the
    /// library supports 28, indirect descriptors, and 29, event indices.
    public var features: UInt64 = 0
    /// Protocol features to offer; nil: all that this library knows.
    public var protocolFeatures: ProtocolFeatures?
    /// Bytes of the configuration space, at most 65536; 0: there is none.
    public var configSize: UInt32 = 0

    /// Avoids what is known to end QEMU 11.1, and refuses what QEMU never grants (docs/with-qemu.md).
    public var isForQemu = false

    /// The defaults: 22 as the bit of SHMEM, one queue, and otherwise what the comments above say.
    public init() {}

    /// Makes options. An omitted argument has its default. Each argument sets the property of its name.
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

/// An event of a back-end.
public enum BackendEvent: Sendable {
    /// A front-end has connected; the handshake begins.
    case connected
    /// The channel is there and SHMEM was negotiated: the device can ask for maps.
    case negotiated
    /// The front-end reset the device: all mappings are gone.
    case reset
    /// The connection is over; a listening back-end waits for the next front-end.
    case disconnected(ShmemError)
}
