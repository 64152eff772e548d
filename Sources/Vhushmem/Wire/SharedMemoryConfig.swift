// SPDX-License-Identifier: BSD-3-Clause

/// The reply to GET_SHMEM_CONFIG: 2056 bytes. The index of a size is the region's id; 0 means that there is no such region.
struct SharedMemoryConfig: Equatable {
    static let maximumRegions = 256
    static let size = 8 + maximumRegions * 8

    /// What the peer says is the number of sizes that are not zero. It need not be true.
    var statedRegions: UInt32
    private(set) var sizes: [UInt64]

    init() {
        statedRegions = 0
        sizes = [UInt64](repeating: 0, count: SharedMemoryConfig.maximumRegions)
    }

    /// nil unless the payload is exactly as long as it has to be.
    init?(_ payload: UnsafeRawBufferPointer) {
        guard payload.count == SharedMemoryConfig.size, let stated = unsafe payload.integer(at: 0, as: UInt32.self) else {
            return nil
        }
        self.init()
        statedRegions = stated
        for (index, _) in sizes.enumerated() {
            guard let size = unsafe payload.integer(at: 8 &+ index &* 8, as: UInt64.self) else { return nil }
            sizes[index] = size
        }
    }

    subscript(shmid: UInt8) -> UInt64 {
        get { sizes[Int(shmid)] }
        set { sizes[Int(shmid)] = newValue }
    }

    /// How many regions the sizes describe.
    var regionCount: Int {
        sizes.reduce(0) { $1 == 0 ? $0 : $0 &+ 1 }
    }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        unsafe payload.store(integer: UInt32(truncatingIfNeeded: regionCount), at: 0)
        unsafe payload.store(integer: 0 as UInt32, at: 4)
        for (index, size) in sizes.enumerated() {
            unsafe payload.store(integer: size, at: 8 &+ index &* 8)
        }
    }
}
