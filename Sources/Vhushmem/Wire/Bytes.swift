// SPDX-License-Identifier: BSD-3-Clause

/// Reads and writes integers in host byte order at byte offsets, never outside the buffer.
extension UnsafeRawBufferPointer {
    /// The integer at `offset`; nil if it is not wholly inside.
    @inline(__always)
    func integer<Value: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as type: Value.Type = Value.self) -> Value? {
        let (end, overflow) = offset.addingReportingOverflow(MemoryLayout<Value>.size)
        guard offset >= 0, !overflow, end <= count else { return nil }
        // SAFETY: offset..<end was just found to be inside the buffer; loadUnaligned asks for no alignment.
        return unsafe loadUnaligned(fromByteOffset: offset, as: type)
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Stores an integer; false: it would not be wholly inside, and nothing is stored.
    @inline(__always)
    @discardableResult
    func store<Value: FixedWidthInteger & BitwiseCopyable>(integer value: Value, at offset: Int) -> Bool {
        let (end, overflow) = offset.addingReportingOverflow(MemoryLayout<Value>.size)
        guard offset >= 0, !overflow, end <= count else { return false }
        // SAFETY: offset..<end was just found to be inside the buffer.
        unsafe storeBytes(of: value, toByteOffset: offset, as: Value.self)
        return true
    }
}
