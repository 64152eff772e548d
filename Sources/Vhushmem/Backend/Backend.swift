// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The device process's side of a vhost-user connection. One thread at a time.
///
/// `listen`, `connect` or `attach` begins. From then on a loop waits for `pollDescriptor` to be readable and calls `dispatch`, which
/// never waits and tells what happened through `onEvent`. After `negotiated`, `map` and `unmap` ask the front-end and wait for its answer.
public final class Backend: Pollable {
    /// Longer than any message of a front-end that is understood here, memory tables included, but for a larger configuration space.
    private static let capacity = 8192
    private static let messageTimeout: UInt64 = 5_000_000
    /// So many messages in one dispatch at the most.
    private static let messagesPerDispatch = 64
    private static let virtioVersion1: UInt64 = 1 << 32
    /// Addresses behind an IOMMU, packed virtqueues, use in order, kicks with data, and queues that are reset by themselves change how memory
    /// and messages are to be used, and here they are not. Logging of writes is offered by itself.
    private static let unsupportedFeatures: UInt64 = ProtocolFeatures.logAll | 1 << 33 | 1 << 34 | 1 << 35 | 1 << 38 | 1 << 40

    /// As they were given.
    public let options: BackendOptions
    /// Called with no lock held; it may call anything of the back-end.
    public var onEvent: ((Backend, BackendEvent) -> Void)?

    var shmem: ProtocolFeatures { .shmem(bit: options.shmemBit) }
    var config = SharedMemoryConfig()
    private var listener: Listener?
    var main: MessageStream?
    var channel: MessageStream?
    private var isFreed = false
    private var acceptPause = AcceptPause()
    /// The virtio features that the front-end accepted.
    public internal(set) var features: UInt64 = 0
    /// The protocol features that the front-end accepted.
    public internal(set) var protocolFeatures: ProtocolFeatures = []
    /// What the device does itself; to be set before a front-end comes.
    public internal(set) var handlers = BackendHandlers()
    let queues: [BackendQueue]
    /// What the front-end has told of guest memory.
    var memory = BackendMemory()
    /// The kicks of the queues that run; made for the first.
    var kicks: ReadableSet?
    var reports = Reports.none
    /// Raised when a front-end has taken memory away that it gave; made with the first memory.
    private var alarm: Alarm?
    /// Where chains are kept book of that were taken and not given back; nil: nowhere.
    var inflight: InflightFile?
    /// Where writes to guest memory are to be noted, and what to signal then; nil: nowhere, nothing.
    var log: WriteLog?
    var logCall: SharedDescriptor?
    /// The virtio device status.
    public internal(set) var status: UInt8 = 0
    /// A message of the front-end's is being served: its answer comes before that of any other.
    private(set) var isServing = false
    /// Requests of ours wait for their answers.
    var isAsking = false
    /// RESET_DEVICE was served, and the device has not been told yet.
    var wasReset = false
    /// The connection ends: queues are being stopped, and nothing that the front-end sent is served any more.
    private var isEnding = false
    /// GET_SHMEM_CONFIG was answered.
    var toldRegions = false
    var loops = SessionLoops()

    /// Whether some queue has something that the device is to be told of.
    enum Reports {
        case none, due
    }

    /// A back-end without regions. Throws EINVAL (an option).
    public init(_ options: BackendOptions = BackendOptions()) throws(ShmemError) {
        // First: Embedded Swift leaks an object whose initialiser gives up before every property has its value.
        self.options = options
        queues = (0..<Int(min(options.queues, 256))).map { BackendQueue($0) }
        guard ProtocolFeatures.isShmemBit(options.shmemBit) else {
            throw ShmemError(EINVAL, "SHMEM is bit 22, or 20 or 21 with old front-ends, and never \(options.shmemBit)")
        }
        guard (1...256).contains(options.queues) else {
            throw ShmemError(EINVAL, "a device has 1 to 256 queues, and not \(options.queues)")
        }
        guard options.features & Backend.unsupportedFeatures == 0 else {
            throw ShmemError(
                EINVAL, "the virtio features \(hex(options.features & Backend.unsupportedFeatures)) are not served here")
        }
        guard options.configSize <= ConfigAccess.largestSpace else {
            throw ShmemError(EINVAL, "a configuration space has at most \(ConfigAccess.largestSpace) bytes")
        }
    }

    /// Says what the device does itself. Throws EBUSY (a front-end is connected: what is offered is constant for it).
    public func setHandlers(_ handlers: BackendHandlers) throws(ShmemError) {
        guard main == nil else { throw ShmemError(EBUSY, "a front-end is connected") }
        self.handlers = handlers
    }

