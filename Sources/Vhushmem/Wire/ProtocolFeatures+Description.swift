// SPDX-License-Identifier: BSD-3-Clause

/// The names and the purposes of the protocol features, for people.
extension ProtocolFeatures {
    /// The bits that have no name.
    public var unknown: ProtocolFeatures {
        var named: UInt64 = 0
        for bit in 0..<64 as Range<UInt32> where ProtocolFeatures.description(ofBit: bit) != nil { named |= 1 << UInt64(bit) }
        return ProtocolFeatures(rawValue: rawValue & ~named)
    }

    /// The names of those that have one, in the order of their bits and without the specification's prefix.
    public var names: [String] {
        var names: [String] = []
        forEachName { name, _ in names.append("\(name)") }
        return names
    }

    /// The same features with SHMEM at today's bit, for peers that have it at bit 20 or 21. A peer that agreed to SHMEM there
    /// does not mean the bit's meaning of today.
    func withShmemToday(_ shmem: ProtocolFeatures) -> ProtocolFeatures {
        isSuperset(of: shmem) ? subtracting(shmem).union(.shmem(bit: ProtocolFeatures.shmemBit)) : self
    }

    /// Calls `body` with the name and the purpose of each feature that has a name.
    func forEachName(_ body: (StaticString, StaticString) -> Void) {
        var left = rawValue
        while left != 0 {
            let bit = UInt32(left.trailingZeroBitCount)
            left &= left &- 1
            if let (name, purpose) = ProtocolFeatures.description(ofBit: bit) { body(name, purpose) }
        }
    }

    /// What QMP shows of a device's protocol features, as JSON: those that have a name, and the others, if any, as a number.
    public var json: String { description().takeString() }

    /// What QMP shows of a device's protocol features (x-query-virtio-status), in QMP's form and order: the highest bit first,
    /// and the bits without a name, if any, as a number.
    func description() -> JsonText {
        let json = JsonText()
        json.beginObject()
        json.beginList("protocols")
        var left = rawValue
        while left != 0 {
            let bit = UInt32(63 - left.leadingZeroBitCount)
            left &= ~(1 << UInt64(bit))
            if let (name, purpose) = ProtocolFeatures.description(ofBit: bit) {
                json.item("VHOST_USER_PROTOCOL_F_", name, ": ", purpose)
            }
        }
        json.endList()
        if !unknown.isEmpty { json.number("unknown-protocols", unknown.rawValue) }
        json.endObject()
        return json
    }

    /// The table of protocol features: the specification's name of a bit, without its prefix, and the purpose of the feature.
    /// nil: the bit has no name.
    static func description(ofBit bit: UInt32) -> (name: StaticString, purpose: StaticString)? {
        switch bit {
        case 0: ("MQ", "the back-end tells how many queues it can have")
        case 1: ("LOG_SHMFD", "the log of dirty pages is shared as a file descriptor")
        case 2: ("RARP", "the back-end announces a guest that has moved by RARP")
        case 3: ("REPLY_ACK", "any request can ask for an acknowledgement")
        case 4: ("NET_MTU", "the network's MTU is told to the back-end")
        case 5: ("BACKEND_REQ", "the back-end sends requests of its own, on a channel")
        case 6: ("CROSS_ENDIAN", "rings may have the other byte order")
        case 7: ("CRYPTO_SESSION", "the back-end keeps sessions of a crypto device")
        case 8: ("PAGEFAULT", "the back-end's page faults are handled for post-copy migration")
        case 9: ("CONFIG", "the configuration space is in the back-end")
        case 10: ("BACKEND_SEND_FD", "requests of the back-end may carry file descriptors")
        case 11: ("HOST_NOTIFIER", "the back-end gives a queue's doorbell as memory")
        case 12: ("INFLIGHT_SHMFD", "requests in flight are kept in shared memory, and survive the back-end")
        case 13: ("RESET_DEVICE", "the device can be reset without reconnecting")
        case 14: ("INBAND_NOTIFICATIONS", "queues are kicked and called by messages")
        case 15: ("CONFIGURE_MEM_SLOTS", "guest memory is added and removed a range at a time")
        case 16: ("STATUS", "the back-end knows the virtio device status")
        case 17: ("XEN_MMAP", "guest memory is mapped through Xen")
        case 18: ("SHARED_OBJECT", "devices share files that are found by a UUID")
        case 19: ("DEVICE_STATE", "the back-end's inner state is saved and loaded for migration")
        case 20: ("GET_VRING_BASE_INFLIGHT", "a queue stops with requests in flight, which are kept in shared memory")
        case 21: ("GPA_ADDRESSES", "addresses of rings are those of the guest")
        case 22: ("SHMEM", "the back-end maps files into shared memory regions")
        case 23: ("GET_VRING_BASE_SKIP_DRAIN", "a queue can be stopped without waiting for its requests")
        default: nil
        }
    }
}
