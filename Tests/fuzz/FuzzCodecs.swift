// SPDX-License-Identifier: BSD-3-Clause

/// Target `codecs`: the whole input is a payload, for every decoder of Wire/. A decoded payload encodes to the same bytes,
/// except for padding.
@_cdecl("fuzz_codecs")
func fuzzCodecs(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    let payload = UnsafeRawBufferPointer(start: data, count: size)
    fuzzPayloads(payload)
    fuzzVrings(payload)
    fuzzNumbers(payload)
    return 0
}

/// `encode` writes the bytes with which `payload` begins, zeros within `padding`, and no byte after `length`.
private func sameBytes(
    _ payload: UnsafeRawBufferPointer, length: Int, padding: Range<Int> = 0..<0, _ sentence: StaticString,
    encode: (UnsafeMutableRawBufferPointer) -> Void
) {
    let guardBytes = 8
    withUnsafeTemporaryAllocation(byteCount: length + guardBytes, alignment: 1) { room in
        for index in room.indices { room[index] = 0xa5 }
        encode(UnsafeMutableRawBufferPointer(rebasing: room[0..<length]))
        for index in 0..<length {
            require(room[index] == (padding.contains(index) ? 0 : payload[index]), sentence)
        }
        for index in length..<room.count { require(room[index] == 0xa5, sentence) }
    }
}

private func fuzzPayloads(_ payload: UnsafeRawBufferPointer) {
    if let header = MessageHeader(payload) {
        sameBytes(payload, length: MessageHeader.size, "a header is not encoded as it came") { header.encode(into: $0) }
        let known = MessageHeader.versionMask | MessageHeader.replyBit | MessageHeader.needReplyBit
        require(header.reservedFlags == header.flags & ~known, "reserved flags are not those without a meaning")
    } else {
        require(payload.count < MessageHeader.size, "a header of 12 bytes was refused")
    }
    if let map = SharedMemoryMap(payload) {
        sameBytes(payload, length: SharedMemoryMap.size, padding: 1..<8, "a map is not encoded as it came") {
            map.encode(into: $0)
        }
    } else {
        require(payload.count != SharedMemoryMap.size, "a map of 40 bytes was refused")
    }
    if let config = SharedMemoryConfig(payload) {
        // The encoded count is the true one, whatever the peer stated.
        sameBytes(payload, length: payload.count, padding: 4..<8, "a region list is not encoded as it came") { room in
            config.encode(into: room)
            require(room.count >= 4, "a region list has no room for its count")
            let count = UnsafeRawBufferPointer(room).integer(at: 0, as: UInt32.self)
            require(count == UInt32((0...UInt8.max).count { config[$0] != 0 }), "the count of regions is not that of the sizes")
            room.store(integer: config.statedRegions, at: 0)
        }
    }
    if let table = MemoryTable(payload) {
        require(table.size == payload.count, "a memory table has another size than its payload")
        sameBytes(payload, length: table.size, padding: 4..<8, "a memory table is not encoded as it came") {
            table.encode(into: $0)
        }
    }
    if let single = SingleMemoryRegion(payload) {
        sameBytes(payload, length: SingleMemoryRegion.size, padding: 0..<8, "a memory region is not encoded as it came") {
            single.encode(into: $0)
        }
    }
    if let access = ConfigAccess(payload) {
        sameBytes(payload, length: ConfigAccess.size, "an access to the configuration is not encoded as it came") {
            access.encode(into: $0)
        }
        require(Int(access.length) + ConfigAccess.size == payload.count, "an access speaks of bytes that are not there")
    }
    if let area = InflightDescription(payload) {
        // 20 bytes are taken and 24 are sent.
        withUnsafeTemporaryAllocation(byteCount: InflightDescription.size, alignment: 1) { room in
            area.encode(into: room)
            for index in 0..<20 { require(room[index] == payload[index], "an area is not encoded as it came") }
            for index in 20..<24 { require(room[index] == 0, "the padding of an area is not zero") }
            require(InflightDescription(UnsafeRawBufferPointer(room)) == area, "an area is not what was encoded")
        }
    }
    if let name = ObjectName(payload) {
        sameBytes(payload, length: ObjectName.size, "the name of an object is not encoded as it came") { name.encode(into: $0) }
    }
    if let transfer = DeviceStateTransfer(payload) {
        sameBytes(payload, length: DeviceStateTransfer.size, "a transfer of state is not encoded as it came") {
            transfer.encode(into: $0)
        }
    }
}

