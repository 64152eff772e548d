// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct ChannelTests {
    private let device = ShmemDevice()
    private let region: Region
    private let file: TestFile

    init() throws {
        region = try device.addRegion(shmid: 0, size: 64 * pageSize)
        file = try makeMemfd(pages: 4)
    }

    private func makeChannel(_ options: ChannelOptions = ChannelOptions()) throws -> (Peer, ShmemChannel) {
        let (peer, socket) = try Peer.pair()
        return (peer, try ShmemChannel(socket: socket, device: device, options: options))
    }

    private func ask(_ peer: Peer, _ channel: ShmemChannel, _ bytes: [UInt8], descriptors: [Int32] = [], request: UInt32)
        -> Int64?
    {
        peer.send(bytes, descriptors: descriptors)
        #expect(channel.turn() == 1)
        return peer.answer(to: request)
    }

    @Test func requestsOfOthersAreAnsweredAsTheyAreCarriedOut() throws {
        let (peer, channel) = try makeChannel()
        #expect(ask(peer, channel, message(2, flags: 9), request: 2) == Int64(-EOPNOTSUPP))
        var answer: Int32 = 0
        var seen: [UInt32] = []
        channel.onRequest = { _, request throws(ShmemError) in
            seen.append(request.id)
            #expect(request.wantsAnswer && Array(request.payload) == [1, 2] && request.descriptors.count == 1)
            if answer >= 0 { return .done }
            throw ShmemError(ShmemError.Errno(rawValue: 0 &- answer))
        }
        for (given, value) in [(0, 0), (-EBUSY, -EBUSY), (-4096, -EIO), (.min, -EIO)] as [(Int32, Int32)] {
            answer = given
            #expect(ask(peer, channel, message(2, flags: 9, [1, 2]), descriptors: [file.fd], request: 2) == Int64(value))
        }
        #expect(seen == [2, 2, 2, 2])
        #expect(ask(peer, channel, mapMessage(offset: 0, length: pageSize), descriptors: [file.fd], request: 9) == 0)
        #expect(seen.count == 4)
    }

    @Test func descriptorGoesWithTheAnswerAndIsTakenOver() throws {
        let (peer, channel) = try makeChannel()
        let (witness, sent) = try Peer.pair()
        channel.onRequest = { _, _ in .descriptor(OwnedDescriptor(owning: sent)) }
        peer.send(message(8, flags: 1))
        channel.turn()
        let reply = try #require(peer.receiveMessage())
        #expect(reply.request == 8 && reply.flags == 5 && reply.descriptors.count == 1)
        for fd in reply.descriptors { close(fd) }
        #expect(witness.isClosed)
    }

    @Test func callbackOfARequestFindsNothingToDispatch() throws {
        let (peer, channel) = try makeChannel()
        var inside: Int32?
        channel.onRequest = { channel, _ in
            inside = channel.turn()
            return .done
        }
        peer.send(message(2, flags: 9) + message(3, flags: 9))
        #expect(channel.turn() == 2)
        #expect(inside == 0)
    }

    @Test func channelThatIsClosedInItsCallbackAnswersNothing() throws {
        let (peer, channel) = try makeChannel()
        channel.onRequest = { channel, _ in
            channel.close()
            return .done
        }
        peer.send(message(2, flags: 9))
        channel.turn()
        #expect(!channel.isOpen && peer.isClosed)
        #expect(channel.turn() == -ENOTCONN)
    }

    @Test(arguments: [false, true])
    func mappingsEndWithTheChannelUnlessTheyAreKept(keeps: Bool) throws {
        var options = ChannelOptions()
        options.keepsMappings = keeps
        let (peer, channel) = try makeChannel(options)
        var lost: [Int32] = []
        channel.onEvent = { _, event in
            if case .lost(let error) = event { lost.append(error.code) }
        }
        #expect(ask(peer, channel, mapMessage(offset: 0, length: pageSize), descriptors: [file.fd], request: 9) == 0)
        shutdown(peer.fd, Int32(SHUT_RDWR))
        channel.turn()
        #expect(lost == [ECONNRESET] && !channel.isOpen)
        #expect(region.mappingCount == (keeps ? 1 : 0))
    }

    @Test func mappingsEndWithAChannelThatNobodyHolds() throws {
        let (peer, socket) = try Peer.pair()
        var channel: ShmemChannel? = try ShmemChannel(socket: socket, device: device)
        peer.send(mapMessage(offset: 0, length: pageSize), descriptors: [file.fd])
        #expect(channel?.turn() == 1)
        #expect(region.mappingCount == 1)
        channel = nil
        #expect(region.mappingCount == 0 && peer.reachesItsEnd())
    }

    @Test func resetsAreCounted() throws {
        let (peer, channel) = try makeChannel()
        let map = mapMessage(offset: 0, length: pageSize)
        func answer() -> Int64? { ask(peer, channel, map, descriptors: [file.fd], request: 9) }
        channel.endReset()
        channel.beginReset()
        channel.beginReset()
        channel.endReset()
        #expect(answer() == Int64(-ECANCELED))
        channel.endReset()
        #expect(answer() == 0)
    }

    @Test func whatIsNoUnixStreamSocketIsRefused() {
        #expect(refusal { () throws(ShmemError) in _ = try ShmemChannel(socket: file.fd, device: device) }?.code == EINVAL)
        #expect(refusal { () throws(ShmemError) in _ = try ShmemChannel(socket: -1, device: device) }?.code == EBADF)
    }
}
