// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// A request of the driver, taken from a virtqueue: memory that the device may read, and memory that it may write.
///
/// The guest may change that memory at any moment; do not trust its contents. The memory stays mapped as long as the chain
/// lives, whatever the front-end says meanwhile.
///
/// Any thread may read and write the chain's memory, and a chain may go on any thread. The back-end's thread takes it from its
/// queue and gives it back.
///
/// Unchecked Sendable: only the back-end's thread changes it, when it is taken and given back. A chain that was given back is
/// used again for another one when nothing else holds it.
@safe public final class DescriptorChain: @unchecked Sendable {
    let home: ChainHome
    fileprivate let memory: BackendMemory
    /// The device holds it: it was taken, and not given back.
    private(set) var isHeld = false
    /// The index of its first descriptor: the driver's name for it.
    public private(set) var head: UInt16 = 0
    /// How many entries of the available ring were taken before its own; nil: it was begun before this life of the device.
    private(set) var position: UInt64?
    fileprivate var segments = ChainPieces()
    fileprivate var readableSegments = 0
    var pieces: Int { segments.count }
    /// How many bytes the driver wrote.
    public fileprivate(set) var readableSize: UInt64 = 0
    /// How many bytes the device may write.
    public fileprivate(set) var writableSize: UInt64 = 0
    /// The next one, while this one is in a list.
    fileprivate var nextInList: Unmanaged<DescriptorChain>?

    init(of home: ChainHome, _ memory: BackendMemory) {
        self.home = home
        self.memory = memory
    }

    deinit {
        // It is never given back.
        if isHeld { home.remove(pieces: pieces) }
    }

    /// Whether its pieces are of this memory.
    @inline(__always)
    func isOf(_ memory: BackendMemory) -> Bool { self.memory === memory }

    /// Whether the device has it from these rings.
    @inline(__always)
    func isHeld(from ring: Virtqueue) -> Bool { isHeld && home === ring.home }

    /// The device holds it from now on.
    @inline(__always)
    func begin(head: UInt16, position: UInt64?) {
        isHeld = true
        self.head = head
        self.position = position
    }

    /// The same for a chain of one buffer, all in one piece.
    @inline(__always)
    func begin(head: UInt16, position: UInt64?, with descriptor: Descriptor, at host: UnsafeMutableRawPointer) {
        let length = UInt64(descriptor.length)
        unsafe segments.replaceAll(by: host, Int(truncatingIfNeeded: length), guestAddress: descriptor.address)
        readableSegments = descriptor.isWritable ? 0 : 1
        readableSize = descriptor.isWritable ? 0 : length
        writableSize = descriptor.isWritable ? length : 0
        begin(head: head, position: position)
    }

    /// The device does not hold it any more.
    @inline(__always)
    func end() { isHeld = false }

    /// What the driver wrote; valid as long as the chain lives.
    public var readable: UnsafeBufferPointer<iovec> {
        // SAFETY: there are as many pieces, those to be read first.
        unsafe UnsafeBufferPointer(start: segments.start, count: readableSegments)
    }
    /// What the device may write; likewise.
    public var writable: UnsafeBufferPointer<iovec> {
        // SAFETY: as above.
        unsafe UnsafeBufferPointer(start: segments.start + readableSegments, count: segments.count &- readableSegments)
    }

    /// Returns a part of the chain in pieces of this process's memory, for readv and writev: valid as long as the chain lives.
    ///
    /// - Parameters:
    ///   - isWritable: true: of what the device may write; false: of what the driver wrote.
    ///   - offset: first byte in that.
    ///   - count: the most bytes.
    ///   - pieces: is filled in, as far as it goes. If more pieces are needed, ask again behind these.
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

