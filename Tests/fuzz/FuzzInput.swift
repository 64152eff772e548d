// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The bytes of one input, taken from the front. Zeros follow the end.
struct FuzzInput {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    var isEmpty: Bool { at >= bytes.count }

    mutating func byte() -> UInt8 {
        guard at < bytes.count else { return 0 }
        defer { at += 1 }
        return bytes[at]
    }

    mutating func word() -> UInt64 {
        var word: UInt64 = 0
        for shift in 0..<8 { word |= UInt64(byte()) << UInt64(shift * 8) }
        return word
    }
}

/// Ends the process with a sentence unless the fact holds. Embedded Swift's own traps say nothing.
func require(_ fact: Bool, _ sentence: StaticString) {
    guard !fact else { return }
    _ = write(2, sentence.utf8Start, sentence.utf8CodeUnitCount)
    _ = write(2, "\n", 1)
    abort()
}