    /// Says that the device has a region of `size` bytes, a multiple of the page size. Throws EBUSY (a front-end is connected), EEXIST,
    /// EINVAL (the size).
    public func addRegion(id: UInt8, size: UInt64) throws(ShmemError) {
        let subject = ShmemError.Subject.region(shmid: id, size: size)
        guard main == nil else { throw ShmemError(EBUSY, subject, .text("a front-end is connected")) }
        guard config[id] == 0 else { throw ShmemError(EEXIST, subject, .exists) }
        guard size > 0 else { throw ShmemError(EINVAL, subject, .zeroLength) }
        guard size.isMultiple(ofPage: Page.size) else {
            throw ShmemError(EINVAL, subject, .unalignedLength(pageSize: Page.size))
        }
        config[id] = size
    }

    // MARK: Begin

    /// Listens at a path; one front-end at a time is served, the next one after it has gone. Throws EBUSY (there is a connection or a
    /// listener), or the errno of socket, bind or listen.
    public func listen(at path: String) throws(ShmemError) {
        try checkIdle()
        do throws(Errno) {
            listener = try Socket.listen(at: path)
        } catch {
            throw ShmemError(error.code, "cannot listen at \(path): \(Errno.text(error.code)) (errno \(error.code))")
        }
        watch()
    }

    /// Connects to a front-end that listens. Throws EBUSY, or the errno of connect.
    public func connect(to path: String) throws(ShmemError) {
        try checkIdle()
        do throws(Errno) {
            talk(through: try Socket.connect(to: path))
        } catch {
            throw ShmemError(error.code, "cannot connect to \(path): \(Errno.text(error.code)) (errno \(error.code))")
        }
        watch()
    }

    /// Uses a connected Unix stream socket, which it takes over if it succeeds. Throws EBUSY, EINVAL (it is another kind of descriptor),
    /// EBADF.
    public func attach(socket: Int32) throws(ShmemError) {
        try checkIdle()
        do throws(Errno) {
            try Socket.requireUnixStream(socket)
        } catch {
            throw ShmemError(error.code, "the descriptor \(socket) is no Unix stream socket")
        }
        talk(through: FileDescriptor(owning: socket))
        watch()
    }

    private func checkIdle() throws(ShmemError) {
        guard main == nil, listenerDescriptor == nil, !isFreed else {
            throw ShmemError(EBUSY, "the back-end has a connection or a listener")
        }
    }

    private func talk(through socket: consuming FileDescriptor) {
        let capacity = max(Backend.capacity, MessageHeader.size &+ ConfigAccess.size &+ Int(options.configSize))
        main = MessageStream(socket: socket, capacity: capacity, timeout: Backend.messageTimeout)
        emit(.connected)
    }

    // MARK: Run

    /// A front-end has its regions once it was told about them. One that does not ask has begun when it accepts features; and
    /// before a back-end that has no regions of its own it had them from the start.
    public var isNegotiated: Bool {
        guard channel != nil, protocolFeatures.contains(shmem) else { return false }
        return toldRegions || features != 0 || config.regionCount == 0
    }

    /// A back-end whose connection has ended may be given another one.
    var isOver: Bool { isFreed }

    private var listenerDescriptor: Int32? {
        switch listener {
        case .some(let listener): listener.fd
        case .none: nil
        }
    }

    var pollTargets: PollTargets {
        var targets = PollTargets()
        if let main {
            // A loop inside a callback finds nothing to do while a message is under way.
            if !isServing {
                targets.first = .init(fd: main.fd, events: Int16(main.hasUnsent ? POLLOUT : POLLIN))
                // While replies wait nothing is read, so nothing that waits to be read is something to do.
                if !main.hasUnsent { targets.deadline = main.hasBufferedMessage ? 0 : main.deadline }
            }
        } else if let until = acceptPause.until {
            targets.deadline = until
        } else if let fd = listenerDescriptor {
            targets.first = .init(fd: fd, events: Int16(POLLIN))
        }
        if let kicks { targets.second = .init(fd: kicks.fd, events: Int16(POLLIN)) }
        if reports == .due { targets.deadline = 0 }
        targets.alarm = alarm.map { PollTargets.Target(fd: $0.fd, events: Int16(POLLIN)) }
        return targets
    }

    /// Does what can be done without waiting. Returns how many messages and kicks were taken, or -ENOTCONN.
    @discardableResult
    public func dispatch() -> Int32 {
        dispatch(.both)
    }

    func dispatch(_ ready: ReadyTargets) -> Int32 {
        guard main != nil || listenerDescriptor != nil else { return -ENOTCONN }
        if alarm?.wasRaised() == true {
            drop(ShmemError(EFAULT, "the front-end has truncated the file of memory that it gave"))
        }
        if main == nil { accept() }
        var taken: Int32 = 0
        while let main, taken < Backend.messagesPerDispatch, serveOne(main) { taken &+= 1 }
        // After the messages: a kick is for queues as they are now.
        if main != nil { taken &+= serveKicks(ready.contains(.second)) }
        watch()
        return taken
    }

