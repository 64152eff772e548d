// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The VMM's side of a vhost-user connection: a state machine that readiness drives. One thread at a time uses it. Any thread
/// may use its device and regions.
///
/// `start` or `connect` begins. From then on a loop waits for `pollDescriptor` to be readable and calls `dispatch`, which never
/// waits and reports events through `onEvent`. When the connection is over for good, `dispatch` throws ENOTCONN.
public final class Frontend {
    /// Exists from the start, and has its regions from `ready` on.
    public private(set) var device: ShmemDevice
    /// As they were given.
    public let options: FrontendOptions
    /// Receives the events, with no lock held. It may call any function of the front-end. It also receives the events that came
    /// before it was first set; they wait up to a bound.
    ///
    /// It goes with the connection, after its last event: `disconnected`, unless the front-end looks for its back-end again, or
    /// `close`. What it captures is released then, the front-end included.
    public var onEvent: ((Frontend, FrontendEvent) -> Void)? {
        didSet {
            eventQueue.callbackChanged(isSet: onEvent != nil)
            watch()
            if onEvent != nil, isOver { letCallbacksGo() }
        }
    }

    /// Performs the back-end's other requests, before they are answered: IOTLB_MSG, VRING_HOST_NOTIFIER, VRING_CALL, VRING_ERR,
    /// and those that this library does not know. Without it they are refused; an error that it throws refuses them too. It
    /// goes when `onEvent` does.
    public var onRequest: ((Frontend, OtherRequest) throws(ShmemError) -> RequestAnswer)?

    /// Microseconds.
    private static let pauseBetweenStarts: UInt64 = 20_000

    /// Only `move(to:)` changes it.
    var phase = Phase.idle
    var eventQueue = EventQueue<FrontendEvent>()
    var setup: DeviceSetup
    var history = ConnectionHistory()
    var loops = SessionLoops()
    /// For objects that the front-end owns and that call it: a program may drop the front-end at any time.
    let way = BackReference<Frontend>()

    var address: BackendAddress { setup.backend }
    var shmem: ProtocolFeatures { .shmem(bit: options.shmemBit) }

    // In both, every property has its value before anything is thrown: Embedded Swift leaks an object whose initialiser gives
    // up earlier.

    /// Makes a front-end for a back-end behind a Unix socket path. Nothing is opened yet.
    ///
    /// - Parameters:
    ///   - path: the path of the socket; one that begins with @ names an abstract socket.
    ///   - options: its options.
    /// - Throws: EINVAL (an option, or the path is empty), ENAMETOOLONG.
    public convenience init(path: String, options: FrontendOptions = FrontendOptions()) throws(ShmemError) {
        try self.init(path: SocketPath(path), options: options)
    }

    init(path: SocketPath, options: FrontendOptions) throws(ShmemError) {
        setup = DeviceSetup(of: BackendAddress(path: path))
        self.options = options
        device = ShmemDevice(options.device)
        way.point(at: self)
        try Frontend.check(options)
        do throws(Errno) {
            _ = try path.makeAddress()
        } catch {
            throw ShmemError(error.code, "no socket can be at the path \"\(path.text)\": \(Errno.text(error.code))")
        }
    }

    /// Makes a front-end on a connected Unix stream socket.
    ///
    /// - Parameters:
    ///   - socket: the descriptor; it is closed with the session, and if this throws.
    ///   - options: its options.
    /// - Throws: EINVAL (an option, or it is another kind of descriptor), EBADF.
    public convenience init(
        socket: consuming OwnedDescriptor, options: FrontendOptions = FrontendOptions()
    ) throws(ShmemError) {
        try self.init(socket: socket.raw, options: options)
        // The front-end owns the descriptor now.
        _ = socket.release()
    }

