// SPDX-License-Identifier: BSD-3-Clause

/// How a front-end is to be.
public struct FrontendOptions {
    /// Listen at the path and take the first back-end that connects.
    public var isServer = false
    /// Leave the mappings when the back-end goes away.
    public var keepsMappings = false
    /// How long after the loss of a back-end, and between attempts, it is looked for again, in milliseconds; 0: never. For a path alone.
    public var reconnectInterval: UInt32 = 0
    /// Which protocol feature bit means SHMEM: 22, or 20 or 21 for old back-ends.
    public var shmemBit: UInt32 = 22
    /// Virtqueues that the VMM will use.
    public var queues: UInt32 = 1
    /// What the back-end must answer to GET_QUEUE_NUM at the least; nil: `queues`. Of a network device it may be told the pairs of queues.
    public var leastQueueNumber: UInt32?
    /// How long the back-end may take to answer a request, in milliseconds.
    public var requestTimeout: UInt32 = 10_000
    /// How long a blocking call may take as a whole, in milliseconds, be it many requests; 0: as long as its requests may. What has not
    /// ended by then ends the connection, as a request without an answer does.
    public var callTimeout: UInt32 = 0
    /// The device has no state but its queues', so it can be migrated without DEVICE_STATE.
    public var isStateless = false
    /// How long a message that has begun may take to arrive whole, in milliseconds.
    public var messageTimeout: UInt32 = 5_000
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
