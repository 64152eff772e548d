// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Where a queue goes on after its back-end was lost. The rings are the driver's memory, which may be gone too: they are copied by the
/// kernel, which answers with an error.
extension FrontendQueue {
    /// A back-end that is gone can't tell where it stopped. What it has not used is to be taken again, and the used ring's index says where
    /// that begins: if it used what it took in order. Throws the errno of reading the rings.
    ///
    /// - Returns: false if it used requests out of order and left earlier ones: there is no index from which exactly the rest would be taken.
    ///   That can be seen as long as no more requests were made than the queue has entries; beyond that the rings have forgotten.
    mutating func goOnFromUsed() throws(Errno) -> Bool {
        let usedIndex = try FrontendQueue.word(at: used &+ 2)
        let done = usedIndex &- base
        if done > 0, done <= size, try FrontendQueue.word(at: available &+ 2) &- base <= size, try !usedInOrder(done) {
            return false
        }
        base = usedIndex
        return true
    }

    /// Whether what was used since `base` is what was made available first.
    private func usedInOrder(_ done: UInt16) throws(Errno) -> Bool {
        var missing: [UInt16] = []
        var early: [UInt16] = []
        for step in 0..<done {
            let entry = UInt64((base &+ step) & (size &- 1))
            let taken = try FrontendQueue.word(at: available &+ 4 &+ 2 &* entry)
            let back = try FrontendQueue.word(at: used &+ 4 &+ 8 &* entry)
            guard taken != back else { continue }
            FrontendQueue.settle(taken, in: &missing, against: &early)
            FrontendQueue.settle(back, in: &early, against: &missing)
        }
        return missing.isEmpty
    }

    /// Each head that was taken is to be used, and each that was used was taken.
    private static func settle(_ head: UInt16, in mine: inout [UInt16], against other: inout [UInt16]) {
        if let match = other.firstIndex(of: head) { other.remove(at: match) } else { mine.append(head) }
    }

    private static func word(at address: UInt64) throws(Errno) -> UInt16 {
        var value: UInt16 = 0
        guard let source = UnsafeMutableRawPointer(bitPattern: UInt(address)) else { throw Errno(EFAULT) }
        let copied = try withUnsafeMutableBytes(of: &value) { bytes throws(Errno) in
            try bytes.baseAddress.map { start throws(Errno) in try MemoryCalls.copy(from: source, to: start, 2) }
        }
        guard copied == 2 else { throw Errno(EFAULT) }
        return UInt16(littleEndian: value)
    }
}
