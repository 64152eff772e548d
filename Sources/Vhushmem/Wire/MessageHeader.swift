// SPDX-License-Identifier: BSD-3-Clause

/// The 12 bytes before every payload.
struct MessageHeader: Equatable {
    static let size = 12

    /// Bits of `flags`.
    static let versionMask: UInt32 = 0x3
    static let version: UInt32 = 0x1
    static let replyBit: UInt32 = 0x4
    static let needReplyBit: UInt32 = 0x8
    static let replyFlags = version | replyBit

    var request: UInt32
    var flags: UInt32
    var size: UInt32

    init(request: UInt32, flags: UInt32, size: UInt32) {
        self.request = request
        self.flags = flags
        self.size = size
    }

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard let request = unsafe bytes.integer(at: 0, as: UInt32.self),
            let flags = unsafe bytes.integer(at: 4, as: UInt32.self),
            let size = unsafe bytes.integer(at: 8, as: UInt32.self)
        else { return nil }
        self.init(request: request, flags: flags, size: size)
    }

    func encode(into bytes: UnsafeMutableRawBufferPointer) {
        unsafe bytes.store(integer: request, at: 0)
        unsafe bytes.store(integer: flags, at: 4)
        unsafe bytes.store(integer: size, at: 8)
    }

    var hasVersion1: Bool { flags & MessageHeader.versionMask == MessageHeader.version }
    var isReply: Bool { flags & MessageHeader.replyBit != 0 }
    var needsReply: Bool { flags & MessageHeader.needReplyBit != 0 }
    /// Flag bits without a meaning in the specification.
    var reservedFlags: UInt32 { flags & ~(MessageHeader.versionMask | MessageHeader.replyBit | MessageHeader.needReplyBit) }
}
