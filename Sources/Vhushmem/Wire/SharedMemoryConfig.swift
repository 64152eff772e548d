// SPDX-License-Identifier: BSD-3-Clause

/// The reply to GET_SHMEM_CONFIG: 2056 bytes. The index of a size is the region's id; 0 means that there is no such region.
struct SharedMemoryConfig: Equatable {
    static let maximumRegions = 256
    static let size = 8 + maximumRegions * 8

    /// The number of sizes that are not zero, as the peer states it. It may be false.
    var statedRegions: UInt32
    /// The sizes up to the last that is not 0: most devices have one region or two, and a front-end keeps this for its life.
    private var sizes: [UInt64] = []

    init() {
        statedRegions = 0
    }

    /// nil unless the payload has exactly the right length.
    init?(_ payload: UnsafeRawBufferPointer) {
        guard payload.count == SharedMemoryConfig.size, let stated = unsafe payload.integer(at: 0, as: UInt32.self) else {
            return nil
        }
        self.init()
        statedRegions = stated
        for shmid in 0...UInt8.max {
            guard let size = unsafe payload.integer(at: 8 &+ Int(shmid) &* 8, as: UInt64.self) else { return nil }
            if size != 0 { self[shmid] = size }
        }
    }

    subscript(shmid: UInt8) -> UInt64 {
        get { Int(shmid) < sizes.count ? sizes[Int(shmid)] : 0 }
        set {
            while sizes.count <= Int(shmid) { sizes.append(0) }
            sizes[Int(shmid)] = newValue
            while sizes.last == 0 { sizes.removeLast() }
        }
    }

    /// How many regions the sizes describe.
    var regionCount: Int {
        sizes.reduce(0) { $1 == 0 ? $0 : $0 &+ 1 }
    }

    func encode(into payload: UnsafeMutableRawBufferPointer) {
        unsafe payload.store(integer: UInt32(truncatingIfNeeded: regionCount), at: 0)
        unsafe payload.store(integer: 0 as UInt32, at: 4)
        for shmid in 0...UInt8.max {
            unsafe payload.store(integer: self[shmid], at: 8 &+ Int(shmid) &* 8)
        }
    }
}
