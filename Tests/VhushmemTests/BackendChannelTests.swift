// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

extension BackendChannel {
    /// Serves in a turn of a session that is alone on its loop.
    fileprivate func serve(reports: Bool, report: (ServedRequest) -> Void) -> (count: Int32, lost: ShmemError?) {
        serve(Turn(after: Turn.numberOfLast), atMost: Int32(Turn.most), reports: reports, report: report)
    }
}

@Suite struct BackendChannelTests {
    private let device = ShmemDevice()
    private let region: Region
    private let file: TestFile
    private let peer: Peer
    private let channel: BackendChannel

    init() throws {
        region = try device.addRegion(shmid: 0, size: 1024 * pageSize)
        file = try makeMemfd(pages: 4)
        let (peer, socket) = try Peer.pair()
        self.peer = peer
        channel = BackendChannel(socket: OwnedDescriptor(owning: socket), device: device, messageTimeout: patience)
        channel.isNegotiated = true
    }

    @discardableResult
    private func serve() -> [ServedRequest] {
        var served: [ServedRequest] = []
        let (_, lost) = channel.serve(reports: true) { served.append($0) }
        #expect(lost == nil)
        return served
    }

    /// Sends a request, serves it, and returns the answer.
    private func ask(_ bytes: [UInt8], descriptors: [Int32] = [], request: UInt32 = 9) -> Int64? {
        peer.send(bytes, descriptors: descriptors)
        serve()
        return peer.answer(to: request)
    }

    private func lost(_ bytes: [UInt8], descriptors: [Int32] = []) -> Int32? {
        peer.send(bytes, descriptors: descriptors)
        return channel.serve(reports: false) { _ in }.lost?.code
    }

    @Test func mapAndUnmapAreCarriedOutAndAnswered() {
        #expect(ask(mapMessage(offset: 0, length: pageSize), descriptors: [file.fd]) == 0)
        #expect(region.translate(0, length: 1)?.load(as: UInt8.self) == 1)
        #expect(ask(unmapMessage(offset: 0, length: pageSize), request: 10) == 0)
        #expect(region.mappingCount == 0)
    }

    @Test func requestThatAsksForNoAnswerGetsNone() {
        #expect(ask(mapMessage(offset: 0, length: pageSize, header: 1), descriptors: [file.fd]) == nil)
        #expect(region.mappingCount == 1)
        #expect(ask(mapMessage(offset: 0, length: pageSize, header: 1), descriptors: [file.fd]) == nil)
    }

    @Test func reportTellsWhatWasAskedAndAnswered() {
        peer.send(mapMessage(fileOffset: pageSize, offset: pageSize, length: 5, flags: 1), descriptors: [file.fd])
        peer.send(unmapMessage(shmid: 3, offset: 0, length: pageSize))
        let served = serve()
        #expect(served.map(\.kind) == [.map, .unmap])
        #expect(served.map(\.result) == [0, -ENOENT])
        #expect(served.first.map { [$0.fileOffset, $0.offset, $0.length, $0.flags] } == [pageSize, pageSize, 5, 1])
        #expect(served.last?.shmid == 3)
    }

    @Test func wrongRequestsAreRefusedAndTheChannelLives() {
        let one = [file.fd]
        let good = mapMessage(offset: 0, length: pageSize)
        for (bytes, descriptors, request, code) in [
            (good, [], 9, EINVAL), (good, one + one, 9, EINVAL), (unmapMessage(offset: 0, length: pageSize), one, 10, EINVAL),
            (message(9, flags: 9, [UInt8](repeating: 0, count: 39)), one, 9, EINVAL),
            (message(9, flags: 9, [UInt8](repeating: 0, count: 41)), one, 9, EINVAL), (message(9, flags: 9), one, 9, EINVAL),
            (mapMessage(offset: 0, length: pageSize, header: 0x19), one, 9, EINVAL),
            (mapMessage(offset: 0, length: pageSize, header: 0x8000_0009), one, 9, EINVAL),
            (mapMessage(shmid: 1, offset: 0, length: pageSize), one, 9, ENOENT),
            (mapMessage(shmid: 255, offset: 0, length: pageSize), one, 9, ENOENT),
            (mapMessage(offset: 0, length: 0), one, 9, EINVAL), (mapMessage(offset: 1, length: pageSize), one, 9, EINVAL),
            (mapMessage(offset: .max, length: .max), one, 9, EINVAL),
            (mapMessage(offset: 0, length: .max), one, 9, EINVAL),
            (mapMessage(offset: region.size, length: pageSize), one, 9, EINVAL),
            (mapMessage(fileOffset: 1, offset: 0, length: pageSize), one, 9, EINVAL),
            (mapMessage(fileOffset: .max & ~0xfff, offset: 0, length: pageSize), one, 9, EOVERFLOW),
            (mapMessage(fileOffset: 4 * pageSize, offset: 0, length: pageSize), one, 9, EOVERFLOW),
            (mapMessage(offset: 0, length: pageSize, flags: 2), one, 9, EINVAL),
            (mapMessage(offset: 0, length: pageSize, flags: .max), one, 9, EINVAL),
            (message(0, flags: 9), [], 0, EOPNOTSUPP), (message(11, flags: 9, [1]), one, 11, EOPNOTSUPP),
            (message(.max, flags: 9), [], .max, EOPNOTSUPP),
        ] as [([UInt8], [Int32], UInt32, Int32)] {
            #expect(ask(bytes, descriptors: descriptors, request: request) == Int64(-code), "\(bytes)")
            #expect(region.mappingCount == 0)
        }
        #expect(ask(good, descriptors: one) == 0)
    }

