// SPDX-License-Identifier: BSD-3-Clause

/// The same as arrays.
extension DescriptorChain {
    /// Copies from the readable part.
    ///
    /// - Parameters:
    ///   - offset: bytes from the beginning of the readable part on.
    ///   - count: bytes at the most. What the driver offers may be far larger than what a device wants at once.
    /// - Returns: the bytes; fewer than `count` where the readable part ends.
    public func read(at offset: UInt64 = 0, count: Int) -> [UInt8] {
        let left = readableSize > offset ? readableSize &- offset : 0
        let count = min(max(0, count), Int(clamping: left))
        return unsafe [UInt8](unsafeUninitializedCapacity: count) { bytes, filled in
            filled = unsafe read(
                at: offset, into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(bytes)[..<count]))
        }
    }

    /// Copies to the writable part.
    ///
    /// - Parameters:
    ///   - bytes: what is to be written.
    ///   - offset: bytes from the beginning of the writable part on.
    /// - Returns: for how many bytes there was room.
    @discardableResult
    public func write(_ bytes: [UInt8], at offset: UInt64 = 0) -> Int {
        unsafe bytes.withUnsafeBytes { unsafe write($0, at: offset) }
    }
}
