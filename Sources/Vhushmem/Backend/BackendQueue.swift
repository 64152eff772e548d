// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// An event of a virtqueue of a back-end.
public enum BackendQueueEvent {
    /// Chains can be taken from now on.
    case started
    /// The driver has put something in, or may have before the queue was started: take chains until there are no more.
    case kicked
    /// No more chains can be taken. Give the chains that the device holds back now; later it is too late.
    case stopped
    /// The driver or the front-end sent an impossible value. The library ignores the queue until it is set up again. No
    /// `stopped` follows, and the chains that the device holds cannot be given back.
    case broken(ShmemError)
}

/// The front-end's description of a queue, message by message.
struct QueueSetup {
    /// Entries; 0: not known yet.
    var size: UInt16 = 0
    /// The index of the available ring to begin with.
    var base: UInt16 = 0
    var addresses: VringAddresses?
    var kick = Kick.unsaid
    var call: SharedDescriptor?
    var err: SharedDescriptor?
    var isEnabled = false
    /// SET_VRING_ENABLE has come.
    var enableWasSaid = false

    /// How the driver tells that it has put something in.
    enum Kick {
        case unsaid
        /// The device polls, or messages tell.
        case withoutDescriptor
        case eventfd(SharedDescriptor)
    }

    /// nil: something that a queue needs to run is missing.
    var runnableAddresses: VringAddresses? {
        if case .unsaid = kick { return nil }
        return isEnabled && size > 0 ? addresses : nil
    }
}

/// A virtqueue of a back-end: the front-end's description of it, and its state.
final class BackendQueue {
    let index: Int
    /// A front-end may set up only a few of the queues that a device has.
    var setup: QueueSetup {
        get { said?.setup ?? QueueSetup() }
        set {
            if let said { said.setup = newValue } else { said = Said(newValue) }
        }
    }
    // A look at one of its descriptors, without a copy of all.
    var kick: SharedDescriptor? {
        if case .eventfd(let kick)? = said?.setup.kick { kick } else { nil }
    }
    var call: SharedDescriptor? { said?.setup.call }
    var err: SharedDescriptor? { said?.setup.err }

    /// nil: the front-end has said nothing.
    private var said: Said?

    private final class Said {
        var setup: QueueSetup

        init(_ setup: QueueSetup) { self.setup = setup }
    }

    private(set) var state = State.stopped
    /// It exists in all states but `stopped`.
    private(set) var ring: Virtqueue?
    private let rings: StartedRings
    /// The kick of a queue that was stopped, while others go on. One of them may have the same eventfd.
    var leftKick: SharedDescriptor?
    var lastKick: SharedDescriptor? { kick ?? leftKick }
    /// It was kicked when the back-end was about to drain the kick of another queue.
    var wasKicked = false
    /// Notices for the driver that could not be sent.
    var owed: Notices = []

    /// The notices of a queue that a driver gets by its eventfds, or by messages.
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
        /// It runs, and the device must be told so, and then that it was kicked.
        case starting
        /// It runs, and the device must get KICKED: the queue was kicked, or the device must look at it without a kick.
        case due
        /// It runs, and there is nothing to report.
        case running
        /// The driver or the front-end sent an impossible value.
        case broken
    }

    /// `rings` learns which the ring of this queue is.
    init(_ index: Int, _ rings: StartedRings) {
        self.index = index
        self.rings = rings
    }

    /// Makes it as it was before a front-end has said anything.
    func forget() {
        move(to: .stopped)
        said = nil
        leftKick = nil
        owed = []
    }

    /// The first of the moves below.
    func start(_ ring: Virtqueue) {
        self.ring = ring
        leftKick = nil
        rings.set(index, ring)
        move(to: .starting)
    }

    /// The only way from one state to another:
    /// - stopped or paused to starting, when it has all that it needs and is enabled;
    /// - starting to due to running, as the device gets the events; and back to due, when it must look at the queue again;
    /// - from these three to paused, when it is disabled or its kick cannot be waited for, and when the connection ends;
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

    /// It runs; the back-end waits for its kick, if there is one.
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
