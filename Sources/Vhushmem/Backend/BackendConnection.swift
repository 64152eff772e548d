// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A front-end's connection, and all that the front-end said on it, except what concerns one queue. It goes when the connection
/// ends.
final class BackendConnection {
    /// Longer than any message of a front-end that this library knows, memory tables included; only a larger configuration
    /// space is longer.
    private static let capacity = 8192
    private static let messageTimeout: UInt64 = 5_000_000

    let main: MessageStream
    /// The back-end's requests go here; nil: it was not given, or is lost.
    var channel: MessageStream?
    /// The device has asked for a read-only mapping. Such a mapping is the only read-only memory that the front-end may tell
    /// of.
    var hasMappedReadOnly = false
    /// The device has asked for a mapping: memory that the front-end tells of from then on may be shared memory.
    var hasMapped = false
    /// The live mappings of the device.
    var live = LiveMappings()
    /// The asynchronous requests on the channel.
    var calls = BackendCalls()
    /// The virtio features that the front-end accepted.
    var features: UInt64 = 0
    /// The protocol features that it accepted.
    var protocolFeatures: ProtocolFeatures = []
    /// GET_SHMEM_CONFIG was answered.
    var toldRegions = false
    /// Guest memory, as the front-end has told of it.
    var memory = BackendMemory()
    /// The file of in-flight tracking; nil: there is none.
    var inflight: InflightFile?
    /// The log of writes to guest memory, and the eventfd to signal then; nil: there is none.
    var log: WriteLog?
    var logCall: SharedDescriptor?
    /// The virtio device status.
    var status: UInt8 = 0
    /// SET_OWNER has come.
    var hasOwner = false
    /// Raised when the front-end has taken away memory that it gave; made with the first memory. Chains that the device holds
    /// may raise it after the end of the connection.
    private(set) var alarm: Alarm?

    init(_ socket: consuming OwnedDescriptor, configSize: UInt32, closes: CloseAccount) {
        let capacity = max(BackendConnection.capacity, MessageHeader.size &+ ConfigAccess.size &+ Int(configSize))
        main = MessageStream(
            socket: socket, capacity: capacity, timeout: BackendConnection.messageTimeout, account: closes)
    }

    /// Forgets all that was said about the device, and keeps what was said about messages.
    func forgetDevice() {
        features = 0
        toldRegions = false
        memory = BackendMemory()
        inflight = nil
        log = nil
        logCall = nil
        status = 0
    }

    var isLogging: Bool { features & ProtocolFeatures.logAll != 0 }

    func useAlarm() throws(Errno) -> Alarm {
        if let alarm { return alarm }
        let made = try Alarm.make()
        alarm = made
        return made
    }
}
