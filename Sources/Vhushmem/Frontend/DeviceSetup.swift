// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// What the VMM has set up and the guest has seen. It outlives each connection: a back-end that comes back is told all of it again.
struct DeviceSetup {
    /// Where the back-end is.
    let backend: BackendAddress
    var features: UInt64 = 0
    var memory = MemoryTableState()
    var shares = SharedRegions()
    var queues: [FrontendQueue] = []
    var inflight: InflightBook?
    var run = Run.stopped
    /// Another number after each reset.
    var life: UInt = 0
    var reset = Reset.none
    var regions = Regions()
    /// What the back-end signals, by queue.
    private var calls: [SharedDescriptor?] = []
    /// What it signals when it breaks a queue. One is enough for all of them, since the status tells.
    private(set) var error: SharedDescriptor?

    init(of backend: BackendAddress) {
        self.backend = backend
    }

    /// The eventfd that the back-end signals for a queue: made for the first who needs it, and the same from then on.
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

    /// A reset undoes mappings still; and the back-end has answered it meanwhile.
    var isUndoing = false
    var isAnswered = false

    enum Run {
        case stopped
        /// The back-end is being told how to run.
        case starting
        /// Started, and neither stopped nor reset since.
        case started
    }

    /// What a reset waits for.
    enum Reset {
        /// Nothing: there is none.
        case none
        /// For the back-end's answer.
        case answer
        /// For a back-end: it was asked for without one, or the one that was told was lost before it answered.
        case backend
    }

    struct Regions {
        /// The VMM gave them, so the back-end is not asked.
        var areGiven = false
        /// What the back-end said when the front-end became ready for the first time; one that comes back must say the same.
        var known: SharedMemoryConfig?
    }

    /// The front-end was ready before.
    var wasReady: Bool { regions.known != nil }

    /// The device does not run any more: what a reset leaves.
    mutating func forgetRunning() {
        if run == .started { run = .stopped }
        life &+= 1
        // Requests in flight belong to the device as it was before the reset.
        inflight = nil
    }
}

/// What is told about connections that may be over.
struct ConnectionHistory {
    let counters = RequestCounters()
    /// Why the last connection ended.
    var ending: ShmemError?
    /// Why the channel was lost.
    var channelLoss: ShmemError?
    /// What was agreed on over the last connection.
    var negotiated = Negotiated()
}
