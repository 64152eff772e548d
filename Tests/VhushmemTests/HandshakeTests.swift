// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct HandshakeTests {
    private static let shmem = ProtocolFeatures.shmem(bit: 22)

    private func steps(
        _ features: ProtocolFeatures, hasProtocolFeatures: Bool = true, queues: UInt32 = 1, asksForRegions: Bool = true
    ) -> [HandshakeStep] {
        var negotiated = Negotiated()
        negotiated.features = hasProtocolFeatures ? ProtocolFeatures.virtioFeature : 0
        negotiated.protocolFeatures = features
        var steps: [HandshakeStep] = []
        var step = HandshakeStep.getFeatures
        while step != .done, steps.count < 1000 {
            steps.append(step)
            step = step.next(negotiated, queues: queues, shmem: HandshakeTests.shmem, asksForRegions: asksForRegions)
        }
        return steps
    }

    @Test func everySubsetOfFeaturesIsSpokenInTheOrderOfTheSpecification() {
        for subset in 0..<16 {
            var features: ProtocolFeatures = []
            var expected: [HandshakeStep] = [.getFeatures, .getProtocolFeatures, .setProtocolFeatures]
            if subset & 1 != 0 {
                features.insert(.multiqueue)
                expected.append(.getQueueNum)
            }
            if subset & 2 != 0 {
                features.insert(.configureMemSlots)
                expected.append(.getMaxMemSlots)
            }
            if subset & 4 != 0 {
                features.insert(.backendRequests)
                expected.append(.setBackendReqFd)
            }
            expected += [.setOwner, .getFeaturesAgain, .setVringCall(0), .setVringErr(0)]
            if subset & 8 != 0 {
                features.formUnion(HandshakeTests.shmem)
                expected.append(.getShmemConfig)
            }
            #expect(steps(features) == expected, "\(features)")
        }
    }

    @Test func backEndWithoutProtocolFeaturesIsNotAskedForThem() {
        #expect(
            steps([], hasProtocolFeatures: false) == [
                .getFeatures, .setOwner, .getFeaturesAgain, .setVringCall(0), .setVringErr(0),
            ])
    }

    @Test func everyQueueGetsBothItsDescriptors() {
        for queues in [1, 2, 256] as [UInt32] {
            let all = steps([], queues: queues)
            #expect(all.filter { $0.request == .setVringCall } == (0..<queues).map { .setVringCall($0) })
            #expect(all.filter { $0.request == .setVringErr } == (0..<queues).map { .setVringErr($0) })
        }
    }

    @Test func regionsThatWereGivenAreNotAskedFor() {
        #expect(!steps(HandshakeTests.shmem, asksForRegions: false).contains(.getShmemConfig))
    }

    private func learn(
        _ negotiated: inout Negotiated, _ step: HandshakeStep, _ value: UInt64, wanted: ProtocolFeatures, queues: UInt32 = 1
    ) -> Int32? {
        do throws(ShmemError) {
            try withUnsafeTemporaryAllocation(byteCount: 8, alignment: 8) { bytes throws(ShmemError) in
                bytes.store(integer: value, at: 0)
                try negotiated.learn(
                    step, UnsafeRawBufferPointer(bytes), wanted: wanted, shmem: HandshakeTests.shmem, queues: queues)
            }
            return nil
        } catch {
            return error.code
        }
    }

    @Test func onlyWhatIsOfferedAndWantedIsAgreedOn() {
        var negotiated = Negotiated()
        let wanted = ProtocolFeatures.known.union(HandshakeTests.shmem)
        _ = learn(&negotiated, .getProtocolFeatures, .max, wanted: wanted)
        #expect(negotiated.protocolFeatures == wanted)
        _ = learn(&negotiated, .getProtocolFeatures, 0, wanted: wanted)
        #expect(negotiated.protocolFeatures == [])
    }

    @Test func shmemWithoutAChannelIsNotAgreedOn() {
        var negotiated = Negotiated()
        let wanted = ProtocolFeatures.known.union(HandshakeTests.shmem)
        let offered = HandshakeTests.shmem.union(.replyAck).rawValue
        _ = learn(&negotiated, .getProtocolFeatures, offered, wanted: wanted)
        #expect(negotiated.protocolFeatures == .replyAck)
    }

    @Test(arguments: [(0, EPROTO), (1, EPROTO), (2, nil), (.max, nil)] as [(UInt64, Int32?)])
    func tooFewQueuesEndTheHandshake(offered: UInt64, code: Int32?) {
        var negotiated = Negotiated()
        #expect(learn(&negotiated, .getQueueNum, offered, wanted: [], queues: 2) == code)
    }

    @Test func replyMustBeWhatWasAskedFor() {
        let awaited = AwaitedReply(
            id: 17, sizes: 8...8, mayHaveDescriptor: false, isAcknowledgement: false, deadline: 0, call: nil)
        let fault = { (request: UInt32, flags: UInt32, size: UInt32, descriptors: Int) in
            awaited.fault(MessageHeader(request: request, flags: flags, size: size), descriptors: descriptors)?.code
        }
        #expect(fault(17, 5, 8, 0) == nil)
        #expect(fault(16, 5, 8, 0) == EPROTO)
        #expect(fault(17, 1, 8, 0) == EPROTO)
        // Seen from libvhost-user, which leaves the request's need_reply where it was.
        #expect(fault(17, 0xd, 8, 0) == nil)
        for flags in [4, 6, 7, 9, 0xc, 0x15, 0x8000_0005] as [UInt32] { #expect(fault(17, flags, 8, 0) == EPROTO) }
        for size in [0, 4, 7, 9, .max] as [UInt32] { #expect(fault(17, 5, size, 0) == EPROTO) }
        #expect(fault(17, 5, 8, 1) == EPROTO)
    }
}
