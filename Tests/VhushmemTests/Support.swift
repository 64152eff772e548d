// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Glibc
import Synchronization
import Testing

@testable import Vhushmem

let pageSize = Page.size

/// Long enough for a busy machine: only a failing test waits so long. Microseconds.
let patience: UInt64 = 120_000_000
/// The same for the work of tasks. The tasks of all tests share two threads, in which other tests may wait.
let taskPatience: UInt64 = 5 * patience

/// A memfd whose page n is filled with the byte n + `first`.
func makeMemfd(pages: UInt64, first: UInt8 = 1, sealing: Bool = false) throws -> TestFile {
    let fd = memfd_create("vhushmem-test", UInt32(MFD_CLOEXEC) | (sealing ? UInt32(MFD_ALLOW_SEALING) : 0))
    let file = TestFile(fd)
    try #require(fd >= 0 && ftruncate(fd, off_t(pages * pageSize)) == 0)
    for index in 0..<pages {
        let bytes = [UInt8](repeating: first &+ UInt8(truncatingIfNeeded: index), count: Int(pageSize))
        try #require(pwrite(fd, bytes, bytes.count, off_t(index * pageSize)) == bytes.count)
    }
    return file
}

/// A descriptor that belongs to a test.
final class TestFile: Sendable {
    let fd: Int32

    init(_ fd: Int32) {
        self.fd = fd
    }

    deinit {
        close(fd)
    }
}

/// Opens a file with close-on-exec.
func openFile(_ path: String, _ flags: Int32, _ mode: mode_t = 0) -> Int32 {
    open(path, flags | O_CLOEXEC, mode)
}

/// fcntl(F_ADD_SEALS).
func addSeals(_ fd: Int32, _ seals: Int32) -> Int32 {
    vhu_fcntl_add_seals(fd, seals)
}

/// Waits until everything that peers have sent is closed: the library does that in a thread that may wait.
func waitForCloses() {
    for _ in 0..<10_000 where Closer.pending.load(ordering: .relaxed) > 0 {
        Closer.goOn()
        usleep(1000)
    }
}

func isClosedOnExec(_ fd: Int32) -> Bool {
    fcntl(fd, F_GETFD) & FD_CLOEXEC != 0
}

/// A folder that is removed with everything in it.
final class TestFolder {
    let path: String

    init() throws {
        let top = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(top)/vhu-XXXXXX".utf8CString)
        path = try String(cString: #require(mkdtemp(&template)))
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    deinit {
        // Tests leave nothing except sockets.
        for name in ["socket", "other", "file"] { unlink(file(name)) }
        rmdir(path)
    }
}

/// Runs something that must be refused, and returns the refusal.
func refusal<Success>(_ body: () throws(ShmemError) -> Success) -> ShmemError? {
    do throws(ShmemError) {
        _ = try body()
        return nil
    } catch {
        return error
    }
}

/// The same for calls that report an errno only.
func errno<Success: ~Copyable>(_ body: () throws(Errno) -> Success) -> Int32? {
    do throws(Errno) {
        _ = try body()
        return nil
    } catch {
        return error.code
    }
}

/// Calls `body` with bytes in a buffer of exactly their length.
func withBytes<Result>(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    try bytes.withUnsafeBytes(body)
}

/// The bytes that `encode` writes into `size` bytes that were 0xaa.
func encoded(_ size: Int, _ encode: (UnsafeMutableRawBufferPointer) -> Void) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xaa, count: size)
    bytes.withUnsafeMutableBytes(encode)
    return bytes
}

func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

// MARK: Messages

func message(_ request: UInt32, flags: UInt32 = 1, _ payload: [UInt8] = []) -> [UInt8] {
    littleEndian(request) + littleEndian(flags) + littleEndian(UInt32(payload.count)) + payload
}

let needReply: UInt32 = 0x9

func mapMessage(
    shmid: UInt8 = 0, fileOffset: UInt64 = 0, offset: UInt64, length: UInt64, flags: UInt64 = 0, request: UInt32 = 9,
    header: UInt32 = needReply
) -> [UInt8] {
    let map = SharedMemoryMap(shmid: shmid, fileOffset: fileOffset, offset: offset, length: length, flags: flags)
    return message(request, flags: header, encoded(SharedMemoryMap.size, map.encode))
}

func unmapMessage(shmid: UInt8 = 0, offset: UInt64, length: UInt64) -> [UInt8] {
    mapMessage(shmid: shmid, offset: offset, length: length, request: 10)
}

/// The other end of a socket: a peer that does as the test says. It makes system calls without the library, so that the
/// library's faults cannot affect it.
final class Peer {
    let fd: Int32

    init(_ fd: Int32) {
        self.fd = fd
    }

    deinit {
        close(fd)
    }

    /// A peer, and the socket that the library gets.
    static func pair() throws -> (peer: Peer, socket: Int32) {
        var ends: [Int32] = [-1, -1]
        try #require(vhu_socketpair(&ends) == 0)
        return (Peer(ends[0]), ends[1])
    }

