// SPDX-License-Identifier: BSD-3-Clause

/// How a front-end is to be.
public struct FrontendOptions {
    /// Listen at the path and take the first back-end that connects.
    public var isServer = false
    /// Leave the mappings when the back-end goes away.
    public var keepsMappings = false
    /// How long after the loss of a back-end, and between attempts, it is looked for again; nil: never. For a path alone.
    public var reconnectInterval: Duration? {
        get { reconnectIntervalLimit.count == 0 ? nil : reconnectIntervalLimit.duration }
        set { reconnectIntervalLimit = newValue.map { Milliseconds(max($0, .milliseconds(1))) } ?? Milliseconds(0) }
    }
    var reconnectIntervalLimit = Milliseconds(0)
    /// Which protocol feature bit means SHMEM: 22, or 20 or 21 for old back-ends.
    public var shmemBit: UInt32 = 22
    /// What the flags of a SHMEM_MAP mean on the wire; nil: where SHMEM is bit 20 those of the first versions, else today's.
    public var mapFlags: MapFlags?
    var speaksFirstFlags: Bool { (mapFlags ?? .default(shmemBit: shmemBit)) == .first }
    /// Virtqueues that the VMM will use.
    public var queues: UInt32 = 1
    /// What the back-end must answer to GET_QUEUE_NUM at the least; nil: `queues`. Of a network device it may be told the pairs of queues.
    public var leastQueueNumber: UInt32?
    /// How long the back-end may take to answer a request. Kept in milliseconds, as all times here.
    public var requestTimeout: Duration {
        get { requestTimeoutLimit.duration }
        set { requestTimeoutLimit = Milliseconds(newValue) }
    }
    var requestTimeoutLimit = Milliseconds(10_000)
    /// How long a blocking call may take as a whole, be it many requests; nil: as long as its requests may. What has not
    /// ended by then ends the connection, as a request without an answer does.
    public var callTimeout: Duration? {
        get { callTimeoutLimit.count == 0 ? nil : callTimeoutLimit.duration }
        set { callTimeoutLimit = newValue.map { Milliseconds(max($0, .milliseconds(1))) } ?? Milliseconds(0) }
    }
    var callTimeoutLimit = Milliseconds(0)
    /// The device has no state but its queues', so it can be migrated without DEVICE_STATE.
    public var isStateless = false
    /// How long a message that has begun may take to arrive whole.
    public var messageTimeout: Duration {
        get { messageTimeoutLimit.duration }
        set { messageTimeoutLimit = Milliseconds(newValue) }
    }
    var messageTimeoutLimit = Milliseconds(5_000)
    /// How large the configuration space may be, in bytes.
    public var maximumConfigSize: UInt32 = 256
    /// Protocol features to accept if they are offered; nil: all that this library knows.
    public var protocolFeatures: ProtocolFeatures?
    /// Quotas of the device.
    public var device = DeviceOptions()
    /// Of each region that is made.
    public var region = RegionOptions()
    /// What the devices of a VMM share with each other; nil: SHARED_OBJECT is not agreed to.
    public var sharedObjects: SharedObjects?

    /// The defaults: 22 as the bit of SHMEM, one queue, and no more than the comments above say.
    public init() {}

    /// What is left out is as it is by default. Each argument sets the property of its name.
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

/// What a front-end tells.
public enum FrontendEvent: Sendable {
    /// The handshake is done; the regions are there. Again when a back-end has come back, and knows what the one before it knew.
    case ready
    /// A request of the back-end was served or refused, and answered if an answer was owed.
    case served(ServedRequest)
    /// The back-end has changed the device's configuration space.
    case configChanged
    /// A mapping's file has lost pages that were touched: zeros stand there.
    case broken(MappingDescription)
    /// The file of a mapping that was broken has its pages again, and the mapping shows them.
    case healed(MappingDescription)
    /// A reset is complete: nothing is mapped, and no older request will be served.
    case reset
    /// The back-end channel is closed; nothing can be mapped or unmapped any more.
    case channelLost(ShmemError)
    /// The connection is over. The last event, but for a front-end that looks for its back-end again.
    case disconnected(ShmemError)
}
