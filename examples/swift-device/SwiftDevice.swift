// SPDX-License-Identifier: BSD-3-Clause

// swift-device SOCKET FILE...: a device in Swift. Its driver asks over virtqueue 0 for a range of a file, and the device answers with the
// place in shared memory region 0 where it has mapped it. The messages are those of examples/file-window.h, whose driver and device in C it
// works with: `./scripts/run-example swift-device`.

import Glibc
import Vhushmem

/// What a driver asks for.
struct Request {
    static let size = 24
    let operation: UInt32
    let file: UInt32
    let offset: UInt64
    let length: UInt64

    /// nil: there are too few bytes. They are a copy, since the guest may change the original meanwhile.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == Request.size else { return nil }
        operation = UInt32(truncatingIfNeeded: Request.number(bytes[0..<4]))
        file = UInt32(truncatingIfNeeded: Request.number(bytes[4..<8]))
        offset = Request.number(bytes[8..<16])
        length = Request.number(bytes[16..<24])
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// The reply, little-endian: a result, four bytes of nothing, a place in the region.
func reply(_ result: Int32, at place: UInt64 = 0) -> [UInt8] {
    func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    return bytes(result) + [0, 0, 0, 0] + bytes(place)
}

/// What the device itself refuses.
struct Refusal: Error {
    let code: Int32
}

/// Places in the region, and what is mapped there.
struct Places {
    static let page: UInt64 = 4096
    static let regionSize: UInt64 = 16 << 20
    /// Lengths by offset.
    private(set) var taken: [UInt64: UInt64] = [:]

    /// The first place that has room; nil: there is none. No length is more than the region's size.
    func room(for length: UInt64) -> UInt64? {
        var start: UInt64 = 0
        for (offset, size) in taken.sorted(by: { $0.key < $1.key }) {
            if offset - start >= length { return start }
            start = offset + size
        }
        return Places.regionSize - start >= length ? start : nil
    }

    mutating func take(_ offset: UInt64, _ length: UInt64) { taken[offset] = length }
    mutating func free(_ offset: UInt64) { taken[offset] = nil }
    mutating func freeAll() { taken = [:] }
}

/// The device. The actor has the back-end: whatever waits for it runs here.
actor FileWindow {
    private let backend: Backend
    private let files: [Int32]
    private var places = Places()

    init(listeningAt path: String, files: [Int32]) throws {
        var options = BackendOptions()
        // Indirect descriptors and event indices.
        options.features = 1 << 28 | 1 << 29
        backend = try Backend(options)
        self.files = files
        try backend.addRegion(shmid: 0, size: Places.regionSize)
        try backend.listen(at: path)
    }

    /// Serves the queue until the front-end has gone.
    func serve() async throws {
        for try await chain in try backend.chains(of: 0) {
            let answer = await answer(to: Request(chain.read(count: Request.size)))
            let written = UInt32(chain.write(answer))
            do {
                try backend.push(chain, written: written)
                try backend.notify(queue: 0)
            } catch {
                print("device  \(error)")
            }
        }
    }

    /// Takes what happens to the connection. When the front-end goes, the device ends.
    func follow() async throws {
        for try await event in backend.events {
            switch event {
            case .reset: places.freeAll()
            case .disconnected: backend.close()
            default: break
            }
        }
    }

    private func answer(to request: Request?) async -> [UInt8] {
        guard let request else { return reply(-EINVAL) }
        do {
            switch request.operation {
            case 1: return reply(0, at: try await map(request))
            case 2: return try await unmap(request)
            default: return reply(-EOPNOTSUPP)
            }
        } catch {
            print("device  \(error)")
            // What the device refuses itself, or what the front-end said.
            return reply(-((error as? Refusal)?.code ?? (error as? ShmemError)?.code ?? EIO))
        }
    }

    private func map(_ request: Request) async throws -> UInt64 {
        guard let file = files.indices.contains(Int(request.file)) ? files[Int(request.file)] : nil else {
            throw Refusal(code: ENOENT)
        }
        guard (1...Places.regionSize).contains(request.length), request.length % Places.page == 0 else {
            throw Refusal(code: EINVAL)
        }
        guard let place = places.room(for: request.length) else { throw Refusal(code: ENOSPC) }
        // Before the device waits, so that nobody else takes it. What else can be wrong, the offset in the file too, the front-end says.
        places.take(place, request.length)
        do {
            try await backend.map(shmid: 0, fd: file, fileOffset: request.offset, at: place, length: request.length)
        } catch {
            places.free(place)
            throw error
        }
        print("device  map of file \(request.file): \(request.length) bytes from \(request.offset) on, at \(place)")
        return place
    }

    private func unmap(_ request: Request) async throws -> [UInt8] {
        guard places.taken[request.offset] == request.length else { return reply(-ENOENT) }
        try await backend.unmap(shmid: 0, at: request.offset, length: request.length)
        places.free(request.offset)
        print("device  unmap of \(request.length) bytes at \(request.offset)")
        return reply(0)
    }
}

@main
struct SwiftDevice {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard let path = arguments.first, arguments.count > 1 else {
            print("usage: swift-device SOCKET FILE...")
            exit(2)
        }
        let files = arguments.dropFirst().map { open($0, O_RDONLY | O_CLOEXEC) }
        guard !files.contains(-1) else {
            print("device  a file can't be opened")
            exit(1)
        }
        let device = try FileWindow(listeningAt: path, files: files)
        async let following: Void = device.follow()
        try await device.serve()
        try await following
    }
}
