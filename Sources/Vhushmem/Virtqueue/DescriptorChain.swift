// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A request of the driver's, taken from a virtqueue: memory that the device may read, and memory that it may write.
///
/// The guest may change that memory at any moment, and what it holds is to be believed no more than anything of a guest's. It stays
/// mapped for as long as the chain lives, whatever the front-end says meanwhile.
public final class DescriptorChain {
    let queue: Virtqueue
    private let memory: BackendMemory
    /// The index of its first descriptor: the driver's name for it.
    public let head: UInt16
    /// Which entry of the available ring it was; nil: it was begun before this life of the device.
    let position: UInt16?
    private let segments: UnsafeMutableBufferPointer<iovec>
    private let readableSegments: Int
    var pieces: Int { segments.count }
    /// The device holds it no more.
    var isGivenBack = false
    /// Bytes.
    public let readableSize: UInt64
    public let writableSize: UInt64

    init(_ walk: DescriptorWalk, of queue: Virtqueue, head: UInt16, position: UInt16?, memory: BackendMemory) {
        self.queue = queue
        self.memory = memory
        self.head = head
        self.position = position
        segments = .allocate(capacity: walk.segments.count)
        _ = segments.initialize(from: walk.segments)
        readableSegments = walk.readableSegments
        readableSize = walk.readableSize
        writableSize = walk.writableSize
    }

    deinit {
        if !isGivenBack { queue.forget(self) }
        segments.deallocate()
    }

    /// What the driver wrote; good as long as the chain lives.
    public var readable: UnsafeBufferPointer<iovec> { .init(rebasing: segments[..<readableSegments]) }
    /// What the device may write; likewise.
    public var writable: UnsafeBufferPointer<iovec> { .init(rebasing: segments[readableSegments...]) }

    /// Copies from the readable part, `offset` bytes from its beginning on. Returns how many bytes there were.
    public func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) -> Int {
        DescriptorChain.forEachPiece(of: readable, at: offset, count: bytes.count) { piece, done in
            UnsafeMutableRawBufferPointer(rebasing: bytes[done...]).copyMemory(from: UnsafeRawBufferPointer(piece))
        }
    }

    /// Copies to the writable part. Returns for how many bytes there was room.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
        DescriptorChain.forEachPiece(of: writable, at: offset, count: bytes.count) { piece, done in
            piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[done..<done &+ piece.count]))
        }
    }

    /// The guest's addresses of the first `written` bytes that can be written, piece by piece.
    func forEachWritten(_ written: UInt32, _ body: (UInt64, UInt64) -> Void) {
        var left = UInt64(written)
        for segment in writable where left > 0 {
            let length = min(UInt64(clamping: segment.iov_len), left)
            left = left &- length
            if let base = segment.iov_base, let guestAddress = memory.guestAddress(of: base) { body(guestAddress, length) }
        }
    }

    private static func forEachPiece(
        of segments: UnsafeBufferPointer<iovec>, at offset: UInt64, count: Int,
        _ body: (UnsafeMutableRawBufferPointer, Int) -> Void
    ) -> Int {
        var skip = offset
        var done = 0
        for segment in segments where done < count {
            let length = UInt64(clamping: segment.iov_len)
            guard skip < length, let base = segment.iov_base else {
                skip = skip &- min(skip, length)
                continue
            }
            let size = min(Int(clamping: length &- skip), count &- done)
            body(UnsafeMutableRawBufferPointer(start: base + Int(clamping: skip), count: size), done)
            skip = 0
            done = done &+ size
        }
        return done
    }
}

/// What a driver put into a ring can't be: the ring is not used any more.
struct VirtqueueFault: Error {
    let sentence: StaticString

    init(_ sentence: StaticString) {
        self.sentence = sentence
    }
}

