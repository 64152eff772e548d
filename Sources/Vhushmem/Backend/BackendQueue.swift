// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What happened to a virtqueue of a back-end.
public enum BackendQueueEvent {
    /// From now on chains can be taken.
    case started
    /// The driver has put something in, or may have before the queue was started: take chains until there are no more.
    case kicked
    /// No more chains are to be taken. Those that the device holds are given back now, or never.
    case stopped
    /// The driver, or the front-end, did what can't be; the queue is not touched until it is set up again. No `stopped` follows, and the
    /// chains that the device holds can't be given back.
    case broken(ShmemError)
}

/// What the front-end has said about a queue, message by message.
struct QueueSetup {
    /// Entries; 0: not said.
    var size: UInt16 = 0
    /// Where in the available ring to begin.
    var base: UInt16 = 0
    var addresses: VringAddresses?
    var kick = Kick.unsaid
    var call: SharedDescriptor?
    var err: SharedDescriptor?
    var isEnabled = false
    /// By SET_VRING_ENABLE.
    var enableWasSaid = false

    /// How the driver tells that it has put something in.
    enum Kick {
        case unsaid
        /// The device looks by itself, or messages tell.
        case withoutDescriptor
        case eventfd(SharedDescriptor)
    }

    /// nil: something is missing that a queue needs to run.
    var runnableAddresses: VringAddresses? {
        if case .unsaid = kick { return nil }
        return isEnabled && size > 0 ? addresses : nil
    }
}

/// A virtqueue of a back-end: what the front-end has said about it, and what becomes of it.
final class BackendQueue {
    let index: Int
    /// A front-end may set up few of the queues that a device has.
    var setup: QueueSetup {
        get { said?.setup ?? QueueSetup() }
        set {
            if let said { said.setup = newValue } else { said = Said(newValue) }
        }
    }
    /// nil: the front-end has said nothing.
    private var said: Said?

    private final class Said {
        var setup: QueueSetup

        init(_ setup: QueueSetup) { self.setup = setup }
    }

    private(set) var state = State.stopped
    /// There in all states but `stopped`.
    private(set) var ring: Virtqueue?
    private let rings: StartedRings
    /// The driver was to be told, and there was nothing to tell it by.
    var owed: Notices = []

    /// What a driver is told of a queue by its eventfds, or by messages.
    struct Notices: OptionSet {
        let rawValue: UInt8
        static let call = Notices(rawValue: 1)
        static let error = Notices(rawValue: 2)
    }

    enum State {
        /// The front-end sets it up.
        case stopped
        /// It was started, and is not enabled. Chains that the device holds can be given back.
        case paused
        /// It runs, and the device is to be told so; and then that it was kicked.
        case starting
        /// It runs, and the device is to be told that it was kicked: it was, or the device has to look at it all the same.
        case due
        /// It runs, and there is nothing to tell.
        case running
        /// The driver, or the front-end, did what can't be.
        case broken
    }

    /// `rings` is told which the ring of this queue is.
    init(_ index: Int, _ rings: StartedRings) {
        self.index = index
        self.rings = rings
    }

    /// It is as it was before a front-end has said anything.
    func forget() {
        move(to: .stopped)
        said = nil
        owed = []
    }

    /// The first of the moves below.
    func start(_ ring: Virtqueue) {
        self.ring = ring
        rings.set(index, ring)
        move(to: .starting)
    }

    /// The only way from one state to another:
    /// - stopped or paused to starting, when it has all that it needs and is enabled;
    /// - starting to due to running, as the device is told; and back to due, when it is to look at the queue again;
    /// - from these three to paused, when it is disabled or its kick can't be waited for, and when the connection ends;
    /// - from these three and from paused to broken;
    /// - any to stopped, when the front-end asks where it stopped, with a reset, and when the connection ends.
    func move(to next: State) {
        assert(isMove(to: next) && (ring != nil || next == .stopped))
        state = next
        if next == .stopped {
            rings.set(index, nil)
            ring = nil
        }
        ring?.isAnnounced = isAnnounced
    }

    private func isMove(to next: State) -> Bool {
        switch (state, next) {
        case (.stopped, .starting), (.paused, .starting), (.starting, .due), (.due, .running), (.running, .due): true
        case (.paused, .broken): true
        case (_, .paused), (_, .broken): isRunning
        case (_, .stopped): true
        default: false
        }
    }

    /// It runs; its kick, if there is one, is among those that the back-end waits for.
    var isRunning: Bool {
        switch state {
        case .starting, .due, .running: true
        case .stopped, .paused, .broken: false
        }
    }

    /// The device was told that it runs, and not yet that it does not.
    var isAnnounced: Bool { state == .due || state == .running }
}

extension VirtqueueFault {
    func error(of queue: Int) -> ShmemError {
        ShmemError(EPROTO, "queue \(queue) is broken: \(sentence)")
    }
}
