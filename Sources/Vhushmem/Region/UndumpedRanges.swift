// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Mappings that still must be left out of core dumps: the kernel is told of those of one dispatch at once, and each of them is
/// live.
@safe struct UndumpedRanges: ~Copyable {
    /// As many as a dispatch serves.
    private static let capacity = 64

    private let ranges: UnsafeMutablePointer<iovec>
    private var count = 0
    private var bytes = 0
    /// The error since the last question; the asker holds no lock.
    private var failure: Errno?

    init() {
        unsafe ranges = .allocate(capacity: UndumpedRanges.capacity)
    }

    deinit {
        unsafe ranges.deallocate()
    }

    @inline(__always) var isEmpty: Bool { count == 0 }

    @_optimize(speed)
    @inline(__always)
    mutating func append(_ address: UnsafeMutableRawPointer, _ length: Int) {
        // SAFETY: the last of `count` ranges, which are fewer than the capacity when one is added.
        if count > 0, unsafe ranges[count &- 1].iov_base + ranges[count &- 1].iov_len == address {
            unsafe ranges[count &- 1].iov_len = unsafe ranges[count &- 1].iov_len &+ length
            bytes = bytes &+ length
            return
        }
        if count == UndumpedRanges.capacity { leaveOut() }
        unsafe (ranges + count).initialize(to: iovec(iov_base: address, iov_len: length))
        count = count &+ 1
        bytes = bytes &+ length
    }

    /// Call it before any of them goes.
    mutating func leaveOut() {
        let given = unsafe UnsafeBufferPointer(start: ranges, count: count)
        let all = bytes
        count = 0
        bytes = 0
        // A single range uses the plain call, which every kernel has.
        if given.count > 1, MemoryCalls.knowsAdviceForMany, unsafe (try? MemoryCalls.advise(given, MADV_DONTDUMP)) == all {
            return
        }
        // swift-format-ignore
        for unsafe range in unsafe given {
            do throws(Errno) {
                try unsafe MemoryCalls.advise(range.iov_base, range.iov_len, MADV_DONTDUMP)
            } catch {
                failure = error
            }
        }
    }

    mutating func takeFailure() -> Errno? {
        defer { failure = nil }
        return failure
    }
}
