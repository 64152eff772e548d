// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Finds where a queue continues after its back-end was lost. The rings are the driver's memory, which may be gone too. So the
/// kernel copies them, and answers with an error then.
extension FrontendQueue {
    /// A back-end that is gone cannot tell where it stopped. The requests that it has not used must be taken again. The used
    /// ring's index says where they begin, if the back-end used the requests in order. Throws the errno of reading the rings.
    ///
    /// - Returns: false if it used requests out of order and left earlier ones: there is no index from which exactly the rest
    ///   would be taken. That can be seen as long as there were no more requests than the queue has entries; beyond that the
    ///   rings have forgotten.
    mutating func goOnFromUsed() throws(Errno) -> Bool {
        let usedIndex = try FrontendQueue.word(at: used &+ 2)
        let done = usedIndex &- base
        if done > 0, done <= size, try FrontendQueue.word(at: available &+ 2) &- base <= size, try !usedInOrder(done) {
            return false
        }
        base = usedIndex
        return true
    }

    /// Whether the requests that were used since `base` are those that were made available first, in whichever order. The lost
    /// back-end may have written anything there. The time that this takes depends only on the size of the queue.
    private func usedInOrder(_ done: UInt16) throws(Errno) -> Bool {
        let entries = Int(size)
        // Both rings, each copied at once.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: 10 &* entries, alignment: 8)
        defer { unsafe copy.deallocate() }
        let taken = unsafe UnsafeMutableRawBufferPointer(rebasing: copy[(8 &* entries)...])
        let back = unsafe UnsafeMutableRawBufferPointer(rebasing: copy[..<(8 &* entries)])
        try unsafe FrontendQueue.read(taken, at: available &+ 4)
        try unsafe FrontendQueue.read(back, at: used &+ 4)
        // How often each head was taken and not used.
        var open = [Int32](repeating: 0, count: entries)
        for step in 0..<done {
            let entry = Int((base &+ step) & (size &- 1))
            guard let head = unsafe taken.word(at: 2 &* entry), let other = unsafe back.word(at: 8 &* entry) else {
                return false
            }
            if head == other { continue }
            guard head < size, other < size else { return false }
            open[Int(head)] &+= 1
            open[Int(other)] &-= 1
        }
        return open.allSatisfy { $0 == 0 }
    }

    private static func word(at address: UInt64) throws(Errno) -> UInt16 {
        var value: UInt16 = 0
        try unsafe withUnsafeMutableBytes(of: &value) { bytes throws(Errno) in try unsafe read(bytes, at: address) }
        return UInt16(littleEndian: value)
    }

    private static func read(_ bytes: UnsafeMutableRawBufferPointer, at address: UInt64) throws(Errno) {
        guard let source = unsafe UnsafeMutableRawPointer(bitPattern: UInt(address)), let start = bytes.baseAddress,
            try unsafe MemoryCalls.copy(from: source, to: start, bytes.count) == bytes.count
        else { throw Errno(EFAULT) }
    }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate func word(at offset: Int) -> UInt16? {
        unsafe UnsafeRawBufferPointer(self).integer(at: offset)
    }
}
