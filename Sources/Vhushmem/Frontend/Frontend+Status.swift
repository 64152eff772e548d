// SPDX-License-Identifier: BSD-3-Clause

/// A front-end's state as JSON. include/vhushmem/status.h describes each key.
extension Frontend {
    /// Describes the connection, the features, the channel, the counters, and the device (`ShmemDevice.statusJSON`) in one
    /// object.
    ///
    /// - Parameter maximumMappings: the most mappings of each region to list.
    /// - Returns: JSON.
    public func statusJSON(maximumMappings: UInt64 = Region.mappingsInStatus) -> String {
        status(maximumMappings).takeString()
    }

    func status(_ maximumMappings: UInt64) -> JsonText {
        let json = JsonText()
        json.beginObject()
        json.text("state", phase.name)
        json.text("reason", history.ending?.message)
        json.text("waiting_for", isExpecting ? waitingFor : nil)
        json.text("socket_path", address.path?.text)
        json.bool("server", options.isServer)
        json.limit("reconnect_ms", UInt64(options.reconnectIntervalLimit.count))
        json.number("connections", history.counters.connections)
        json.number("features", features)
        json.protocolFeatures(protocolFeatures, shmem)
        json.number("shmem_bit", UInt64(options.shmemBit))
        json.number("queues", UInt64(options.queues))
        json.number("max_queues", maximumQueues)
        json.bool("started", isStarted)
        json.bool("resetting", isResetting)
        json.number("requests_waiting", UInt64(isTalking ? connection?.waitingRequests ?? 0 : 0))
        json.beginList("shared_regions")
        for share in setup.shares.all { share.write(to: json) }
        json.endList()
        json.channel(connection?.channel, history.channelLoss)
        history.counters.write(to: json)
        device.writeStatus(to: json, "device", maximumMappings)
        json.endObject()
        return json
    }
}
