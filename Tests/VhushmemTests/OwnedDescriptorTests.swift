// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

@Suite struct OwnedDescriptorTests {
    @Test func descriptorIsClosedWhenItGoesUnlessItWasReleased() throws {
        let (peer, socket) = try Peer.pair()
        do {
            let released = OwnedDescriptor(owning: socket).release()
            #expect(released == socket)
        }
        #expect(peer.isOpen)
        do { _ = OwnedDescriptor(owning: socket) }
        #expect(peer.isClosed)
    }

    @Test func duplicateIsClosedOnExec() throws {
        let file = try makeMemfd(pages: 1)
        let copy = try OwnedDescriptor.duplicate(file.fd)
        #expect(isClosedOnExec(copy.raw))
        #expect(copy.raw != file.fd)
    }

    @Test func duplicateOfNothingIsRefused() {
        #expect(errno { () throws(Errno) in try OwnedDescriptor.duplicate(-1).raw } == EBADF)
    }

    @Test func statusTellsFilesFromOthers() throws {
        let file = try makeMemfd(pages: 3)
        let memfd = try FileStatus(of: file.fd)
        #expect(memfd.isRegular && memfd.size == 3 * pageSize && !memfd.hasName)
        let (peer, socket) = try Peer.pair()
        #expect(try FileStatus(of: peer.fd).isSocket)
        close(socket)
        let folder = try TestFolder()
        let fd = openFile(folder.path, O_RDONLY)
        defer { close(fd) }
        #expect(try FileStatus(of: fd).isDirectory)
    }

    @Test func fileThatCanHaveNoSealsHasNone() throws {
        let (peer, socket) = try Peer.pair()
        defer { close(socket) }
        let seals = try FileStatus.seals(of: peer.fd)
        #expect(seals == nil)
        #expect(errno { () throws(Errno) in try FileStatus.seals(of: -1) } == EBADF)
    }
}
