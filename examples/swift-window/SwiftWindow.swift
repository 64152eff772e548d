// SPDX-License-Identifier: BSD-3-Clause

// A device (the back-end, in a thread of its own) has the VMM (the front-end, here) map a file and a piece of memory into a shared
// memory region. The VMM looks at both through the region's window and writes into one of them. Exit status 1: something differs.

import Foundation
import Synchronization
import Vhushmem

let regionSize: UInt64 = 16 << 20
/// Where the back-end wants its files in the region.
let fileAt: UInt64 = 0
let memoryAt: UInt64 = 8 << 20
let length: UInt64 = 256 << 10
/// What the VMM writes into the memory.
let greeting = Array("written through the window".utf8)

let differences = Atomic(0)

func check(_ holds: Bool, _ what: String) {
    print("  \(holds ? "yes" : "NO!"): \(what)")
    if !holds { differences.add(1, ordering: .relaxed) }
}

func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    bytes.reduce(14_695_981_039_346_656_037) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
}

func hex(_ number: UInt64) -> String {
    "0x" + String(number, radix: 16)
}

/// Waits until a session has something to do.
func wait(for descriptor: Int32) {
    var target = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    _ = poll(&target, 1, -1)
}

/// The device's life: offers a region, maps, unmaps, leaves.
func runDevice(socket: consuming OwnedDescriptor, file: Int32, memory: Int32) throws(ShmemError) {
    let backend = try Backend()
    defer { backend.close() }
    try backend.addRegion(shmid: 1, size: regionSize)
    try backend.attach(socket: socket)
    while !backend.isNegotiated {
        wait(for: try backend.pollDescriptor())
        try backend.dispatch()
    }

    try backend.map(shmid: 1, fd: file, at: fileAt, length: length)
    try backend.map(shmid: 1, fd: memory, at: memoryAt, length: length, writable: true)
    do throws(ShmemError) {
        try backend.unmap(shmid: 1, at: fileAt, length: length / 2)
    } catch {
        check(error.code == EINVAL, "half of a mapping can't be undone (errno \(error.code))")
    }
    // Answered only after the VMM has looked at what it mapped before.
    try backend.unmap(shmid: 1, at: memoryAt, length: length)
    var seen = [UInt8](repeating: 0, count: greeting.count)
    check(pread(memory, &seen, seen.count, 0) == seen.count && seen == greeting, "the device sees what the VMM wrote")
    try backend.unmap(shmid: 1, at: fileAt, length: length)
}

/// The VMM's look at its region, after each request that it served. Nothing is undone meanwhile: that would be served here too.
func look(at region: Region, after request: ServedRequest, expected: UInt64) {
    print(request.error?.message ?? "\(request.kind) of \(hex(request.length)) bytes at \(hex(request.offset)): done")
    for mapping in region.mappings {
        print("    \(hex(mapping.offset)) \(hex(mapping.length)) \(mapping.isWritable ? "read-write" : "read-only")")
        let seen = region.withUnsafeBytes(at: mapping.offset, length: mapping.length, checksum)
        if mapping.offset == fileAt { check(seen == expected, "the window shows the file's bytes") }
    }
    if request.kind == .map, request.offset == memoryAt {
        region.withUnsafeMutableBytes(at: memoryAt, length: length) { $0.copyBytes(from: greeting) }
        check(region.translate(fileAt, length: 1, forWriting: true) == nil, "the file can't be written")
    }
}

@main
struct SwiftWindow {
    static func main() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("swift-window.\(getpid())").path
        let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        // Memory without a file, as a memfd is (which Glibc shows to targets that define _GNU_SOURCE).
        let name = "/swift-window.\(getpid())"
        let memory = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0o600)
        shm_unlink(name)
        let contents = (0..<Int(length)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        guard write(file, contents, contents.count) == contents.count, ftruncate(memory, off_t(length)) == 0 else {
            throw POSIXError(.EIO)
        }
        unlink(path)
        var sockets: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &sockets) == 0 else { throw POSIXError(.EMFILE) }
        let theirs = sockets[1]
        Thread.detachNewThread {
            do throws(ShmemError) {
                try runDevice(socket: OwnedDescriptor(owning: theirs), file: file, memory: memory)
            } catch {
                check(false, "the device works: \(error)")
            }
        }

        let frontend = try Frontend(socket: OwnedDescriptor(owning: sockets[0]))
        let expected = contents.withUnsafeBytes(checksum)
        frontend.onEvent = { frontend, event in
            switch event {
            case .ready: print("regions: \(frontend.device.allRegions.map { "\($0.shmid): \(hex($0.size)) bytes" })")
            case .served(let request):
                if let region = frontend.device.region(shmid: request.shmid) {
                    look(at: region, after: request, expected: expected)
                }
            case .broken(let mapping): print("the file at \(hex(mapping.offset)) of region \(mapping.shmid) has lost pages")
            case .healed(let mapping):
                print("the file at \(hex(mapping.offset)) of region \(mapping.shmid) has its pages again")
            case .configChanged, .reset: break
            case .channelLost(let error): print("the channel is closed: \(error)")
            case .disconnected(let error): print("over: \(error)")
            }
        }
        try frontend.connectAndWait(timeout: .seconds(5))
        do {
            while true {
                wait(for: try frontend.pollDescriptor())
                try frontend.dispatch()
            }
        } catch {
            check(error.code == ENOTCONN, "the loop ends when the connection is over: \(error)")
        }
        check(frontend.device.mappingCount == 0, "nothing is mapped any more")
        exit(differences.load(ordering: .relaxed) == 0 ? 0 : 1)
    }
}
