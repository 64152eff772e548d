// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A request of the driver's, taken from a virtqueue: memory that the device may read, and memory that it may write.
///
/// The guest may change that memory at any moment, and what it holds is to be believed no more than anything of a guest's. It stays
/// mapped for as long as the chain lives, whatever the front-end says meanwhile.
///
/// Any thread may read and write what it names, and a chain may go on any thread. It is taken from its queue and given back where the
/// back-end is used.
///
/// Unchecked Sendable: `isGivenBack` alone changes. The back-end's thread changes it, and `deinit` looks at it when nobody has the chain.
@safe public final class DescriptorChain: @unchecked Sendable {
    let queue: Virtqueue
    private let memory: BackendMemory
    /// The index of its first descriptor: the driver's name for it.
    public let head: UInt16
    /// Which entry of the available ring it was; nil: it was begun before this life of the device.
    let position: UInt16?
    private let segments: UnsafeMutableBufferPointer<iovec>
    private let readableSegments: Int
    var pieces: Int { unsafe segments.count }
    /// The device holds it no more.
    var isGivenBack = false
    /// How many bytes the driver wrote.
    public let readableSize: UInt64
    /// How many bytes the device may write.
    public let writableSize: UInt64

    init(_ walk: DescriptorWalk, of queue: Virtqueue, head: UInt16, position: UInt16?, memory: BackendMemory) {
        self.queue = queue
        self.memory = memory
        self.head = head
        self.position = position
        unsafe segments = unsafe .allocate(capacity: walk.segments.count)
        _ = unsafe segments.initialize(from: walk.segments)
        readableSegments = walk.readableSegments
        readableSize = walk.readableSize
        writableSize = walk.writableSize
    }

    deinit {
        if !isGivenBack { queue.forget(self) }
        unsafe segments.deallocate()
    }

    /// What the driver wrote; good as long as the chain lives.
    public var readable: UnsafeBufferPointer<iovec> { unsafe .init(rebasing: segments[..<readableSegments]) }
    /// What the device may write; likewise.
    public var writable: UnsafeBufferPointer<iovec> { unsafe .init(rebasing: segments[readableSegments...]) }

    /// Where this process has a part of the chain, for readv and writev: good as long as the chain lives.
    ///
    /// - Parameters:
    ///   - isWritable: of what the device may write, and else of what the driver wrote.
    ///   - offset: bytes from the beginning of that on.
    ///   - count: bytes at the most.
    ///   - pieces: is filled in, as far as it goes. Where more pieces are needed, ask again behind these.
    /// - Returns: how many pieces were filled in; none of them is empty.
    public func pieces(
        isWritable: Bool, at offset: UInt64, count: UInt64, into pieces: UnsafeMutableBufferPointer<iovec>
    ) -> Int {
        var (skip, left, found) = (offset, count, 0)
        // swift-format-ignore
        for unsafe segment in unsafe isWritable ? writable : readable {
            guard left > 0, found < pieces.count else { break }
            let length = unsafe UInt64(clamping: segment.iov_len)
            guard skip < length, let base = unsafe segment.iov_base else {
                skip = skip &- min(skip, length)
                continue
            }
            let size = min(length &- skip, left)
            // SAFETY: `skip` and `size` together are at most the length of the segment, so all of it is inside.
            unsafe pieces[found] = unsafe iovec(iov_base: base + Int(clamping: skip), iov_len: Int(clamping: size))
            found = found &+ 1
            left = left &- size
            skip = 0
        }
        return found
    }

    /// Copies from the readable part, `offset` bytes from its beginning on.
    ///
    /// - Parameters:
    ///   - offset: the first byte of the readable part.
    ///   - bytes: what is filled.
    /// - Returns: how many bytes there were.
    public func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) -> Int {
        unsafe DescriptorChain.forEachPiece(of: readable, at: offset, count: bytes.count) { piece, done in
            // SAFETY: no more than `bytes` has room for. The guest may write meanwhile: any bytes will do.
            unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[done...]).copyMemory(from: UnsafeRawBufferPointer(piece))
        }
    }

    /// Copies to the writable part.
    ///
    /// - Parameters:
    ///   - bytes: the bytes.
    ///   - offset: the first byte of the writable part.
    /// - Returns: for how many bytes there was room.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
        unsafe DescriptorChain.forEachPiece(of: writable, at: offset, count: bytes.count) { piece, done in
            // SAFETY: both have as many bytes as the piece.
            unsafe piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[done..<done &+ piece.count]))
        }
    }

    /// The guest's addresses of the first `written` bytes that can be written, piece by piece.
    func forEachWritten(_ written: UInt32, _ body: (UInt64, UInt64) -> Void) {
        var left = UInt64(written)
        // swift-format-ignore
        for unsafe segment in unsafe writable where left > 0 {
            let length = unsafe min(UInt64(clamping: segment.iov_len), left)
            left = left &- length
            if let base = unsafe segment.iov_base, let guestAddress = unsafe memory.guestAddress(of: base) { body(guestAddress, length) }
        }
    }

    private static func forEachPiece(
        of segments: UnsafeBufferPointer<iovec>, at offset: UInt64, count: Int,
        _ body: (UnsafeMutableRawBufferPointer, Int) -> Void
    ) -> Int {
        var skip = offset
        var done = 0
        // swift-format-ignore
        for unsafe segment in unsafe segments where done < count {
            let length = unsafe UInt64(clamping: segment.iov_len)
            guard skip < length, let base = unsafe segment.iov_base else {
                skip = skip &- min(skip, length)
                continue
            }
            let size = min(Int(clamping: length &- skip), count &- done)
            // SAFETY: `skip` and `size` together are at most the length of the segment, which is mapped as long as the chain lives.
            unsafe body(UnsafeMutableRawBufferPointer(start: base + Int(clamping: skip), count: size), done)
            skip = 0
            done = done &+ size
        }
        return done
    }
}
