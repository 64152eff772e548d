// SPDX-License-Identifier: BSD-3-Clause

/// The 12 bytes before the data in GET_CONFIG and SET_CONFIG: a range of the device's configuration space.
///
/// GET_CONFIG carries as many bytes as it asks for, and so does the reply. A reply with no bytes says that the back-end failed.
struct ConfigAccess: Equatable {
    static let size = 12
    /// The largest configuration space that this library supports, in bytes.
    static let largestSpace: UInt32 = 1 << 16
    /// A bit of `flags`. Without it, the driver writes.
    static let migrates: UInt32 = 1

    var offset: UInt32
    var length: UInt32
    var flags: UInt32

    init(offset: UInt32, length: UInt32, flags: UInt32 = 0) {
        self.offset = offset
        self.length = length
        self.flags = flags
    }

    /// nil unless exactly the bytes that it names follow it.
    init?(_ payload: UnsafeRawBufferPointer) {
        guard let offset = unsafe payload.integer(at: 0, as: UInt32.self),
            let length = unsafe payload.integer(at: 4, as: UInt32.self),
            let flags = unsafe payload.integer(at: 8, as: UInt32.self),
            Int(exactly: length) == payload.count &- ConfigAccess.size
        else { return nil }
        self.init(offset: offset, length: length, flags: flags)
    }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        unsafe payload.store(integer: offset, at: 0)
        unsafe payload.store(integer: length, at: 4)
        unsafe payload.store(integer: flags, at: 8)
    }
}
