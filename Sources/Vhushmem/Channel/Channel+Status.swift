// SPDX-License-Identifier: BSD-3-Clause

/// A channel's state as JSON. include/vhushmem/status.h describes each key.
extension ShmemChannel {
    /// Describes the channel's state, its counters and its device in one object.
    ///
    /// - Parameter maximumMappings: the most mappings of each region to list.
    /// - Returns: JSON.
    public func statusJSON(maximumMappings: UInt64 = Region.mappingsInStatus) -> String {
        status(maximumMappings).takeString()
    }

    func status(_ maximumMappings: UInt64) -> JsonText {
        let json = JsonText()
        json.beginObject()
        json.bool("resetting", isResetting)
        json.channel(channel, loss)
        counters.write(to: json)
        device.writeStatus(to: json, "device", maximumMappings)
        json.endObject()
        return json
    }
}

extension JsonText {
    /// The bits, and today's names for them.
    func protocolFeatures(_ features: ProtocolFeatures, _ shmem: ProtocolFeatures) {
        number("protocol_features", features.rawValue)
        let today = features.withShmemToday(shmem)
        beginList("protocol_feature_names")
        today.forEachName { name, _ in item(name) }
        endList()
        number("unknown_protocol_features", today.unknown.rawValue)
    }

    func channel(_ channel: BackendChannel?, _ loss: ShmemError?) {
        beginObject("channel")
        text("state", channel != nil ? "open" : loss != nil ? "lost" : "none" as StaticString)
        text("reason", loss?.message)
        bool("answers_unread", channel?.stream.hasUnsent ?? false)
        bool("owes_answer", channel?.owesAnswer ?? false)
        endObject()
    }
}
