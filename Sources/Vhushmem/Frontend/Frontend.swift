// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The VMM's side of a vhost-user connection: a state machine that readiness drives. One thread at a time; its device and regions
/// may be used from any thread.
///
/// `start` or `connect` begins. From then on a loop waits for `pollDescriptor` to be readable and calls `dispatch`, which never waits
/// and tells what happened through `onEvent`.
public final class Frontend: Pollable {
    /// The longest message on the main socket, but for a larger configuration space.
    private static let capacity = 8192
    var capacity: Int { max(Frontend.capacity, MessageHeader.size &+ ConfigAccess.size &+ Int(options.maximumConfigSize)) }

    /// Exists from the start, and has its regions from `ready` on.
    public let device: Device
    /// As they were given.
    public let options: FrontendOptions
    /// Called with no lock held; it may call anything of the front-end.
    public var onEvent: ((Frontend, FrontendEvent) -> Void)?

    /// Carries out what the back-end asks besides mappings, before it is answered. Without it such requests are refused. IOTLB_MSG,
    /// VRING_HOST_NOTIFIER, VRING_CALL and VRING_ERR come here, and what this library does not know.
    public var onRequest: ((Frontend, OtherRequest) -> RequestAnswer)?

    let path: String?
    var shmem: ProtocolFeatures { .shmem(bit: options.shmemBit) }

    enum Phase {
        /// `restoring`: a back-end that came back is told what the one before it knew. `away`: until the next attempt.
        case idle, listening, shakingHands, restoring, ready, away, over
    }
    var phase = Phase.idle
    /// Tells that a mapping has become broken, or that something is covered for the moment.
    private(set) var alarm: Alarm?
    var given: FileDescriptor?
    var listener: Listener?
    var acceptPause = AcceptPause()
    var main: MessageStream?
    var channel: BackendChannel?
    let counters = RequestCounters()
    /// Why the channel was lost, and why the last connection ended that has; for the status.
    var loss: ShmemError?
    var lastEnding: ShmemError?
    var step = HandshakeStep.getFeatures
    var awaited: AwaitedReply?
    /// What the VMM asks for, in its order.
    var calls: [FrontendCall] = []
    /// A step or a call could not be sent, because the socket was full.
    var mustSendAgain = false
    /// By when it must have gone (microseconds); nil: nothing waits.
    var sendDeadline: UInt64?
    var isResetting = false
    /// A reset was asked for while there was no back-end that could be told.
    var mustResetWhenReady = false
    var regionsAreGiven = false
    var negotiated = Negotiated()
    /// The back-end's end of the channel, until it has been sent.
    var channelForBackend: FileDescriptor?
    var callFds: [SharedDescriptor] = []
    var errFds: [SharedDescriptor] = []
    var running = RunningState()
    /// What the back-end said when the front-end became ready for the first time; who comes back has to say the same.
    var knownRegions: SharedMemoryConfig?
    var wasReady: Bool { knownRegions != nil }
    /// When to look for a back-end again (microseconds), in the phase `away`.
    var nextAttempt: UInt64?
    var ending: ShmemError?
    var loops = SessionLoops()

    // In both, every property has its value before anything is thrown: Embedded Swift leaks an object whose initialiser gives up
    // earlier.

    /// A front-end for a back-end behind a Unix socket path. Nothing is opened yet. Throws EINVAL (an option), ENAMETOOLONG.
    public init(path: String, options: FrontendOptions = FrontendOptions()) throws(ShmemError) {
        self.path = path
        self.options = options
        device = Device(options.device)
        try Frontend.check(options)
        guard case .fits = Socket.Address(path: path) else {
            throw ShmemError(ENAMETOOLONG, "the path \(path) does not fit into a socket address")
        }
    }

    /// A front-end on a connected Unix stream socket, which it takes over if it succeeds. Throws EINVAL (an option, or it is another
    /// kind of descriptor), EBADF.
    public init(socket: Int32, options: FrontendOptions = FrontendOptions()) throws(ShmemError) {
        path = nil
        self.options = options
        device = Device(options.device)
        try Frontend.check(options)
        guard options.reconnectInterval == 0 else {
            throw ShmemError(EINVAL, "there is no way back to the other end of a socket: reconnecting takes a path")
        }
        do throws(Errno) {
            try Socket.requireUnixStream(socket)
        } catch {
            throw ShmemError(error.code, "the descriptor \(socket) is no Unix stream socket")
        }
        given = FileDescriptor(owning: socket)
    }

    static func check(_ options: FrontendOptions) throws(ShmemError) {
        guard ProtocolFeatures.isShmemBit(options.shmemBit) else {
            throw ShmemError(EINVAL, "SHMEM is bit 22, or 20 or 21 with old back-ends, and never \(options.shmemBit)")
        }
        guard (1...256).contains(options.queues) else {
            throw ShmemError(EINVAL, "a device has 1 to 256 queues, and not \(options.queues)")
        }
        guard options.maximumConfigSize <= ConfigAccess.largestSpace else {
            throw ShmemError(EINVAL, "a configuration space has at most \(ConfigAccess.largestSpace) bytes")
        }
    }

