// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct SocketTests {
    @Test func socketThatNobodyListensAtIsReplaced() throws {
        let folder = try TestFolder()
        let path = folder.file("socket")
        // A killed process leaves a socket file without a socket.
        var address = try SocketPath(path).makeAddress()
        let dead = socket(AF_UNIX, vhu_sock_stream, 0)
        try #require(vhu_bind(dead, &address.raw, address.length) == 0)
        close(dead)
        let listener = try Socket.listen(at: path)
        let peer = try Socket.connect(to: path)
        let accepted = try listener.accept()
        #expect(peer.raw >= 0 && accepted != nil)
    }

    @Test func socketThatSomebodyListensAtIsNot() throws {
        let folder = try TestFolder()
        let first = try Socket.listen(at: folder.file("socket"))
        #expect(errno { () throws(Errno) in try Socket.listen(at: folder.file("socket")).fd } == EADDRINUSE)
        #expect(try first.accept() == nil, "the question whether somebody listens is no peer")
    }

    @Test func fileThatIsNoSocketIsNotReplaced() throws {
        let folder = try TestFolder()
        let file = TestFile(openFile(folder.file("file"), O_RDWR | O_CREAT, 0o600))
        #expect(errno { () throws(Errno) in try Socket.listen(at: folder.file("file")).fd } == EADDRINUSE)
        #expect(file.fd >= 0 && access(folder.file("file"), F_OK) == 0)
    }

    @Test func listenerTakesItsFileAlong() throws {
        let folder = try TestFolder()
        do { _ = try Socket.listen(at: folder.file("socket")) }
        #expect(access(folder.file("socket"), F_OK) != 0)
    }

    @Test(arguments: [0, 108, 4096])
    func pathThatDoesNotFitIsRefused(length: Int) {
        let path = String(repeating: "x", count: length)
        let code = length == 0 ? EINVAL : ENAMETOOLONG
        #expect(errno { () throws(Errno) in try Socket.listen(at: path).fd } == code)
        #expect(errno { () throws(Errno) in try Socket.connect(to: path).raw } == code)
    }

    @Test func onlyUnixStreamSocketsWillDo() throws {
        let file = try makeMemfd(pages: 1)
        let datagrams = TestFile(vhu_unix_datagram_socket())
        let (peer, stream) = try Peer.pair()
        defer { close(stream) }
        #expect(refusal { () throws(ShmemError) in try Socket.requireConnectedStream(file.fd) }?.code == EINVAL)
        #expect(refusal { () throws(ShmemError) in try Socket.requireConnectedStream(datagrams.fd) }?.code == EINVAL)
        #expect(refusal { () throws(ShmemError) in try Socket.requireConnectedStream(-1) }?.code == EBADF)
        #expect(refusal { () throws(ShmemError) in try Socket.requireConnectedStream(peer.fd) }?.code == nil)
    }

    @Test func moreDescriptorsThanAMessageMayCarryAreNoticedAndClosed() throws {
        let (peer, socket) = try Peer.pair()
        let ours = OwnedDescriptor(owning: socket)
        let (watched, given) = try Peer.pair()
        #expect(peer.send([1], descriptors: [Int32](repeating: given, count: 8)))
        close(given)
        var received = ReceivedDescriptors()
        var byte: UInt8 = 0
        let got = try withUnsafeMutableBytes(of: &byte) { try received.receive(from: ours.raw, into: $0) }
        #expect(got == 1 && received.count == 8 && !received.wasTruncated)
        #expect(watched.isOpen)
        received.closeAll()
        #expect(watched.isClosed && received.isEmpty)
    }

    @Test func takingTheFirstDescriptorClosesTheOthers() throws {
        let (peer, socket) = try Peer.pair()
        let ours = OwnedDescriptor(owning: socket)
        let (watchedFirst, first) = try Peer.pair()
        let (watchedSecond, second) = try Peer.pair()
        peer.send([1], descriptors: [first, second])
        close(first)
        close(second)
        var received = ReceivedDescriptors()
        var byte: UInt8 = 0
        _ = try withUnsafeMutableBytes(of: &byte) { try received.receive(from: ours.raw, into: $0) }
        do {
            let taken = received.takeFirst()
            #expect(taken != nil && received.isEmpty)
            #expect(watchedFirst.isOpen && watchedSecond.isClosed)
        }
        #expect(watchedFirst.isClosed)
    }
}
