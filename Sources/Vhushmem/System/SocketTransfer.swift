// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Descriptors that arrived with a message. Those that no code takes are closed.
@safe struct ReceivedDescriptors: ~Copyable {
    /// As many as a message may carry, and one more, to notice when there are more. Further ones are closed at once.
    static let capacity = Int(VHU_MAX_FDS) + 1

    private let received: UnsafeMutablePointer<vhu_fds>
    private let raw: UnsafeMutablePointer<Int32>
    /// The account of their sender.
    private let account: CloseAccount
    private(set) var count = 0
    /// Some got lost on the way: there were more than a message may carry, or this process has no free descriptors.
    private(set) var wasTruncated = false

    init(of account: CloseAccount = CloseAccount()) {
        self.account = account
        unsafe received = .allocate(capacity: 1)
        unsafe received.initialize(to: vhu_fds())
        unsafe raw = unsafe vhu_first_fd(received)
    }

    deinit {
        for index in 0..<count { unsafe OwnedDescriptor.closeReceived(raw[index], of: account) }
        unsafe received.deallocate()
    }

    var isEmpty: Bool { count == 0 && !wasTruncated }

    /// All of them, still owned here; valid until the next change.
    var all: UnsafeBufferPointer<Int32> { unsafe UnsafeBufferPointer(start: raw, count: count) }

    /// The first one, still owned here.
    var first: Int32? { unsafe count > 0 ? raw[0] : nil }

    /// One of them, still owned here; nil: there are fewer.
    subscript(index: Int) -> Int32? { unsafe index >= 0 && index < count ? raw[index] : nil }

    /// What the library knows of them.
    enum Kind {
        case unknown
        /// Each is of a file that this process has mapped.
        case mapped
        /// The same, of a file in memory or on a local disk.
        case local
    }

    @_optimize(speed)
    mutating func closeAll(_ kind: Kind = .unknown) {
        if case .local = kind {
            for index in 0..<count { unsafe OwnedDescriptor.close(raw[index]) }
        } else {
            closeWithCare(from: 0, isMapped: kind == .mapped)
        }
        count = 0
        wasTruncated = false
    }

    @inline(never)
    private func closeWithCare(from first: Int, isMapped: Bool) {
        for index in first..<count { unsafe OwnedDescriptor.closeReceived(raw[index], of: account, isMapped: isMapped) }
    }

    /// Gives the first one away; the others are closed.
    mutating func takeFirst() -> OwnedDescriptor? {
        guard count > 0 else { return nil }
        let descriptor = unsafe OwnedDescriptor(owning: raw[0], of: account)
        closeWithCare(from: 1, isMapped: false)
        count = 0
        return descriptor
    }

    /// Makes one recvmsg that never waits. Returns how many bytes came (0: the peer has closed). Call it when this is empty.
    @inline(__always)
    mutating func receive(from socket: Int32, into bytes: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        var truncated = false
        let pointer = unsafe received
        unsafe pointer.pointee.count = 0
        // SAFETY: `bytes` is as long as it says.
        let got = try systemCall(.recvmsg) {
            unsafe vhu_recvmsg(socket, bytes.baseAddress, bytes.count, pointer, &truncated)
        }
        count = unsafe Int(pointer.pointee.count)
        wasTruncated = truncated
        if count == ReceivedDescriptors.capacity { dropExcess() }
        return got
    }

    @inline(never)
    private mutating func dropExcess() {
        guard let more = unsafe received.pointee.more else { return }
        for index in 0..<Int(unsafe received.pointee.more_count) {
            unsafe OwnedDescriptor.closeReceived(more[index], of: account)
        }
        unsafe free(more)
        unsafe received.pointee.more = nil
        unsafe received.pointee.more_count = 0
        wasTruncated = true
    }
}

extension Socket {
    /// Makes one sendmsg that never waits. Returns how many bytes went.
    @inline(__always)
    static func send(_ bytes: UnsafeRawBufferPointer, to socket: Int32, descriptor: Int32? = nil) throws(Errno) -> Int {
        var fd = descriptor ?? -1
        return try systemCall(.sendmsg) {
            unsafe vhu_sendmsg(socket, bytes.baseAddress, bytes.count, &fd, descriptor == nil ? 0 : 1)
        }
    }

    /// The same with several descriptors. EINVAL: more than a message may carry.
    static func send(_ bytes: UnsafeRawBufferPointer, to socket: Int32, descriptors: [Int32]) throws(Errno) -> Int {
        try systemCall(.sendmsg) {
            unsafe vhu_sendmsg(socket, bytes.baseAddress, bytes.count, descriptors, Int32(clamping: descriptors.count))
        }
    }
}
