// SPDX-License-Identifier: BSD-3-Clause

import CVhushmem
import Testing

@testable import Vhushmem

/// Both interfaces in one process: C's view of a Swift object, and Swift's view of a handle.
@Suite struct HandleTests {
    @Test func functionsInCSeeTheSwiftObject() throws {
        let device = ShmemDevice()
        let region = try device.addRegion(shmid: 7, size: 16 * pageSize)
        let file = try makeMemfd(pages: 2)
        try region.map(fd: file.fd, fileOffset: 0, at: pageSize, length: pageSize, writable: false)
        let count = device.withCHandle { CVhushmem.vhushmem_device_mapping_count($0) }
        #expect(count == 1)
        let handle = device.withCHandle { CVhushmem.vhushmem_device_find_region($0, 7) }
        let found = try #require(handle)
        #expect(Region.object(ofCHandle: found) === region)
        let mapped = CVhushmem.vhushmem_region_map(found, file.fd, 0, 0, pageSize, 0, nil)
        #expect(mapped == 0)
        #expect(region.mappingCount == 2)
    }

    @Test func handleThatCOwnsKeepsTheObject() throws {
        weak var watched: ShmemDevice?
        let handle: OpaquePointer
        do {
            let device = ShmemDevice()
            watched = device
            handle = device.makeCHandle()
        }
        #expect(watched === ShmemDevice.object(ofCHandle: handle))
        CVhushmem.vhushmem_device_unref(handle)
        #expect(watched == nil)
    }

    @Test func deviceMadeInCIsASwiftObject() throws {
        let made = CVhushmem.vhushmem_device_new(nil, nil)
        let handle = try #require(made)
        defer { CVhushmem.vhushmem_device_unref(handle) }
        try ShmemDevice.object(ofCHandle: handle).addRegion(shmid: 3, size: pageSize)
        let found = CVhushmem.vhushmem_device_find_region(handle, 3)
        let region = try #require(found)
        let size = CVhushmem.vhushmem_region_size(region)
        #expect(size == pageSize)
    }

    @Test func frontEndIsClosedByItsFreeInC() throws {
        let (peer, socket) = try Peer.pair()
        let frontend = try Frontend(socket: socket)
        try frontend.start()
        CVhushmem.vhushmem_frontend_free(frontend.makeCHandle())
        #expect(frontend.turn() < 0)
        #expect(peer.reachesItsEnd())
    }
}
