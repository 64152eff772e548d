// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A front-end's connection, and all that the front-end said on it but for what is about one queue. When a connection ends, this goes.
final class BackendConnection {
    /// Longer than any message of a front-end that is understood here, memory tables included, but for a larger configuration space.
    private static let capacity = 8192
    private static let messageTimeout: UInt64 = 5_000_000

    let main: MessageStream
    /// What the back-end asks its front-end on; nil: it was not given, or is lost.
    var channel: MessageStream?
    /// The device has asked for a mapping that can only be read. The front-end may tell of it as memory, and of nothing else that can't be
    /// written.
    var hasMappedReadOnly = false
    /// It has asked for any mapping: what the front-end tells of from then on may be shared memory.
    var hasMapped = false
    /// What the device has had mapped.
    var live = LiveMappings()
    /// What was asked there, by calls that nobody waits for.
    var calls = BackendCalls()
    /// The virtio features that the front-end accepted.
    var features: UInt64 = 0
    /// The protocol features that it accepted.
    var protocolFeatures: ProtocolFeatures = []
    /// GET_SHMEM_CONFIG was answered.
    var toldRegions = false
    /// What it has told of guest memory.
    var memory = BackendMemory()
    /// Where chains are tracked that were taken and not given back; nil: nowhere.
    var inflight: InflightFile?
    /// Where writes to guest memory are to be noted, and what to signal then; nil: nowhere, nothing.
    var log: WriteLog?
    var logCall: SharedDescriptor?
    /// The virtio device status.
    var status: UInt8 = 0
    /// SET_OWNER has come.
    var hasOwner = false
    /// Raised when the front-end has taken memory away that it gave; made with the first memory. Chains that the device holds may raise it
    /// when the connection has ended.
    private(set) var alarm: Alarm?

    init(_ socket: consuming OwnedDescriptor, configSize: UInt32, closes: CloseAccount) {
        let capacity = max(BackendConnection.capacity, MessageHeader.size &+ ConfigAccess.size &+ Int(configSize))
        main = MessageStream(
            socket: socket, capacity: capacity, timeout: BackendConnection.messageTimeout, account: closes)
    }

    /// All that was said about the device goes; what was said about messages stays.
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