    /// Copies from the readable part.
    ///
    /// - Parameters:
    ///   - offset: the first byte of the readable part.
    ///   - bytes: is filled in.
    /// - Returns: how many bytes there were.
    public func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) -> Int {
        unsafe DescriptorChain.forEachPiece(of: readable, at: offset, count: bytes.count) { piece, done in
            // SAFETY: no more than `bytes` has room for. The guest may write meanwhile: any bytes are valid.
            unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[done...]).copyMemory(from: UnsafeRawBufferPointer(piece))
        }
    }

    /// Copies to the writable part.
    ///
    /// - Parameters:
    ///   - bytes: the bytes.
    ///   - offset: the first byte of the writable part.
    /// - Returns: how many bytes had room.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
        unsafe DescriptorChain.forEachPiece(of: writable, at: offset, count: bytes.count) { piece, done in
            // SAFETY: both have as many bytes as the piece.
            unsafe piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[done..<done &+ piece.count]))
        }
    }

    /// Logs the first `written` bytes of the writable part.
    @inline(__always)
    func noteWritten(_ written: UInt32, in log: LogBits) {
        var left = UInt64(written)
        var index = readableSegments
        while left > 0, index < segments.count {
            // SAFETY: `index` is below the number of pieces.
            let length = unsafe min(UInt64(clamping: segments.start[index].iov_len), left)
            log.note(segments.guestAddress(index), length)
            left = left &- length
            index = index &+ 1
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
            // SAFETY: `skip` and `size` together are at most the length of the segment, which is mapped as long as the chain
            // lives.
            unsafe body(UnsafeMutableRawBufferPointer(start: base + Int(clamping: skip), count: size), done)
            skip = 0
            done = done &+ size
        }
        return done
    }
}

// MARK: Filling it in

extension DescriptorChain {
    /// The most bytes of a whole chain: lengths are 32 bits in the used ring.
    private static let mostBytes: UInt64 = 1 << 32

    @inline(__always)
    func removeAllPieces() {
        segments.removeAll()
        readableSegments = 0
        readableSize = 0
        writableSize = 0
    }

    /// The table of an indirect descriptor; nil: it lies outside of guest memory.
    func indirectTable(at address: UInt64, count: UInt32) -> DescriptorTable? {
        DescriptorTable(at: address, count: count, in: memory)
    }

    /// Adds a buffer. `span`: the range of the last buffer; usually the next one is there too.
    @inline(__always)
    func add(_ descriptor: Descriptor, _ span: inout GuestSpan) throws(VirtqueueFault) {
        let length = UInt64(descriptor.length)
        let isWritable = descriptor.isWritable
        // The writable part comes behind all of the readable part (VIRTIO 1.2, 2.7.4.2).
        guard isWritable || writableSize == 0 else {
            throw VirtqueueFault("a chain has something to read behind something to write")
        }
        guard length <= DescriptorChain.mostBytes &- readableSize &- writableSize else {
            throw VirtqueueFault("a chain has more than 4 GiB")
        }
        if length > 0, !isWritable || !span.isReadOnly, segments.hasRoom,
            let host = unsafe span.host(at: descriptor.address, length)
        {
            unsafe segments.append(host, Int(truncatingIfNeeded: length), guestAddress: descriptor.address)
        } else {
            try addPieces(descriptor.address, length, isWritable, &span)
        }
        if isWritable {
            writableSize = writableSize &+ length
        } else {
            readableSize = readableSize &+ length
            readableSegments = segments.count
        }
    }

