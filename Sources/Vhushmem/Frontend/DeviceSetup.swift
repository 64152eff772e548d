// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What the VMM has set up and the guest has seen. It outlives each connection: the front-end tells all of it to a back-end
/// that comes back.
struct DeviceSetup {
    /// The address of the back-end.
    let backend: BackendAddress
    var features: UInt64 = 0
    var memory = MemoryTableState()
    var shares = SharedRegions()
    var queues: [FrontendQueue] = []
    var inflight: InflightArea?
    var run = Run.stopped
    /// A number that changes with each reset.
    var life: UInt = 0
    var reset = Reset.none
    var regions = Regions()
    /// The eventfds that the back-end signals, by queue.
    private var calls: [SharedDescriptor?] = []
    /// The eventfd that the back-end signals when it breaks a queue. One is enough for all queues, because the status tells
    /// which.
    private(set) var error: SharedDescriptor?

    init(of backend: BackendAddress) {
        self.backend = backend
    }

    /// The eventfd that the back-end signals for a queue. The first call makes it, and it stays the same.
    mutating func call(ofQueue queue: Int) throws(Errno) -> SharedDescriptor {
        while calls.count <= queue { calls.append(nil) }
        if let call = calls[queue] { return call }
        let made = SharedDescriptor(try Readiness.makeEventfd())
        calls[queue] = made
        return made
    }

    /// The same if it was made.
    func madeCall(ofQueue queue: Int) -> SharedDescriptor? {
        calls.indices.contains(queue) ? calls[queue] : nil
    }

    @discardableResult
    mutating func errorSignal() throws(Errno) -> SharedDescriptor {
        if let error { return error }
        let made = SharedDescriptor(try Readiness.makeEventfd())
        error = made
        return made
    }

    /// Mappings are undone in the turns of the loop: none are made meanwhile.
    var isUndoing = false
    /// Some are just now, and those who listen are told.
    var isCallingOut = false
    /// What is told when none is left: the back-end has answered a reset; the channel was lost.
    var isAnswered = false
    var tellsChannelLoss = false
    /// The end of the connection undoes what is mapped.
    var undoesAtEnd = false

    enum Run {
        case stopped
        /// The back-end is being told how to run.
        case starting
        /// Started, and neither stopped nor reset since.
        case started
    }

    /// What a reset waits for.
    enum Reset {
        /// Nothing: there is no reset.
        case none
        /// The back-end's answer.
        case answer
        /// A back-end: there was none when the program asked for the reset, or it was lost before it answered.
        case backend
    }

    struct Regions {
        /// The VMM gave them, so the front-end does not ask the back-end.
        var areGiven = false
        /// The back-end's regions when the front-end became ready for the first time. One that comes back must have the same.
        var known: SharedMemoryConfig?
    }

    /// The front-end was ready before.
    var wasReady: Bool { regions.known != nil }

    /// The device does not run any more. A reset leaves this state.
    mutating func forgetRunning() {
        if run == .started { run = .stopped }
        life &+= 1
        // Requests in flight belong to the device before the reset.
        inflight = nil
    }
}

/// The history of connections that may be over.
struct ConnectionHistory {
    let counters = RequestCounters()
    /// The reason why the last connection ended.
    var ending: ShmemError?
    /// The reason why the channel was lost.
    var channelLoss: ShmemError?
    /// The features of the last connection.
    var negotiated = Negotiated()
}
