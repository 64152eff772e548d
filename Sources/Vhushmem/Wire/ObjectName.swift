// SPDX-License-Identifier: BSD-3-Clause

/// The payload of the SHARED_OBJECT messages: the 16 bytes of a UUID.
struct ObjectName: Equatable {
    static let size = 16

    private let first: UInt64
    private let second: UInt64

    init?(_ payload: UnsafeRawBufferPointer) {
        guard payload.count == ObjectName.size, let first = unsafe payload.integer(at: 0, as: UInt64.self),
            let second = unsafe payload.integer(at: 8, as: UInt64.self)
        else { return nil }
        self.first = first
        self.second = second
    }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        unsafe payload.store(integer: first, at: 0)
        unsafe payload.store(integer: second, at: 8)
    }
}