    func useAlarm() throws(Errno) -> Alarm {
        if let alarm { return alarm }
        let made = try Alarm.make()
        alarm = made
        return made
    }

    private func accept() {
        guard !acceptPause.lasts else { return }
        do throws(Errno) {
            let peer: FileDescriptor?
            switch listener {
            case .some(let listener): peer = try listener.accept()
            case .none: peer = nil
            }
            acceptPause.end()
            guard let peer else { return }
            talk(through: peer)
        } catch {
            acceptPause.begin(after: error, of: "front-end")
        }
    }

    /// Sends what waits, and serves the next message. False: there is nothing more to do now.
    @discardableResult
    func serveOne(_ main: MessageStream) -> Bool {
        // From within a callback: the message that is being served lies in the buffer, and its answer comes first.
        guard !isServing, !isEnding else { return false }
        if case .failed(let error) = main.flush() {
            drop(lost("writing", error))
            return false
        }
        // A front-end that reads no replies gets no further.
        return main.hasUnsent ? false : readOne(main)
    }

    private func readOne(_ main: MessageStream) -> Bool {
        switch main.receive() {
        case .nothing: return false
        case .closed: drop(ShmemError(ECONNRESET, "the front-end closed the connection"))
        case .failed(let error): drop(lost("reading", error))
        case .violation(let violation): drop(ShmemError(violation.code, "the front-end sent \(violation.sentence)"))
        case .message(let header, let payload):
            let wasNegotiated = isNegotiated
            isServing = true
            let fault = take(header, payload, main)
            isServing = false
            if let fault { drop(fault) }
            if wasReset {
                wasReset = false
                emit(.reset)
            }
            if isNegotiated, !wasNegotiated { emit(.negotiated) }
            return true
        }
        return false
    }

    private func lost(_ doing: StaticString, _ error: Errno) -> ShmemError {
        ShmemError(
            error.code == EPIPE ? ECONNRESET : error.code,
            "\(doing) on the connection to the front-end: \(Errno.text(error.code)) (errno \(error.code))")
    }

    func emit(_ event: BackendEvent) {
        onEvent?(self, event)
    }

    /// Ends the connection; a listener goes on listening.
    func drop(_ error: ShmemError) {
        guard let main, !isEnding else { return }
        isEnding = true
        // Nobody answers any more what the device may ask while its queues are stopped.
        channel = nil
        // What it gives back now still reaches the driver.
        for queue in queues { pause(queue) }
        isEnding = false
        guard self.main === main else { return }
        stopWatching()
        forget()
        // Before the callback, which may bring a new connection under the same number.
        watch()
        emit(.disconnected(error))
    }

    /// All that the front-end said.
    private func forget() {
        main = nil
        channel = nil
        features = 0
        protocolFeatures = []
        toldRegions = false
        forgetQueues()
        memory = BackendMemory()
        inflight = nil
        log = nil
        logCall = nil
        // Chains that the device holds may still raise it.
        alarm = nil
        status = 0
        wasReset = false
    }

    /// Closes everything without an event and lets every loop go.
    public func close() {
        // They go last: what is run when they do may dispatch, and must find that it is over.
        let callbacks = (onEvent, handlers)
        defer { withExtendedLifetime(callbacks) {} }
        onEvent = nil
        handlers = BackendHandlers()
        isFreed = true
        stopWatching()
        forget()
        listener = nil
        letLoopsGo()
    }

    /// The descriptor that stands for all that the back-end waits for: readable when there is something to dispatch. It stays the
    /// back-end's and the same for its life. Throws EMFILE, ENFILE, ENOMEM.
    public func pollDescriptor() throws(ShmemError) -> Int32 {
        try waitDescriptor()
    }

    /// What is offered to a front-end.
    var offeredFeatures: UInt64 {
        let logging = offeredProtocolFeatures.contains(.logSharedFd) ? ProtocolFeatures.logAll : 0
        return options.features | Backend.virtioVersion1 | ProtocolFeatures.virtioFeature | logging
    }

    var offeredProtocolFeatures: ProtocolFeatures {
        var known = ProtocolFeatures.known.union([.status, .inflightFd, .logSharedFd, shmem])
        if options.configSize > 0, handlers.readConfig != nil { known.insert(.config) }
        if handlers.sharedObject != nil { known.insert(.sharedObject) }
        if handlers.transferState != nil, handlers.checkState != nil { known.insert(.deviceState) }
        return options.protocolFeatures.map(known.union(.onRequest).intersection) ?? known
    }
}
