// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The separate mappings of this process, as /proc/self/maps lists them. The kernel limits how many there may be
/// (vm.max_map_count).
enum ProcessMaps {
    static let bufferSize = 1 << 15

    /// Calls `body` with the first address of each, in ascending order. False: /proc cannot be read.
    ///
    /// It takes 0.4 to 1 µs for each mapping. It may miss what other threads map meanwhile. `base` has room for `bufferSize`
    /// bytes.
    static func forEachStart(readingInto base: UnsafeMutableRawPointer, _ body: (UInt) -> Void) -> Bool {
        guard let fd = try? systemCall(.open, { unsafe vhu_open_read_only("/proc/self/maps") }) else { return false }
        let file = OwnedDescriptor(owning: fd)
        var address: UInt = 0
        var isInAddress = true
        while true {
            guard let count = try? systemCall(.read, { unsafe read(file.raw, base, bufferSize) }) else { return false }
            if count == 0 { return true }
            // SAFETY: read filled `count` bytes of the buffer.
            // swift-format-ignore
            for unsafe byte in unsafe UnsafeRawBufferPointer(start: base, count: count) {
                if byte == UInt8(ascii: "\n") {
                    address = 0
                    isInAddress = true
                } else if isInAddress {
                    if let digit = hexDigit(byte) {
                        address = address &<< 4 | digit
                    } else {
                        isInAddress = false
                        body(address)
                    }
                }
            }
        }
    }

    private static func hexDigit(_ byte: UInt8) -> UInt? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt(byte &- UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt(byte &- UInt8(ascii: "a") &+ 10)
        default: nil
        }
    }
}
