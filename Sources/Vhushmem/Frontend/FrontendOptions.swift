// SPDX-License-Identifier: BSD-3-Clause

/// Options of a front-end.
public struct FrontendOptions {
    /// Listen at the path and take the first back-end that connects.
    public var isServer = false
    /// Keep the mappings when the back-end goes away.
    public var keepsMappings = false
    /// How long to wait before each attempt to find a lost back-end again; nil: never try. Only for a path.
    public var reconnectInterval: Duration? {
        get { reconnectIntervalLimit.count == 0 ? nil : reconnectIntervalLimit.duration }
        set { reconnectIntervalLimit = newValue.map { Milliseconds(max($0, .milliseconds(1))) } ?? Milliseconds(0) }
    }
    var reconnectIntervalLimit = Milliseconds(0)
    /// The protocol feature bit that means SHMEM: 22, or 20 or 21 for old back-ends.
    public var shmemBit: UInt32 = 22
    /// The meaning of the flags of a SHMEM_MAP on the wire; nil: if SHMEM is bit 20 those of the first versions, else today's.
    public var mapFlags: MapFlags?
    var speaksFirstFlags: Bool { (mapFlags ?? .default(shmemBit: shmemBit)) == .first }
    /// Virtqueues that the VMM will use.
    public var queues: UInt32 = 1
    /// The least answer to GET_QUEUE_NUM; nil: `queues`. Set it if the back-end of a network device counts pairs of queues
    /// there.
    public var leastQueueNumber: UInt32?
    /// How long the back-end may take to answer a request. Kept in milliseconds, like all times here.
    public var requestTimeout: Duration {
        get { requestTimeoutLimit.duration }
        set { requestTimeoutLimit = Milliseconds(newValue) }
    }
    var requestTimeoutLimit = Milliseconds(10_000)
    /// How long a blocking call may take as a whole, however many requests it makes; nil: as long as its requests may take. A
    /// call that takes longer ends the connection, as a request without an answer does.
    public var callTimeout: Duration? {
        get { callTimeoutLimit.count == 0 ? nil : callTimeoutLimit.duration }
        set { callTimeoutLimit = newValue.map { Milliseconds(max($0, .milliseconds(1))) } ?? Milliseconds(0) }
    }
    var callTimeoutLimit = Milliseconds(0)
    /// The device has no state besides its queues, so it can migrate without DEVICE_STATE.
    public var isStateless = false
    /// How long a message may take from its first byte to its last.
    public var messageTimeout: Duration {
        get { messageTimeoutLimit.duration }
        set { messageTimeoutLimit = Milliseconds(newValue) }
    }
    var messageTimeoutLimit = Milliseconds(5_000)
    /// The largest configuration space, in bytes.
    public var maximumConfigSize: UInt32 = 256
    /// Protocol features to accept if they are offered; nil: all that this library knows.
    public var protocolFeatures: ProtocolFeatures?
    /// Quotas of the device.
    public var device = DeviceOptions()
    /// Options of each region.
    public var region = RegionOptions()
    /// The objects that the devices of a VMM share with each other; nil: the front-end does not agree to SHARED_OBJECT.
    public var sharedObjects: SharedObjects?

    /// The defaults: 22 as the bit of SHMEM, one queue, and otherwise what the comments above say.
    public init() {}

    /// Makes options. An omitted argument has its default. Each argument sets the property of its name.
    public init(
        isServer: Bool = false,
        keepsMappings: Bool = false,
        reconnectInterval: Duration? = nil,
        shmemBit: UInt32 = 22,
        mapFlags: MapFlags? = nil,
        queues: UInt32 = 1,
        leastQueueNumber: UInt32? = nil,
        requestTimeout: Duration = .seconds(10),
        callTimeout: Duration? = nil,
        isStateless: Bool = false,
        messageTimeout: Duration = .seconds(5),
        maximumConfigSize: UInt32 = 256,
        protocolFeatures: ProtocolFeatures? = nil,
        device: DeviceOptions = DeviceOptions(),
        region: RegionOptions = RegionOptions(),
        sharedObjects: SharedObjects? = nil
    ) {
        self.isServer = isServer
        self.keepsMappings = keepsMappings
        self.reconnectInterval = reconnectInterval
        self.shmemBit = shmemBit
        self.mapFlags = mapFlags
        self.queues = queues
        self.leastQueueNumber = leastQueueNumber
        self.requestTimeout = requestTimeout
        self.callTimeout = callTimeout
        self.isStateless = isStateless
        self.messageTimeout = messageTimeout
        self.maximumConfigSize = maximumConfigSize
        self.protocolFeatures = protocolFeatures
        self.device = device
        self.region = region
        self.sharedObjects = sharedObjects
    }
}

/// An event of a front-end.
public enum FrontendEvent: Sendable {
    /// The handshake is done and the regions are there. It comes again when a back-end has come back, and knows all that the
    /// last one knew.
    case ready
    /// A request of the back-end was served or refused, and answered if the back-end asked for an answer.
    case served(ServedRequest)
    /// The back-end has changed the device's configuration space.
    case configChanged
    /// A mapping's file has lost pages that were touched: they show zeros.
    case broken(MappingDescription)
    /// The file of a broken mapping has its pages again, and the mapping shows them.
    case healed(MappingDescription)
    /// A reset is complete: nothing is mapped, and no older request will be served.
    case reset
    /// The back-end channel is closed; nothing can be mapped or unmapped any more.
    case channelLost(ShmemError)
    /// The connection is over. The last event, unless the front-end looks for its back-end again.
    case disconnected(ShmemError)
}
