// SPDX-License-Identifier: BSD-3-Clause

/// The rings of a back-end's started queues, by number: where `pop` and `push` look, which count no references for it. `BackendQueue.ring` holds
/// each that is here.
@safe struct StartedRings {
    private let rings: UnsafeMutableBufferPointer<Unmanaged<Virtqueue>?>

    init(count: Int) {
        unsafe rings = .allocate(capacity: count)
        unsafe rings.initialize(repeating: nil)
    }

    /// To be called by the owner when it goes.
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

    /// `index`: a queue's.
    func set(_ index: Int, _ ring: Virtqueue?) {
        guard unsafe rings.indices.contains(index) else { return }
        unsafe rings[index] = unsafe ring.map { unsafe .passUnretained($0) }
    }
}
