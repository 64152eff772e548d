// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct SharedRegionTests {
    private static let guestAddress: UInt64 = 1 << 30

    @Test func mappingsOfASharedRegionAreToldAsGuestMemory() throws {
        let (peer, socket) = try Peer.pair()
        let backend = ScriptedBackend(peer)
        backend.protocolFeatures |= 1 << 15
        let file = try makeMemfd(pages: 4)
        var options = FrontendOptions()
        options.region.keepsFiles = true
        let frontend = try Frontend(socket: socket, options: options)
        try frontend.start()
        takeTurns({ frontend.isReady }, backend.step, { frontend.turn() })
        let region = try #require(frontend.device.region(shmid: 0))
        #expect(frontend.sharedMappings(of: region) == nil)
        try frontend.shareRegion(region, at: SharedRegionTests.guestAddress, writableOnly: true)
        #expect(refusal { () throws(ShmemError) in try frontend.shareRegion(region, at: 0) }?.code == EEXIST)

        try frontend.startDevice(features: 0, queues: []) { #expect($0 == nil) }
        takeTurns({ frontend.isStarted }, backend.step, { frontend.turn() })
        #expect(frontend.isStarted)
        try region.map(fd: file.fd, at: 0, length: pageSize, writable: true)
        try region.map(fd: file.fd, at: pageSize, length: pageSize)
        takeTurns({ backend.asked.last == 37 }, backend.step, { frontend.turn() })
        #expect(frontend.sharedMappings(of: region) == 1)
        #expect(
            frontend.statusJSON().contains(
                "\"shared_regions\":[{\"shmid\":0,\"guest_addr\":1073741824,\"mappings\":1,\"left_out\":1}]"))

        try frontend.unshareRegion(region)
        takeTurns({ backend.asked.last == 38 }, backend.step, { frontend.turn() })
        #expect(backend.asked.filter { $0 == 37 || $0 == 38 } == [37, 38])
        #expect(frontend.sharedMappings(of: region) == nil)
        #expect(refusal { () throws(ShmemError) in try frontend.unshareRegion(region) }?.code == ENOENT)
    }
}
