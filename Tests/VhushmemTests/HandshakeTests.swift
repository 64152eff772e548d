// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct HandshakeTests {
    private static let shmem = ProtocolFeatures.shmem(bit: 22)

    /// A front-end that has shaken hands with a back-end, or failed to.
    private func shakeHands(
        _ offered: ProtocolFeatures, hasProtocolFeatures: Bool = true, queues: UInt32 = 1, region: UInt64? = nil,
        queueNumber: UInt64 = .max
    ) throws -> (frontend: Frontend, backend: ScriptedBackend, end: ShmemError?) {
        let (peer, socket) = try Peer.pair()
        let backend = ScriptedBackend(peer)
        backend.features = hasProtocolFeatures ? ProtocolFeatures.virtioFeature : 0
        backend.protocolFeatures = offered.rawValue
        backend.replies[17] = littleEndian(queueNumber)
        var options = FrontendOptions()
        options.queues = queues
        let frontend = try Frontend(socket: socket, options: options)
        if let region { try frontend.addRegion(shmid: 0, size: region) }
        var end: ShmemError?
        var isDone = false
        frontend.onEvent = { _, event in
            isDone = true
            if case .disconnected(let error) = event { end = error }
        }
        try frontend.start()
        for _ in 0..<1024 where !isDone {
            backend.step()
            frontend.turn()
        }
        // Without acknowledgements the front-end is done before the back-end has read the last requests.
        backend.step()
        #expect(isDone)
        return (frontend, backend, end)
    }

    @Test func everySubsetOfFeaturesIsSpokenInTheOrderOfTheSpecification() throws {
        for subset in 0..<16 {
            var features: ProtocolFeatures = []
            var expected: [UInt32] = [1, 15, 16]
            if subset & 1 != 0 {
                features.insert(.multiqueue)
                expected.append(17)
            }
            if subset & 2 != 0 {
                features.insert(.configureMemSlots)
                expected.append(36)
            }
            if subset & 4 != 0 {
                features.insert(.backendRequests)
                expected.append(21)
            }
            expected += [3, 1, 13, 14]
            if subset & 8 != 0 {
                features.formUnion(HandshakeTests.shmem)
                if subset & 4 != 0 { expected.append(44) }
            }
            let (frontend, backend, end) = try shakeHands(features)
            #expect(backend.asked == expected && frontend.isReady && end == nil, "\(features)")
        }
    }

    @Test func backEndWithoutProtocolFeaturesIsNotAskedForThem() throws {
        #expect(try shakeHands([], hasProtocolFeatures: false).backend.asked == [1, 3, 1, 13, 14])
    }

    @Test func everyQueueGetsBothItsDescriptors() throws {
        for queues in [1, 2, 256] as [UInt32] {
            let asked = try shakeHands([], queues: queues).backend.asked
            #expect(asked.filter { $0 == 13 }.count == Int(queues) && asked.filter { $0 == 14 }.count == Int(queues))
        }
    }

    @Test func regionsThatWereGivenAreNotAskedFor() throws {
        let (frontend, backend, _) = try shakeHands(HandshakeTests.shmem.union(.backendRequests), region: pageSize)
        #expect(frontend.isReady && !backend.asked.contains(44))
    }

    @Test func onlyWhatIsOfferedAndWantedIsAgreedOn() throws {
        let wanted = ProtocolFeatures.ofFrontends.union(HandshakeTests.shmem)
        let (all, backend, _) = try shakeHands(ProtocolFeatures(rawValue: .max))
        #expect(all.protocolFeatures == wanted && backend.acceptedFeatures == wanted.rawValue)
        #expect(try shakeHands([]).frontend.protocolFeatures == [])
    }

    @Test func shmemWithoutAChannelIsNotAgreedOn() throws {
        #expect(try shakeHands(HandshakeTests.shmem.union(.replyAck)).frontend.protocolFeatures == .replyAck)
    }

    @Test(arguments: [(0, EPROTO), (1, EPROTO), (2, nil), (.max, nil)] as [(UInt64, Int32?)])
    func tooFewQueuesEndTheHandshake(offered: UInt64, code: Int32?) throws {
        #expect(try shakeHands(.multiqueue, queues: 2, queueNumber: offered).end?.code == code)
    }

    @Test func replyMustBeWhatWasAskedFor() {
        let awaited = AwaitedReply(FrontendCall(.getQueueNum, [], []) { _ in }, deadline: 0)
        let fault = { (request: UInt32, flags: UInt32, size: UInt32, descriptors: Int) in
            awaited.fault(MessageHeader(request: request, flags: flags, size: size), descriptors: descriptors)?.code
        }
        #expect(fault(17, 5, 8, 0) == nil)
        #expect(fault(16, 5, 8, 0) == EPROTO)
        #expect(fault(17, 1, 8, 0) == EPROTO)
        // Observed with libvhost-user, which leaves the request's need_reply in the reply.
        #expect(fault(17, 0xd, 8, 0) == nil)
        for flags in [4, 6, 7, 9, 0xc, 0x15, 0x8000_0005] as [UInt32] { #expect(fault(17, flags, 8, 0) == EPROTO) }
        for size in [0, 4, 7, 9, .max] as [UInt32] { #expect(fault(17, 5, size, 0) == EPROTO) }
        #expect(fault(17, 5, 8, 1) == EPROTO)
    }
}
