// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

@Suite struct SessionStatusTests {
    @Test func swiftProgramsGetTheSameText() throws {
        let frontend = try Frontend(path: "/nowhere")
        try frontend.addRegion(shmid: 3, size: 16 * Page.size)
        let region = try #require(frontend.device.region(shmid: 3))
        #expect(frontend.statusJSON().hasPrefix(#"{"state":"new","reason":null"#))
        // Other tests map at the same time, and the text has the count of the process. It is equal at least once.
        #expect((0..<10_000).contains { _ in frontend.statusJSON().contains(frontend.device.statusJSON()) })
        #expect(frontend.device.statusJSON().contains(region.statusJSON()))
        #expect(region.statusJSON().hasPrefix(#"{"shmid":3,"#))
    }

    @Test func anOldShmemBitIsMovedToTodays() {
        let old = ProtocolFeatures(rawValue: 1 << 20 | 1 << 3)
        #expect(old.withShmemToday(.shmem(bit: 20)).names == ["REPLY_ACK", "SHMEM"])
        #expect(old.withShmemToday(.shmem(bit: 22)).names == ["REPLY_ACK", "GET_VRING_BASE_INFLIGHT"])
        #expect(ProtocolFeatures(rawValue: 1 << 3).withShmemToday(.shmem(bit: 21)).names == ["REPLY_ACK"])
        #expect(ProtocolFeatures(rawValue: .max).unknown.rawValue == .max << 24)
    }
}
