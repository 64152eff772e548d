// SPDX-License-Identifier: BSD-3-Clause

import CLinux

@testable import Vhushmem

/// A back-end that answers a front-end as the specification says, unless the test tells it otherwise.
final class ScriptedBackend {
    let main: Peer
    private(set) var channel: Peer?
    var features: UInt64 = 1 << 30 | 1 << 32
    var protocolFeatures: UInt64 = 1 << 0 | 1 << 3 | 1 << 5 | 1 << 10 | 1 << 13 | 1 << 22
    var sizes: [Int: UInt64] = [0: 64 * pageSize]
    /// A request that is not answered.
    var ignores: UInt32?
    /// Payloads that replace those of replies.
    var replies: [UInt32: [UInt8]] = [:]
    /// The ids of the requests that came, in order.
    private(set) var asked: [UInt32] = []

    init(_ main: Peer) {
        self.main = main
    }

    /// Answers the messages that have come.
    func step() {
        while let (request, flags, payload, descriptors) = main.receiveMessage() {
            asked.append(request)
            if request == 21, let fd = descriptors.first {
                channel = Peer(fd)
            } else {
                for fd in descriptors { close(fd) }
            }
            guard request != ignores else { continue }
            if request == 16 { acceptedFeatures = withBytes(payload) { $0.integer(at: 0) } ?? 0 }
            if let reply = replies[request] ?? ownReply(request) {
                main.send(message(request, flags: 5, reply))
            } else if flags & 8 != 0 {
                main.send(message(request, flags: 5, littleEndian(0 as UInt64)))
            }
        }
    }

    private(set) var acceptedFeatures: UInt64 = 0

    private func ownReply(_ request: UInt32) -> [UInt8]? {
        switch request {
        case 1: return littleEndian(features)
        case 15: return littleEndian(protocolFeatures)
        case 17, 36: return littleEndian(4 as UInt64)
        case 44: return configReply
        default: return nil
        }
    }

    var configReply: [UInt8] {
        var config = SharedMemoryConfig()
        for (shmid, size) in sizes { config[UInt8(shmid)] = size }
        return encoded(SharedMemoryConfig.size, config.encode)
    }
}

/// Lets two sides work in turns, in one thread, until `isDone` or until neither has more to do.
@discardableResult
func takeTurns(_ isDone: () -> Bool, _ sides: (() -> Void)...) -> Bool {
    for _ in 0..<64 {
        if isDone() { return true }
        for side in sides { side() }
    }
    return isDone()
}
