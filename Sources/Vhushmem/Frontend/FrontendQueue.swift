// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The setup of a virtqueue for a back-end: a split ring in guest memory.
public struct FrontendQueue {
    /// Entries; a power of two, at most 32768.
    public var size: UInt16
    /// Address of the descriptor table in this process.
    public var descriptors: UInt64
    /// Address of the available ring in this process.
    public var available: UInt64
    /// Address of the used ring in this process.
    public var used: UInt64
    /// The index of the available ring from which the back-end takes buffers.
    public var base: UInt16
    /// The back-end may serve it. It learns this at the start, and by `Frontend.setQueueEnabled` while the device runs.
    var isEnabled = true
    /// nil: the queue is not used.
    let kick: SharedDescriptor?
    /// nil: the one that the handshake made.
    let call: SharedDescriptor?

    /// A queue that the driver has not set up. It keeps its place among the others, and the back-end does not hear of it.
    public static var unused: FrontendQueue { FrontendQueue() }

    var isUsed: Bool { kick != nil }

    private init() {
        size = 0
        descriptors = 0
        available = 0
        used = 0
        base = 0
        kick = nil
        call = nil
    }

    /// Describes a queue that the driver has set up. Its rings are at addresses of this process.
    ///
    /// - Parameters:
    ///   - size: entries.
    ///   - descriptors: address of the descriptor table.
    ///   - available: address of the available ring.
    ///   - used: address of the used ring.
    ///   - base: the entry of the available ring that is served next.
    ///   - kickFd: the eventfd that the guest signals, which is duplicated.
    ///   - callFd: the eventfd that the back-end signals, which is duplicated; nil: the one of `Frontend.callDescriptor`.
    /// - Throws: EINVAL (the size), EBADF, EMFILE.
    public init(
        size: UInt16, descriptors: UInt64, available: UInt64, used: UInt64, base: UInt16 = 0, kickFd: Int32,
        callFd: Int32? = nil
    ) throws(ShmemError) {
        guard size > 0, size <= 1 << 15, size & (size &- 1) == 0 else {
            throw ShmemError(EINVAL, "a split virtqueue has a power of two of entries, at most 32768, and not \(size)")
        }
        do throws(Errno) {
            kick = SharedDescriptor(try OwnedDescriptor.duplicate(kickFd))
            if let callFd { call = SharedDescriptor(try OwnedDescriptor.duplicate(callFd)) } else { call = nil }
        } catch {
            throw ShmemError(error.code, "cannot duplicate the descriptors of a queue: \(Errno.text(error.code))")
        }
        self.size = size
        self.descriptors = descriptors
        self.available = available
        self.used = used
        self.base = base
    }
}

// MARK: Messages about queues

extension FrontendQuestion where Answer == Void {
    static func setFeatures(_ features: UInt64) -> FrontendQuestion {
        unsafe FrontendQuestion(.setFeatures, encoded(8) { unsafe $0.store(integer: features, at: 0) })
    }

    static func vring(_ request: FrontendRequest, _ queue: Int, _ number: UInt32) -> FrontendQuestion {
        let state = VringState(queue: UInt32(clamping: queue), number: number)
        return unsafe FrontendQuestion(request, encoded(VringState.size, state.encode))
    }

    static func vringAddresses(_ index: Int, _ queue: FrontendQueue) -> FrontendQuestion {
        let addresses = VringAddresses(
            queue: UInt32(clamping: index), descriptors: queue.descriptors, used: queue.used, available: queue.available)
        return unsafe FrontendQuestion(.setVringAddr, encoded(VringAddresses.size, addresses.encode))
    }

    static func vringDescriptor(_ request: FrontendRequest, _ queue: Int, _ descriptor: SharedDescriptor) -> FrontendQuestion {
        let vring = VringDescriptor(queue: UInt8(truncatingIfNeeded: queue), hasDescriptor: true)
        return unsafe FrontendQuestion(
            request, encoded(8) { unsafe $0.store(integer: vring.encoded, at: 0) }, descriptors: [descriptor])
    }
}

extension FrontendQuestion where Answer == UInt16 {
    /// GET_VRING_BASE: stops a queue, and tells where it stopped.
    static func vringBase(_ queue: Int) -> FrontendQuestion {
        let state = VringState(queue: UInt32(clamping: queue), number: 0)
        return unsafe FrontendQuestion(
            request: .getVringBase, payload: encoded(VringState.size, state.encode)
        ) { reply throws(ShmemError) in
            let answer = unsafe reply.payload.withUnsafeBytes { unsafe VringState($0) }
            guard let answer, answer.queue == state.queue, let base = UInt16(exactly: answer.number) else {
                throw ShmemError(EPROTO, "the back-end's reply to GET_VRING_BASE of queue \(queue) makes no sense")
            }
            return base
        }
    }
}