    /// The same for a descriptor that stays the caller's if this throws.
    init(socket: Int32, options: FrontendOptions = FrontendOptions()) throws(ShmemError) {
        setup = DeviceSetup(of: BackendAddress(path: nil))
        self.options = options
        device = ShmemDevice(options.device)
        way.point(at: self)
        try Frontend.check(options)
        guard options.reconnectIntervalLimit.count == 0 else {
            throw ShmemError(EINVAL, "a front-end on a given socket cannot reconnect: that takes a path")
        }
        guard !options.isServer else {
            throw ShmemError(EINVAL, "a front-end on a given socket cannot listen: that takes a path")
        }
        try Socket.requireConnectedStream(socket)
        address.socket = OwnedDescriptor(owning: socket)
    }

    /// A Swift program may just drop it, whatever is under way: then this is `close`. It calls no callback, because that would
    /// receive the object that goes. It calls each pending completion.
    deinit {
        options.sharedObjects?.removeAll(of: self)
        way.end()
        setup.shares.connectionEnded(isForGood: true)
        stopWatching()
        let unanswered = connection?.close() ?? []
        ShmemDevice.leave(&device, keepsMappings: keepsMappingsAtEnd)
        for call in unanswered { call.complete(.failure(Frontend.freed)) }
        // A start waits for a change of memory.
        setup.memory.whenTold.take()?()
        for completion in eventQueue.takeCompletions() { completion() }
    }

    private static var freed: ShmemError { ShmemError(ECONNABORTED, "the front-end was freed") }