    // MARK: State

    /// The handshake is done and the connection is not over.
    public var isReady: Bool { phase == .ready }
    var isOver: Bool { phase == .over }
    /// The virtio features that the back-end offers.
    public var features: UInt64 { negotiated.features }
    /// The protocol features that both sides agreed on.
    public var protocolFeatures: ProtocolFeatures { negotiated.protocolFeatures }
    /// How many queues the back-end can have; 1 where it can't tell.
    public var maximumQueues: UInt64 { negotiated.maximumQueues }
    var config: SharedMemoryConfig? { isReady ? negotiated.config : nil }

    /// The eventfd that the back-end signals for a queue; nil: there is none (yet).
    public func callDescriptor(queue: Int) -> Int32? {
        callFds.indices.contains(queue) ? callFds[queue].fd : nil
    }

    // MARK: Begin

    /// A region of a back-end that can't tell which it has. Once one was given, the back-end is not asked. Throws EBUSY once the
    /// front-end was started, and what `Device.addRegion` throws.
    public func addRegion(id: UInt8, size: UInt64) throws(ShmemError) {
        guard phase == .idle else { throw ShmemError(EBUSY, "regions are given before the front-end is started") }
        try device.addRegion(id: id, size: size, options: options.region)
        regionsAreGiven = true
    }

    /// Connects or listens, and shakes hands as `dispatch` finds the socket ready; `ready` or `disconnected` tells how it ended. Throws
    /// EBUSY (it was started before), or the errno of socket, bind, listen or connect: ECONNREFUSED, ENOENT, EADDRINUSE ...
    public func start() throws(ShmemError) {
        guard phase == .idle else { throw ShmemError(EBUSY, "the front-end was started before") }
        do throws(Errno) {
            for _ in 0..<options.queues {
                callFds.append(SharedDescriptor(try Readiness.makeEventfd()))
                errFds.append(SharedDescriptor(try Readiness.makeEventfd()))
            }
            alarm = try device.state.useAlarm()
            if let socket = given.take() { talk(through: socket) } else { try open() }
        } catch {
            callFds = []
            errFds = []
            throw ShmemError(
                error.code,
                "cannot \(options.isServer ? "listen at" : "connect to") \(path ?? "the socket"): "
                    + "\(Errno.text(error.code)) (errno \(error.code))")
        }
        checkTime()
        watch()
    }

    func open() throws(Errno) {
        guard let path else { return }
        if options.isServer {
            listener = try Socket.listen(at: path)
            phase = .listening
        } else {
            talk(through: try Socket.connect(to: path))
        }
    }

    /// start, and dispatch until the handshake is done or has failed. `timeout`: milliseconds; nil: each request's own limit alone.
    ///
    /// Throws what `start` does, and what ended the handshake: ETIMEDOUT, ECONNRESET (the back-end went away), EPROTO (it sent what it
    /// must not, or refused a request).
    public func connect(timeout: UInt32? = nil) throws(ShmemError) {
        let deadline = timeout.map { Clock.now() &+ UInt64($0) &* 1000 }
        try start()
        while phase != .ready {
            if let ending { throw ending }
            do throws(Errno) {
                guard try pollTargets.wait(until: deadline) else {
                    let late = ShmemError(ETIMEDOUT, "the handshake was not done in time: \(waitingFor)")
                    end(late)
                    throw Errno(ETIMEDOUT)
                }
            } catch {
                throw ending ?? ShmemError(error.code, "waiting for the back-end: \(Errno.text(error.code))")
            }
            _ = dispatch(.both)
        }
    }

    var waitingFor: String {
        if phase == .listening { return "no back-end has connected" }
        if let awaited { return "the back-end has not answered \(awaited.name)" }
        return "the back-end takes no more requests"
    }

    // MARK: Run

    var pollTargets: PollTargets {
        var targets = PollTargets()
        if let fd = listenerDescriptor, acceptPause.until == nil { targets.first = .init(fd: fd, events: Int16(POLLIN)) }
        if let main {
            let wantsToWrite = mustSendAgain || main.hasUnsent
            targets.first = .init(fd: main.fd, events: Int16(POLLIN | (wantsToWrite ? POLLOUT : 0)))
        }
        targets.second = channel?.pollTarget
        targets.alarm = alarm.map { PollTargets.Target(fd: $0.fd, events: Int16(POLLIN)) }
        var deadline = earliest(earliest(awaited?.deadline, sendDeadline), earliest(main?.deadline, nextAttempt))
        deadline = earliest(earliest(deadline, acceptPause.until), device.state.careDeadline)
        if let channel, !channel.stream.hasUnsent {
            deadline = channel.hasMore ? 0 : earliest(deadline, channel.stream.deadline)
        }
        targets.deadline = deadline
        return targets
    }

    var listenerDescriptor: Int32? {
        switch listener {
        case .some(let listener): listener.fd
        case .none: nil
        }
    }

    /// Does what can be done without waiting. Returns how many messages were taken, or -ENOTCONN: not started yet, or over.
    @discardableResult
    public func dispatch() -> Int32 {
        dispatch(.both)
    }

