// SPDX-License-Identifier: BSD-3-Clause

/// A back-end's state as JSON. include/vhushmem/status.h describes each key.
extension Backend {
    /// Describes the connection, the features, guest memory, the channel, regions and queues.
    ///
    /// - Returns: one object.
    public func statusJSON() -> String { statusText().takeString() }

    func statusText() -> JsonText {
        let json = JsonText()
        json.beginObject()
        json.text("state", stateName)
        json.text("reason", ending?.message)
        json.bool("negotiated", isNegotiated)
        json.number("features", features)
        json.protocolFeatures(protocolFeatures, shmem)
        json.number("shmem_bit", UInt64(options.shmemBit))
        json.number("device_status", UInt64(status))
        json.number("queues", UInt64(options.queues))
        json.number("rings", UInt64(clamping: queues.count))
        json.beginObject("memory")
        let memory = connection?.memory
        json.number("ranges", UInt64(clamping: memory?.ranges.count ?? 0))
        json.number("bytes", memory?.size ?? 0)
        json.endObject()
        json.bool("logging", connection.map { $0.isLogging && $0.log != nil } ?? false)
        json.bool("tracks_inflight", connection?.inflight != nil)
        writeChannel(to: json)
        json.beginList("regions")
        for id in 0..<256 {
            let shmid = UInt8(truncatingIfNeeded: id)
            guard config[shmid] != 0 else { continue }
            json.beginObject()
            json.number("shmid", UInt64(shmid))
            json.number("size", config[shmid])
            json.number("mappings", connection?.live.count(in: shmid) ?? 0)
            json.endObject()
        }
        json.endList()
        json.beginList("started_queues")
        for queue in queues { queue.ring?.write(to: json, queue.stateName) }
        json.endList()
        json.endObject()
        return json
    }

    private var stateName: StaticString {
        switch phase {
        case .idle: acceptor != nil ? "listening" : wasConnected ? "disconnected" : "new"
        case .connected: "connected"
        case .freed: "disconnected"
        }
    }

    private func writeChannel(to json: JsonText) {
        json.beginObject("channel")
        json.text("state", connection?.channel != nil ? "open" : "none" as StaticString)
        json.number("requests_waiting", UInt64(clamping: connection?.calls.all.count ?? 0))
        json.endObject()
    }
}

extension BackendQueue {
    fileprivate var stateName: StaticString {
        switch state {
        case .stopped, .paused: "paused"
        case .starting, .due, .running: "running"
        case .broken: "broken"
        }
    }
}