    @Test func requestsBeforeSHMEMWasNegotiatedAreRefused() {
        channel.isNegotiated = false
        #expect(ask(mapMessage(offset: 0, length: pageSize), descriptors: [file.fd]) == Int64(-EOPNOTSUPP))
        #expect(ask(unmapMessage(offset: 0, length: pageSize), request: 10) == Int64(-EOPNOTSUPP))
    }

    @Test func whatCanNotBeFramedEndsTheChannel() {
        #expect(lost(message(9, flags: 2)) == EPROTO)
    }

    @Test func replyThatNobodyAskedForEndsTheChannel() {
        #expect(lost(message(9, flags: 5, [UInt8](repeating: 0, count: 8))) == EPROTO)
    }

    @Test func closedChannelIsToldOnce() {
        shutdown(peer.fd, Int32(SHUT_WR))
        #expect(channel.serve(reports: false) { _ in }.lost?.code == ECONNRESET)
    }

    @Test func oneDispatchServesABoundedNumber() {
        for index in 0..<100 as Range<UInt64> {
            peer.send(mapMessage(offset: index * pageSize, length: pageSize), descriptors: [file.fd])
        }
        // A turn ends at 64, or earlier if it has taken long.
        var counts: [Int] = []
        while counts.reduce(0, +) < 100, counts.last != 0 { counts.append(serve().count) }
        #expect(counts.reduce(0, +) == 100 && counts.allSatisfy { $0 <= 64 }, "\(counts)")
        #expect(region.mappingCount == 100)
    }

    @Test func requestsInTheBufferAreNotForgotten() {
        var bytes: [UInt8] = []
        for _ in 0..<70 { bytes += unmapMessage(offset: 0, length: pageSize) }
        peer.send(bytes)
        var counts = [serve().count]
        while channel.deadline == 0, counts.last != 0 { counts.append(serve().count) }
        #expect(counts.reduce(0, +) == 70 && counts.allSatisfy { $0 <= 64 }, "no poll would tell of them: \(counts)")
    }

    @Test func backEndThatReadsNoAnswersIsNotServed() {
        var sent = 0
        while channel.pollTarget?.events == Int16(POLLIN), sent < 100_000 {
            if peer.send(message(77, flags: 9)) { sent += 1 }
            serve()
        }
        #expect(channel.pollTarget?.events == Int16(POLLOUT))
        peer.send(mapMessage(offset: 0, length: pageSize), descriptors: [file.fd])
        #expect(serve().isEmpty)
        #expect(region.mappingCount == 0)
        while peer.receive(most: 1 << 20) != nil {}
        #expect(serve().last?.kind == .map)
        #expect(region.mappingCount == 1)
        #expect(channel.pollTarget?.events == Int16(POLLIN))
    }

    @Test func reportThatClosesLeavesTheRest() {
        peer.send(message(77, flags: 9) + message(78, flags: 9))
        var seen: [UInt32] = []
        let (count, lost) = channel.serve(reports: true) {
            seen.append($0.request)
            channel.isClosed = true
        }
        #expect(seen == [77] && count == 1 && lost == nil)
    }

    @Test func requestsSentBeforeAResetAreRefusedAndLaterOnesServed() {
        channel.beginReset()
        #expect(ask(mapMessage(offset: 0, length: pageSize), descriptors: [file.fd]) == Int64(-ECANCELED))
        peer.send(mapMessage(offset: 0, length: pageSize), descriptors: [file.fd])
        peer.send(mapMessage(offset: 4 * pageSize, length: pageSize), descriptors: [file.fd])
        channel.endReset()
        peer.send(mapMessage(offset: 8 * pageSize, length: pageSize), descriptors: [file.fd])
        #expect(serve().map(\.result) == [-ECANCELED, -ECANCELED, 0])
        #expect(region.mappings.map(\.offset) == [8 * pageSize])
    }

    @Test func halfAMessageSentBeforeAResetIsOlderThanIt() {
        let bytes = mapMessage(offset: 0, length: pageSize)
        channel.beginReset()
        peer.send(Array(bytes.prefix(20)), descriptors: [file.fd])
        #expect(serve().isEmpty)
        channel.endReset()
        peer.send(Array(bytes.dropFirst(20)))
        peer.send(mapMessage(offset: pageSize, length: pageSize), descriptors: [file.fd])
        #expect(serve().map(\.result) == [-ECANCELED, 0])
    }

    @Test func everyResetIsAGenerationOfItsOwn() {
        for generation in 0..<4 as Range<UInt64> {
            channel.beginReset()
            peer.send(mapMessage(offset: 0, length: pageSize), descriptors: [file.fd])
            channel.endReset()
            peer.send(mapMessage(offset: (generation + 1) * pageSize, length: pageSize), descriptors: [file.fd])
            #expect(serve().map(\.result) == [-ECANCELED, 0])
        }
        #expect(region.mappingCount == 4)
    }
}