    /// Guest memory that is one piece for the guest may be several here.
    @inline(never)
    private func addPieces(
        _ start: UInt64, _ length: UInt64, _ isWritable: Bool, _ span: inout GuestSpan
    ) throws(VirtqueueFault) {
        guard let whole = ByteRange(start: start, length: length) else { throw VirtqueueFault("a buffer wraps around") }
        var at = whole.start
        while at < whole.end {
            span = memory.span(at: at)
            let count = min(whole.end &- at, span.length &- (at &- span.guestAddress))
            guard span.length > 0, let host = unsafe span.host(at: at, count) else {
                // The guest has more memory than this process was told of: memory of other devices, and mapped files. A buffer
                // that lies there is no fault of the driver. A buffer that crosses the edge of known memory, or begins there,
                // is.
                throw VirtqueueFault("a buffer lies outside of guest memory", isOfChain: !memory.touches(whole))
            }
            guard !isWritable || !span.isReadOnly else {
                throw VirtqueueFault("a writable buffer lies in read-only memory", isOfChain: true)
            }
            guard segments.makeRoom() else { throw VirtqueueFault("a chain has too many pieces") }
            unsafe segments.append(host, Int(clamping: count), guestAddress: at)
            at = at &+ count
        }
    }
}

// MARK: Using it again

/// Chains, each of which has a reference to the next.
@safe struct ChainList {
    /// Holds a reference.
    private var first: Unmanaged<DescriptorChain>?

    /// Takes the caller's reference.
    @inline(__always)
    mutating func add(_ chain: Unmanaged<DescriptorChain>) {
        unsafe chain._withUnsafeGuaranteedRef { unsafe $0.nextInList = unsafe first }
        unsafe first = unsafe chain
    }

    /// Gives its reference to the caller.
    @inline(__always)
    mutating func removeFirst() -> Unmanaged<DescriptorChain>? {
        guard let top = unsafe first else { return nil }
        unsafe top._withUnsafeGuaranteedRef { chain in
            unsafe first = unsafe chain.nextInList
            unsafe chain.nextInList = nil
        }
        return unsafe top
    }

    /// Nothing else holds the first one. There must be one.
    @inline(__always)
    var isFirstUnique: Bool {
        mutating get {
            unsafe withUnsafeMutablePointer(to: &first) { place in
                // SAFETY: there is a chain, so the place has the reference to it that this list holds, in the form of a
                // variable.
                unsafe place.withMemoryRebound(to: DescriptorChain.self, capacity: 1) {
                    unsafe isKnownUniquelyReferenced(&$0.pointee)
                }
            }
        }
    }

    @inline(__always)
    var isEmpty: Bool { unsafe first == nil }

    /// Releases all.
    mutating func removeAll() {
        while let chain = unsafe removeFirst() { unsafe chain.release() }
    }
}

/// Chains that were given back, for the next ones: so neither `pop` nor `push` allocates. All belong to the same memory.
@safe struct SpareChains {
    /// As many as devices usually hold at a time.
    private static let most = 256

    private var chains = ChainList()
    private var count = 0

    /// A chain that nothing else holds; nil: there is none. The caller owns the reference.
    @inline(__always)
    mutating func take() -> Unmanaged<DescriptorChain>? {
        while !chains.isEmpty {
            let isUnique = chains.isFirstUnique
            count = count &- 1
            let chain = unsafe chains.removeFirst()
            if isUnique {
                // Its last holder may have read it in another thread.
                vhu_fence_acquire()
                return unsafe chain
            }
            unsafe chain?.release()
        }
        return nil
    }

    @inline(__always)
    func hasRoom(for chain: DescriptorChain) -> Bool { count < SpareChains.most && !chain.segments.isLarge }

    /// Keeps a chain. A program in Swift may still have it, and read it. `isGiven`: the caller gives its own reference, which
    /// is taken if this returns true.
    @inline(__always)
    @discardableResult
    mutating func keep(_ chain: DescriptorChain, isGiven: Bool = false) -> Bool {
        guard hasRoom(for: chain) else { return false }
        add(chain, isGiven: isGiven)
        return isGiven
    }

    /// There must be room.
    @inline(__always)
    mutating func add(_ chain: DescriptorChain, isGiven: Bool) {
        unsafe chains.add(isGiven ? .passUnretained(chain) : .passRetained(chain))
        count = count &+ 1
    }

    /// Releases all.
    mutating func removeAll() {
        chains.removeAll()
        count = 0
    }
}
