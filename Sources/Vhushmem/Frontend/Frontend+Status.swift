// SPDX-License-Identifier: BSD-3-Clause

/// What a connection is doing, as JSON. include/vhushmem/status.h says what each key means.
extension Frontend {
    /// One object: the connection, what was agreed on, the channel, the counters, and the device (`Device.statusJSON`).
    public func statusJSON(maximumMappings: UInt64 = Region.mappingsInStatus) -> String {
        status(maximumMappings).takeString()
    }

    func status(_ maximumMappings: UInt64) -> JsonText {
        let json = JsonText()
        json.beginObject()
        json.text("state", phase.name)
        json.text("reason", lastEnding?.message)
        json.text("waiting_for", isExpecting ? waitingFor : nil)
        json.text("socket_path", path)
        json.bool("server", options.isServer)
        json.limit("reconnect_ms", UInt64(options.reconnectInterval))
        json.number("connections", counters.connections)
        json.number("features", features)
        json.number("protocol_features", protocolFeatures.rawValue)
        let today = protocolFeatures.withShmemToday(shmem)
        json.beginList("protocol_feature_names")
        today.forEachName { name, _ in json.item(name) }
        json.endList()
        json.number("unknown_protocol_features", today.unknown.rawValue)
        json.number("shmem_bit", UInt64(options.shmemBit))
        json.number("queues", UInt64(options.queues))
        json.number("max_queues", maximumQueues)
        json.bool("started", isStarted)
        json.bool("resetting", isResetting)
        json.number("requests_waiting", UInt64(calls.count &+ (awaited?.call == nil ? 0 : 1)))
        json.channel(channel, loss)
        counters.write(to: json)
        device.writeStatus(to: json, "device", maximumMappings)
        json.endObject()
        return json
    }
}

extension Frontend {
    /// There is no going on without something that has not come yet.
    private var isExpecting: Bool { phase == .listening || phase == .shakingHands || phase == .restoring }
}

extension Frontend.Phase {
    fileprivate var name: StaticString {
        switch self {
        case .idle: "new"
        case .listening: "listening"
        case .shakingHands: "handshake"
        case .restoring: "restoring"
        case .ready: "ready"
        case .away: "away"
        case .over: "disconnected"
        }
    }
}