    @discardableResult
    func send(_ bytes: [UInt8], descriptors: [Int32] = []) -> Bool {
        vhu_sendmsg(fd, bytes, bytes.count, descriptors, Int32(descriptors.count)) == bytes.count
    }

    /// The bytes that have come, up to `most`; nil: nothing. Empty: the library has closed its end.
    func receive(most: Int = 8192) -> (bytes: [UInt8], descriptors: [Int32])? {
        var bytes = [UInt8](repeating: 0, count: most)
        var received = vhu_fds()
        var truncated = false
        let got = vhu_recvmsg(fd, &bytes, bytes.count, &received, &truncated)
        guard got >= 0 else { return nil }
        let count = Int(received.count)
        let descriptors = withUnsafeMutablePointer(to: &received) { fds in (0..<count).map { vhu_first_fd(fds)![$0] } }
        return (Array(bytes.prefix(got)), descriptors)
    }

    /// One message, without the bytes after it; nil: there is none.
    func receiveMessage() -> (request: UInt32, flags: UInt32, payload: [UInt8], descriptors: [Int32])? {
        guard let (head, descriptors) = receive(most: MessageHeader.size),
            let header = withBytes(head, { MessageHeader($0) })
        else { return nil }
        let payload = header.size > 0 ? receive(most: Int(header.size))?.bytes ?? [] : []
        return (header.request, header.flags, payload, descriptors)
    }

    /// The value of the answer that has come; nil: no answer. Negative: an errno.
    func answer(to request: UInt32) -> Int64? {
        guard let (bytes, descriptors) = receive(), descriptors.isEmpty, bytes.count == 20,
            Array(bytes.prefix(12)) == littleEndian(request) + littleEndian(5 as UInt32) + littleEndian(8 as UInt32)
        else { return nil }
        return withBytes(bytes) { $0.integer(at: 12, as: Int64.self) }
    }

    /// If another test is in a system call on this descriptor, the kernel closes it only after that call. So this waits before
    /// it says no.
    var isClosed: Bool {
        waitUntilReadable(milliseconds: Int32(patience / 1000))
        return receive(most: 1).map { $0.bytes.isEmpty } ?? false
    }

    /// After this the library finds that the peer has gone.
    func shutDown() {
        shutdown(fd, Int32(SHUT_WR))
    }

    /// The other end is open, and nothing came from it.
    var isOpen: Bool {
        receive(most: 1) == nil
    }

    /// Whether the end comes, after whatever else there is to read.
    func reachesItsEnd() -> Bool {
        while true {
            waitUntilReadable(milliseconds: Int32(patience / 1000))
            guard let (bytes, descriptors) = receive() else { return false }
            for fd in descriptors { close(fd) }
            if bytes.isEmpty { return true }
        }
    }

    private func waitUntilReadable(milliseconds: Int32) {
        var target = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        _ = poll(&target, 1, milliseconds)
    }
}

// MARK: The process

/// Which descriptors are open.
func openDescriptors() -> Set<Int32> {
    // It asks the kernel one by one: reading a folder in /proc takes a descriptor itself.
    Set((0..<1024).filter { fcntl($0, F_GETFD) != -1 })
}

/// The lines of /proc/self/maps as ranges of addresses, in order.
func mappedRanges() -> [Range<UInt>] {
    var text: [UInt8] = []
    let fd = openFile("/proc/self/maps", O_RDONLY)
    defer { close(fd) }
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let got = read(fd, &chunk, chunk.count), got > 0 { text += chunk.prefix(got) }
    return text.split(separator: UInt8(ascii: "\n")).compactMap { line in
        let ends = line.prefix { $0 != UInt8(ascii: " ") }.split(separator: UInt8(ascii: "-"))
        guard ends.count == 2, let from = UInt(String(decoding: ends[0], as: UTF8.self), radix: 16),
            let to = UInt(String(decoding: ends[1], as: UTF8.self), radix: 16)
        else { return nil }
        return from..<to
    }
}

/// How many separate mappings the kernel has in a window.
func separateMappings(in window: RegionWindow) -> Int {
    let start = UInt(bitPattern: window.baseAddress)
    return mappedRanges().count { $0.upperBound > start && $0.lowerBound < start + UInt(window.size) }
}

/// Whether every address of the window is still taken.
func isReserved(_ window: RegionWindow) -> Bool {
    var at = UInt(bitPattern: window.baseAddress)
    let end = at + UInt(window.size)
    for range in mappedRanges() where range.upperBound > at {
        guard range.lowerBound <= at else { return false }
        at = range.upperBound
        if at >= end { return true }
    }
    return false
}

/// A small generator, so that a failing run can be run again.
struct Random: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func next(below bound: UInt64) -> UInt64 {
        next() % bound
    }
}

extension Region {
    var hasSoundTable: Bool {
        device.lock.withLock { held in table[held].checkInvariants() }
    }

    func isCovered(at page: UInt64) -> Bool {
        device.lock.withLock { held in covers[held].cover(of: page) != nil }
    }
}

extension Pollable {
    /// One turn of a loop, as C programs have it: a negative errno if there is nothing left to dispatch.
    @discardableResult
    func turn() -> Int32 { dispatch(.both) }
}
