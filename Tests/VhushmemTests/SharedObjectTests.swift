// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct SharedObjectTests {
    private let objects = SharedObjects()
    private let name = [UInt8](repeating: 7, count: 16)

    private func makeFrontend() throws -> (Frontend, ScriptedBackend) {
        let (peer, socket) = try Peer.pair()
        let backend = ScriptedBackend(peer)
        backend.protocolFeatures |= 1 << 18
        var options = FrontendOptions()
        options.sharedObjects = objects
        let frontend = try Frontend(socket: socket, options: options)
        try frontend.start()
        takeTurns({ frontend.isReady }, backend.step, { frontend.turn() })
        #expect(frontend.isReady)
        return (frontend, backend)
    }

    private func ask(_ frontend: Frontend, _ backend: ScriptedBackend, _ request: UInt32) -> Int64? {
        backend.channel?.send(message(request, flags: 9, name))
        frontend.turn()
        return backend.channel?.answer(to: request)
    }

    @Test func objectsOfAFrontEndThatIsDroppedAreGone() throws {
        let (other, otherBackend) = try makeFrontend()
        do {
            let (owner, backend) = try makeFrontend()
            #expect(ask(owner, backend, BackendRequest.sharedObjectAdd) == 0)
            #expect(objects.count == 1)
        }
        #expect(objects.count == 0)
        #expect(ask(other, otherBackend, BackendRequest.sharedObjectLookup) == Int64(-ENOENT))
    }

    @Test func lookUpEndsWhenTheFrontEndThatIsAskedIsDropped() throws {
        let (other, otherBackend) = try makeFrontend()
        do {
            let (owner, backend) = try makeFrontend()
            #expect(ask(owner, backend, BackendRequest.sharedObjectAdd) == 0)
            #expect(ask(other, otherBackend, BackendRequest.sharedObjectLookup) == nil)
        }
        other.turn()
        #expect(otherBackend.channel?.answer(to: BackendRequest.sharedObjectLookup) == Int64(-ECONNABORTED))
    }

    @Test func mappingsOfAFrontEndThatIsDroppedAreUndone() throws {
        let file = try makeMemfd(pages: 1)
        let device: ShmemDevice
        do {
            let (frontend, backend) = try makeFrontend()
            device = frontend.device
            backend.channel?.send(mapMessage(offset: 0, length: pageSize), descriptors: [file.fd])
            frontend.turn()
            #expect(device.mappingCount == 1)
        }
        #expect(device.mappingCount == 0)
    }
}
