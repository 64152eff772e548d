// SPDX-License-Identifier: BSD-3-Clause

/// The payload of GET_INFLIGHT_FD, of its reply, and of SET_INFLIGHT_FD. It describes an area in a file in which a back-end
/// tracks the requests in flight. It has 20 bytes, which C compilers pad to 24. The library sends 24 and accepts both.
struct InflightDescription: Equatable {
    static let size = 24
    private static let unpaddedSize = 20

    /// Bytes.
    var length: UInt64
    /// First byte in the file.
    var fileOffset: UInt64
    var queues: UInt16
    var queueSize: UInt16

    init(length: UInt64 = 0, fileOffset: UInt64 = 0, queues: UInt16, queueSize: UInt16) {
        self.length = length
        self.fileOffset = fileOffset
        self.queues = queues
        self.queueSize = queueSize
    }

    init?(_ payload: UnsafeRawBufferPointer) {
        guard payload.count == InflightDescription.size || payload.count == InflightDescription.unpaddedSize,
            let length = unsafe payload.integer(at: 0, as: UInt64.self),
            let fileOffset = unsafe payload.integer(at: 8, as: UInt64.self),
            let queues = unsafe payload.integer(at: 16, as: UInt16.self),
            let queueSize = unsafe payload.integer(at: 18, as: UInt16.self)
        else { return nil }
        self.init(length: length, fileOffset: fileOffset, queues: queues, queueSize: queueSize)
    }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        unsafe payload.store(integer: length, at: 0)
        unsafe payload.store(integer: fileOffset, at: 8)
        unsafe payload.store(integer: queues, at: 16)
        unsafe payload.store(integer: queueSize, at: 18)
        unsafe payload.store(integer: 0 as UInt32, at: 20)
    }
}
