// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

/// The Swift interface has the forms that Swift programmers expect.
@Suite struct NaturalTests {
    @Test func timesAreDurationsAndAreNeverShorterThanMeant() {
        for (duration, count) in [
            (.zero, 0), (.nanoseconds(1), 1), (.milliseconds(1), 1), (.microseconds(1001), 2), (.seconds(3), 3000),
            (.seconds(-1), 0), (.milliseconds(-1), 0), (.seconds(1 << 40), .max), (.seconds(Int64.max), .max),
        ] as [(Duration, UInt32)] {
            #expect(Milliseconds(duration).count == count, "\(duration)")
        }
        var options = FrontendOptions(
            reconnectInterval: .seconds(2), requestTimeout: .milliseconds(1500), callTimeout: .nanoseconds(1))
        #expect(options.reconnectIntervalLimit.count == 2000 && options.requestTimeoutLimit.count == 1500)
        #expect(options.callTimeout == .milliseconds(1), "no limit is nil, and nothing else")
        options.callTimeout = .zero
        #expect(options.callTimeout == .milliseconds(1))
        options.callTimeout = nil
        #expect(options.callTimeoutLimit.count == 0 && options.callTimeout == nil)
        #expect(BackendOptions().answerTimeout == .seconds(10) && ChannelOptions().messageTimeout == .seconds(5))
    }

    /// `FrontendOptions()` and the initialiser without any argument give the same.
    @Test func optionsThatAreLeftOutAreAsByDefault() {
        #expect("\(FrontendOptions())" == "\(FrontendOptions(isServer: false))")
        #expect("\(BackendOptions())" == "\(BackendOptions(configSize: 0))")
        #expect("\(ChannelOptions())" == "\(ChannelOptions(keepsMappings: false))")
        #expect("\(DeviceOptions())" == "\(DeviceOptions(maximumKeptFiles: 256))")
        #expect(RegionOptions(populate: true, maximumBytes: 7).maximumBytes == 7)
    }

    @Test func errorsAreComparedAndMade() {
        #expect(ShmemError(.invalidArgument, "no") == ShmemError(EINVAL, "no"))
        #expect(ShmemError(.invalidArgument, "no") != ShmemError(.invalidArgument, "yes"))
        #expect(ShmemError(.invalidArgument, "no") != ShmemError(.ioError, "no"))
        #expect(ShmemError(EIO, .request(7), .notServed) == ShmemError(EIO, .request(7), .notServed))
        #expect(ShmemError(.notPermitted).message == "Operation not permitted")
        #expect(ShmemError(.timedOut).errno == .timedOut && ShmemError(.timedOut).code == ETIMEDOUT)
    }

    @Test func whatAHandlerThrowsIsAnswered() throws {
        let (peer, socket) = try Peer.pair()
        let backend = try Backend()
        var handlers = BackendHandlers()
        var seen: [UInt8] = []
        handlers.status = { _, status throws(ShmemError) in
            seen.append(status)
            if status == 4 { throw ShmemError(.notPermitted, "not this one") }
        }
        try backend.setHandlers(handlers)
        try backend.attach(socket: socket)
        peer.send(message(16, littleEndian(UInt64(1 << 3 | 1 << 16))))
        for (status, isRefused) in [(1, false), (4, true), (5, false)] as [(UInt64, Bool)] {
            peer.send(message(39, flags: 9, littleEndian(status)))
            backend.turn()
            backend.turn()
            #expect((peer.answer(to: 39) ?? 0 != 0) == isRefused)
        }
        #expect(seen == [1, 4, 5] && backend.status == 5)
    }

    @Test func socketThatIsHandedOverIsClosedWhateverComesOfIt() throws {
        let (peer, socket) = try Peer.pair()
        #expect(
            refusal { () throws(ShmemError) in
                try Frontend(socket: OwnedDescriptor(owning: socket), options: FrontendOptions(queues: 0))
            }?.errno == .invalidArgument)
        #expect(peer.reachesItsEnd())
        let (other, theirs) = try Peer.pair()
        do {
            let channel = try ShmemChannel(socket: OwnedDescriptor(owning: theirs), device: ShmemDevice())
            #expect(channel.isOpen && other.isOpen)
        }
        #expect(other.reachesItsEnd())
        let (third, ours) = try Peer.pair()
        let backend = try Backend()
        try backend.attach(socket: OwnedDescriptor(owning: ours))
        #expect(third.isOpen)
        backend.close()
        #expect(third.reachesItsEnd())
    }
}