/// Follows a chain of descriptors (VIRTIO 1.2, 2.7.5). Every index, length and address is the driver's; nothing is read twice.
struct DescriptorWalk {
    private static let next: UInt16 = 1
    private static let write: UInt16 = 2
    private static let indirect: UInt16 = 4
    private static let descriptorSize: UInt32 = 16
    /// What a whole chain may come to: lengths are 32 bits in the used ring.
    private static let mostBytes: UInt64 = 1 << 32
    /// Linux fills indirect tables longer than the queue, which the specification forbids; other devices take as many.
    private static let indirectEntries: UInt32 = 1024
    /// Each buffer of the largest queue, lying across the border between two ranges.
    private static let mostSegments = 1 << 16

    private(set) var segments: [iovec] = []
    private(set) var readableSegments = 0
    private(set) var readableSize: UInt64 = 0
    private(set) var writableSize: UInt64 = 0

    /// Forgets what was found, and keeps its room.
    mutating func begin() {
        segments.removeAll(keepingCapacity: true)
        readableSegments = 0
        readableSize = 0
        writableSize = 0
    }

    /// `table` has `size` descriptors.
    mutating func follow(
        from head: UInt16, in table: UnsafeRawPointer, size: UInt16, memory: BackendMemory, takesIndirect: Bool
    ) throws(VirtqueueFault) {
        var table = table
        var count = UInt32(size)
        var index = UInt32(head)
        // A chain has no more descriptors than its table: one that goes on is a loop.
        var left = count
        var isIndirect = false
        while true {
            guard index < count else { throw VirtqueueFault("the index of a descriptor lies outside of its table") }
            guard left > 0 else { throw VirtqueueFault("a chain of descriptors is longer than its table") }
            left = left &- 1
            let descriptor = vhu_descriptor_at(table + Int(index &* DescriptorWalk.descriptorSize))
            let flags = UInt16(littleEndian: descriptor.flags)
            let address = UInt64(littleEndian: descriptor.address)
            let length = UInt32(littleEndian: descriptor.length)
            if flags & DescriptorWalk.indirect != 0 {
                guard takesIndirect, !isIndirect else {
                    throw VirtqueueFault("a descriptor is indirect where none may be")
                }
                guard flags & DescriptorWalk.next == 0 else {
                    throw VirtqueueFault("a chain goes on behind an indirect descriptor")
                }
                count = length / DescriptorWalk.descriptorSize
                guard count > 0, length % DescriptorWalk.descriptorSize == 0,
                    count <= max(UInt32(size), DescriptorWalk.indirectEntries)
                else { throw VirtqueueFault("an indirect table has a length that it can't have") }
                guard let inner = memory.host(at: address, length: UInt64(length)) else {
                    throw VirtqueueFault("an indirect table lies outside of guest memory")
                }
                table = UnsafeRawPointer(inner)
                left = count
                index = 0
                isIndirect = true
                continue
            }
            try add(address, UInt64(length), isWritable: flags & DescriptorWalk.write != 0, memory)
            guard flags & DescriptorWalk.next != 0 else { return }
            index = UInt32(UInt16(littleEndian: descriptor.next))
        }
    }

    private mutating func add(
        _ address: UInt64, _ length: UInt64, isWritable: Bool, _ memory: BackendMemory
    ) throws(VirtqueueFault) {
        guard isWritable || writableSize == 0 else {
            throw VirtqueueFault("a chain has something to read behind something to write")
        }
        guard length <= DescriptorWalk.mostBytes &- readableSize &- writableSize else {
            throw VirtqueueFault("a chain has more than 4 GiB")
        }
        guard let whole = ByteRange(start: address, length: length) else {
            throw VirtqueueFault("a buffer wraps around")
        }
        var at = whole.start
        // Guest memory that is one piece for the guest may be several here.
        while at < whole.end {
            guard let piece = memory.piece(at: at, length: whole.end &- at) else {
                throw VirtqueueFault("a buffer lies outside of guest memory")
            }
            guard segments.count < DescriptorWalk.mostSegments else {
                throw VirtqueueFault("a chain has too many pieces")
            }
            segments.append(iovec(iov_base: piece.host, iov_len: Int(clamping: piece.length)))
            at = at &+ piece.length
        }
        if isWritable {
            writableSize = writableSize &+ length
        } else {
            readableSize = readableSize &+ length
            readableSegments = segments.count
        }
    }
}