    private static func check(_ options: FrontendOptions) throws(ShmemError) {
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

    /// The features of this connection, or of the last one.
    var negotiated: Negotiated {
        // Until a back-end that came back has told its features, those of the last one count.
        if let connection, connection.negotiated.features != 0 { return connection.negotiated }
        return history.negotiated
    }
    /// The virtio features that the back-end offers.
    public var features: UInt64 { negotiated.features }
    /// The protocol features that both sides agreed on.
    public var protocolFeatures: ProtocolFeatures { negotiated.protocolFeatures }
    /// How many queues the back-end can have; 1 if it cannot tell.
    public var maximumQueues: UInt64 { negotiated.maximumQueues }
    var config: SharedMemoryConfig? { isReady ? negotiated.config : nil }

    /// The eventfd that the back-end signals for a queue that is started without one of its own. The first call makes it, and
    /// it stays the same.
    ///
    /// - Parameter queue: its number.
    /// - Returns: the descriptor, which stays the front-end's; nil: the front-end was not started, it has no such queue, or the
    ///   process can have no more descriptors.
    public func callDescriptor(queue: Int) -> Int32? {
        let made = try? makeCall(ofQueue: queue)
        return made ?? nil
    }

    /// The same. nil: it was not started.
    func makeCall(ofQueue queue: Int) throws(Errno) -> Int32? {
        guard queue >= 0, queue < Int(options.queues) else { throw Errno(EINVAL) }
        if case .idle = phase { return nil }
        return try setup.call(ofQueue: queue).fd
    }

    // MARK: Begin

    /// Gives the device a region, for a back-end that cannot tell its regions. Once the program has given one, the front-end
    /// does not ask the back-end.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - size: bytes, a multiple of the page size.
    /// - Throws: EBUSY once the front-end was started, and what `ShmemDevice.addRegion` throws.
    public func addRegion(shmid: UInt8, size: UInt64) throws(ShmemError) {
        guard case .idle = phase else { throw ShmemError(EBUSY, "the front-end was started: regions are given before that") }
        try device.addRegion(shmid: shmid, size: size, options: options.region)
        setup.regions.areGiven = true
    }

    /// Connects or listens, and shakes hands as `dispatch` finds the socket ready; `ready` or `disconnected` reports the
    /// outcome.
    ///
    /// - Throws: EBUSY (it was started before), or the errno of socket, bind, listen or connect: ECONNREFUSED, ENOENT,
    ///   EADDRINUSE ...
    public func start() throws(ShmemError) {
        guard case .idle = phase else { throw ShmemError(EBUSY, "the front-end was started before") }
        do throws(Errno) {
            try setup.errorSignal()
            loops.alarm = try device.state.useAlarm()
            EventSignal.prepare()
            try open()
        } catch {
            throw ShmemError(
                error.code,
                "cannot \(options.isServer ? "listen at" : "connect to") \(address.path?.text ?? "the socket"): "
                    + "\(Errno.text(error.code)) (errno \(error.code))")
        }
        watch()
    }

    /// Starts, and dispatches until the handshake is done or has failed. If nothing listens at the path, it tries again until
    /// the time is up.
    ///
    /// - Parameter timeout: the limit for the whole; nil: only each request's own limit.
    /// - Throws: what `start` throws, and the error that ended the handshake: ETIMEDOUT, ECONNRESET (the back-end went away),
    ///   EPROTO (it broke the protocol, or refused a request).
    public func connectAndWait(timeout: Duration? = nil) throws(ShmemError) {
        try connect(limit: timeout.map { Milliseconds($0) })
    }

    func connect(limit: Milliseconds?) throws(ShmemError) {
        let deadline = limit.map { Clock.now() &+ $0.microseconds }
        try startWhenThere(until: deadline)
        while !isReady {
            if let ending = history.ending { throw ending }
            do throws(Errno) {
                guard try pollTargets.wait(until: deadline) else {
                    end(ShmemError(ETIMEDOUT, "the handshake was not done in time: \(waitingFor)"))
                    throw Errno(ETIMEDOUT)
                }
            } catch {
                throw history.ending ?? ShmemError(error.code, "cannot wait for the back-end: \(Errno.text(error.code))")
            }
            _ = dispatch(.both)
        }
    }

    /// A back-end that starts together with its VMM may listen a moment later. So it is no failure that nothing listens yet,
    /// while there is time.
    private func startWhenThere(until deadline: UInt64?) throws(ShmemError) {
        while true {
            do throws(ShmemError) {
                return try start()
            } catch {
                let next = Clock.now() &+ Frontend.pauseBetweenStarts
                guard error.code == ENOENT || error.code == ECONNREFUSED, next < deadline ?? .max else { throw error }
                _ = try? Readiness.wait(for: (-1, 0), until: next)
            }
        }
    }

    var waitingFor: String {
        if case .listening = phase { return "no back-end has connected" }
        return connection?.waitingFor ?? "the back-end reads no more requests"
    }

    /// The descriptor that stands for all that the front-end waits for, deadlines included: readable when there is something to
    /// dispatch, and from the end of the connection on. The front-end owns it; it stays the same for the front-end's life.
    ///
    /// - Returns: the descriptor.
    /// - Throws: EMFILE, ENFILE, ENOMEM.
    public func pollDescriptor() throws(ShmemError) -> Int32 {
        try waitDescriptor()
    }

    // MARK: End

    /// Ends the connection without an event and lets every loop go. When it returns, nothing is mapped any more, except
    /// mappings that the options keep.
    public func close() { close(isLast: false) }

    /// `isLast`: the caller is the last owner and lets go of the front-end.
    func close(isLast: Bool) {
        // The callbacks go last. Code that runs when they go may dispatch, and must find that the front-end is over.
        let callbacks = (onEvent, onRequest)
        defer { withExtendedLifetime(callbacks) {} }
        onEvent = nil
        onRequest = nil
        endForGood(Frontend.freed, unmaps: !isLast)
        // The program may have mapped something since the connection ended.
        if isLast {
            ShmemDevice.leave(&device, keepsMappings: keepsMappingsAtEnd)
        } else if !options.keepsMappings {
            device.unmapAll()
        }
        letLoopsGo()
    }

    /// A reset that the end of the connection has interrupted undoes mappings, even if the options keep them.
    private var keepsMappingsAtEnd: Bool { options.keepsMappings && !setup.undoesAtEnd }
}

/// The address of the back-end: a path, or the other end of a socket.
final class BackendAddress {
    /// nil: the program gave a socket.
    let path: SocketPath?
    /// The given socket, until the connection begins.
    var socket: OwnedDescriptor?

    init(path: SocketPath?) {
        self.path = path
    }
}
