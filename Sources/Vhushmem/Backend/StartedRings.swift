// SPDX-License-Identifier: BSD-3-Clause

/// The rings of a back-end's started queues, by number. `pop` and `push` look here, and so count no references.
/// `BackendQueue.ring` holds each of them.
@safe struct StartedRings {
    private let rings: UnsafeMutableBufferPointer<Unmanaged<Virtqueue>?>

    init(count: Int) {
        unsafe rings = .allocate(capacity: count)
        unsafe rings.initialize(repeating: nil)
    }

    /// The owner calls this when it goes.
    func deallocate() {
        unsafe rings.deallocate()
    }

    /// nil: the queue is not started, or there is none of this number.
    @inline(__always)
    subscript(index: Int) -> Unmanaged<Virtqueue>? {
        guard index >= 0, unsafe index < rings.count else { return nil }
        // SAFETY: the number was just looked at.
        return unsafe rings[index]
    }

    /// `index`: the number of a queue.
    func set(_ index: Int, _ ring: Virtqueue?) {
        guard unsafe rings.indices.contains(index) else { return }
        unsafe rings[index] = unsafe ring.map { unsafe .passUnretained($0) }
    }
}
