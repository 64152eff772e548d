// SPDX-License-Identifier: BSD-3-Clause

/// The payload of SET_LOG_BASE: the place of the bits in a file. 16 bytes.
struct LogDescription: Equatable {
    static let size = 16

    /// Bytes.
    var length: UInt64
    var fileOffset: UInt64

    init(length: UInt64, fileOffset: UInt64) {
        self.length = length
        self.fileOffset = fileOffset
    }

    init?(_ payload: UnsafeRawBufferPointer) {
        guard payload.count == LogDescription.size, let length = unsafe payload.integer(at: 0, as: UInt64.self),
            let fileOffset = unsafe payload.integer(at: 8, as: UInt64.self)
        else { return nil }
        self.init(length: length, fileOffset: fileOffset)
    }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        unsafe payload.store(integer: length, at: 0)
        unsafe payload.store(integer: fileOffset, at: 8)
    }
}