private func fuzzVrings(_ payload: UnsafeRawBufferPointer) {
    if let state = VringState(payload) {
        sameBytes(payload, length: VringState.size, "a ring's state is not encoded as it came") { state.encode(into: $0) }
    }
    if let addresses = VringAddresses(payload) {
        sameBytes(payload, length: VringAddresses.size, "a ring's addresses are not encoded as they came") {
            addresses.encode(into: $0)
        }
    }
    guard let value = payload.integer(at: 0, as: UInt64.self) else { return }
    if let descriptor = VringDescriptor(value) {
        require(descriptor.encoded == value, "a ring's descriptor is not encoded as it came")
    } else {
        require(value > 0x1ff, "a ring's descriptor without unknown bits was refused")
    }
}

/// The questions about single numbers from a peer.
private func fuzzNumbers(_ payload: UnsafeRawBufferPointer) {
    var input = FuzzInput(payload)
    let first = input.word()
    let second = input.word()

    // The decoder reads no byte outside, wherever the offset is.
    let offset = Int(truncatingIfNeeded: first)
    let isInside = offset >= 0 && offset <= payload.count - 8
    require((payload.integer(at: offset, as: UInt64.self) != nil) == isInside, "an integer was read outside, or not inside")

    let features = ProtocolFeatures(rawValue: first)
    require(features.unknown.rawValue == (first >> 24) << 24, "the features without a name are not those from bit 24 on")
    var named = 0
    features.forEachName { _, _ in named += 1 }
    require(named == (first & 0xff_ffff).nonzeroBitCount, "a feature has no name, or two")
    require(!features.description().takeString().isEmpty, "features have no description")
    for bit: UInt32 in [20, 21, 22] {
        let shmem = ProtocolFeatures.shmem(bit: bit)
        let today = features.withShmemToday(shmem)
        let isThere = first & (1 << UInt64(bit)) != 0
        require(!isThere || today.rawValue & (1 << 22) != 0, "SHMEM was lost on the way to its bit of today")
    }
    if let request = FrontendRequest(rawValue: UInt32(truncatingIfNeeded: first)) {
        require(request.name.utf8CodeUnitCount > 0, "a request has no name")
        _ = request.neededFeature(shmem: .shmem(bit: 22))
        let form = request.form
        if form.isServed, form.payload.contains(payload.count) {
            require(
                payload.count >= 0 && form.descriptors.upperBound <= 8, "a request may have more descriptors than a message")
        }
    }
    let reply = DeviceStateTransfer.reply(first)
    let again = DeviceStateTransfer.reply(
        DeviceStateTransfer.encodedReply(failed: reply.failed, hasDescriptor: reply.hasDescriptor))
    require(reply == again, "the reply about a transfer of state is not what was encoded")

    fuzzRange(first, second)
}

private func fuzzRange(_ start: UInt64, _ length: UInt64) {
    guard let range = ByteRange(start: start, length: length) else {
        require(length > 0 && start > .max - length, "a range was refused that does not wrap around")
        return
    }
    require(range.end >= start && range.end - start == length, "a range has another length")
    guard let pages = range.roundedUp(to: 4096) else {
        require(length > .max - 4095 || start > .max - (length + 4095) / 4096 * 4096, "a range that fits was not rounded up")
        return
    }
    require(pages.length % 4096 == 0 && pages.length >= length && pages.length - length < 4096, "a range is rounded up wrongly")
}
