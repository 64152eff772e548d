// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The separate mappings of this process, as /proc/self/maps lists them. The kernel limits how many there may be
/// (vm.max_map_count).
struct ProcessMaps: ~Copyable {
    static let bufferSize = 1 << 15

    private let file: OwnedDescriptor
    private var address: UInt = 0
    private var isInAddress = true

    init() throws(Errno) {
        file = OwnedDescriptor(owning: try systemCall(.open) { unsafe vhu_open_read_only("/proc/self/maps") })
    }

    /// Calls `body` with the first address of each of the next mappings, in ascending order, until it has read `most` or some
    /// more. False: there are no more.
    ///
    /// It takes 0.4 to 1 µs for each mapping. It may miss what is mapped meanwhile. `base` has room for `bufferSize` bytes.
    mutating func next(
        _ most: Int, readingInto base: UnsafeMutableRawPointer, _ body: (UInt) -> Void
    ) throws(Errno) -> Bool {
        var passed = 0
        while passed < most {
            let count = try systemCall(.read) { unsafe read(file.raw, base, ProcessMaps.bufferSize) }
            if count == 0 { return false }
            // SAFETY: read filled `count` bytes of the buffer.
            // swift-format-ignore
            for unsafe byte in unsafe UnsafeRawBufferPointer(start: base, count: count) {
                if byte == UInt8(ascii: "\n") {
                    address = 0
                    isInAddress = true
                } else if isInAddress {
                    if let digit = ProcessMaps.hexDigit(byte) {
                        address = address &<< 4 | digit
                    } else {
                        isInAddress = false
                        passed &+= 1
                        body(address)
                    }
                }
            }
        }
        return true
    }

    private static func hexDigit(_ byte: UInt8) -> UInt? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt(byte &- UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt(byte &- UInt8(ascii: "a") &+ 10)
        default: nil
        }
    }
}
