// SPDX-License-Identifier: BSD-3-Clause

/// Reads and writes with arrays.
extension DescriptorChain {
    /// Copies from the readable part.
    ///
    /// - Parameters:
    ///   - offset: first byte in the readable part.
    ///   - count: the most bytes to copy. The driver may offer far more than a device wants at once.
    /// - Returns: the bytes; fewer than `count` if the readable part ends.
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
    ///   - bytes: the bytes to write.
    ///   - offset: first byte in the writable part.
    /// - Returns: how many bytes had room.
    @discardableResult
    public func write(_ bytes: [UInt8], at offset: UInt64 = 0) -> Int {
        unsafe bytes.withUnsafeBytes { unsafe write($0, at: offset) }
    }
}