    @_optimize(speed)
    func dispatch(_ ready: ReadyTargets) -> Int32 {
        guard phase != .over, phase != .idle else { return -ENOTCONN }
        var taken: Int32 = 0
        if alarm?.wasRaised() == true { tellNews() }
        if device.state.careDeadline != nil { careForMappings() }
        if nextAttempt != nil { lookAgain() }
        if phase == .listening { accept() }
        if ready.contains(.first) || isOrdered || mustSendAgain || main?.deadline != nil { taken = readMain() }
        if isOrdered {
            taken &+= serveInOrder()
        } else if let channel, ready.contains(.second) || channel.hasMore || channel.stream.deadline != nil {
            taken &+= serve(channel)
        }
        checkTime()
        watch()
        return taken
    }

    /// The descriptor that stands for all that the front-end waits for, deadlines included: readable when there is something to
    /// dispatch. It stays the front-end's and the same for its life. Throws EMFILE, ENFILE, ENOMEM.
    public func pollDescriptor() throws(ShmemError) -> Int32 {
        try waitDescriptor()
    }

    // MARK: Reset and end

    /// Undoes every mapping, tells the back-end where that was negotiated, and refuses what it asked for before. The event `reset` tells
    /// that it is complete. Throws ENOTCONN (not ready), EALREADY (a reset is under way; what is mapped was undone all the same).
    public func reset() throws(ShmemError) {
        guard phase == .ready else {
            // Whoever comes back finds a device that was reset. It may have mapped something by then, or before it was lost.
            if wasReady {
                forgetRunning()
                mustResetWhenReady = phase != .over
            }
            throw ShmemError(ENOTCONN, "there is no back-end to reset")
        }
        let wasRunning = running.isStarted || running.isStarting
        forgetRunning()
        guard phase == .ready else { throw ShmemError(ENOTCONN, "the connection ended while mappings were undone") }
        if isResetting { throw ShmemError(EALREADY, "a reset is under way") }
        isResetting = true
        channel?.isResetting = true
        if protocolFeatures.contains(.resetDevice) {
            // Before all that waits: it was asked of the device as it is no more.
            let call = FrontendCall(FrontendRequest.resetDevice.rawValue) { [self] outcome in
                switch outcome {
                case .success: finishReset()
                case .failure(let error): end(ShmemError(EPROTO, "\(error.message)"))
                }
            }
            calls.insert(call, at: 0)
            sendCalls()
        } else if wasRunning {
            // What it can be told instead: its queues stop, and the status is 0 where there is one.
            FrontendSequence(stopSteps { _ in }).run(on: self) { [self] error in
                if let error { end(ShmemError(EPROTO, "\(error.message)")) } else { finishReset() }
            }
        } else {
            finishReset()
        }
        checkTime()
        watch()
    }

    func finishReset() {
        isResetting = false
        counters.resets &+= 1
        channel?.endReset()
        // What was served between the reset and the back-end's answer was refused: this is for what other threads may have mapped.
        device.unmapAll()
        emit(.reset)
    }

    /// Ends the connection without an event and lets every loop go.
    public func close() {
        // They go last: what is run when they do may dispatch, and must find that it is over.
        let callbacks = (onEvent, onRequest)
        defer { withExtendedLifetime(callbacks) {} }
        onEvent = nil
        onRequest = nil
        end(ShmemError(ECONNABORTED, "the front-end was freed"), forGood: true)
        letLoopsGo()
    }

    func end(_ error: ShmemError, forGood: Bool = false) {
        guard phase != .over, phase != .away || forGood else { return }
        let comesBack = wasReady && options.reconnectInterval > 0 && !forGood
        let wasUp = phase == .ready
        phase = comesBack ? .away : .over
        nextAttempt = nil
        ending = error
        lastEnding = error
        mustSendAgain = false
        sendDeadline = nil
        let wasResetting = isResetting
        isResetting = false
        // The back-end may have lost the connection before it heard of the reset.
        mustResetWhenReady = comesBack && (mustResetWhenReady || wasResetting)
        running.memory.told = []
        stopWatching()
        main = nil
        channel?.isClosed = true
        channel = nil
        listener = nil
        acceptPause.end()
        given = nil
        channelForBackend = nil
        // From here on others are called, who may dispatch: the connection is gone already, and none is looked for before they know.
        if wasResetting { forgetRunning() }
        if !wasReady, !regionsAreGiven {
            device.removeRegions()
        } else if !options.keepsMappings {
            device.unmapAll()
        }
        options.sharedObjects?.removeAll(of: self)
        failCalls(error)
        if comesBack {
            guard phase == .away else { return }
            // Who listens can begin at once, but not for one that would not do; who connects gives the back-end time to start.
            nextAttempt = options.isServer && wasUp ? Clock.now() : attemptAfterPause
        }
        watch()
        emit(.disconnected(error))
    }

    /// What a listener does while mappings are undone may end the connection: then its end is the last that is told.
    @inline(__always)
    func emit(_ event: FrontendEvent) {
        if phase == .over || phase == .away {
            guard case .disconnected = event else { return }
        }
        onEvent?(self, event)
    }
}
