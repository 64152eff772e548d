// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The side of the device process in a vhost-user connection. One thread at a time uses it.
///
/// `listen`, `connect` or `attach` begins. From then on a loop waits for `pollDescriptor` to be readable and calls `dispatch`,
/// which never waits and reports events through `onEvent`. When the connection is over and no other can come, `dispatch` throws
/// ENOTCONN. After `negotiated`, `map` and `unmap` ask the front-end and wait for its answer.
public final class Backend: Pollable {
    private static let virtioVersion1: UInt64 = 1 << 32
    /// Addresses behind an IOMMU, packed virtqueues, use in order, kicks with data, and queues that are reset by themselves
    /// change the use of memory and messages, and this library does not support them. It offers the logging of writes by
    /// itself.
    private static let unsupportedFeatures: UInt64 = ProtocolFeatures.logAll | 1 << 33 | 1 << 34 | 1 << 35 | 1 << 38 | 1 << 40

    /// The options, as they were given.
    public let options: BackendOptions
    /// Receives the events, with no lock held. It may call any function of the back-end. It also receives the events that came
    /// before it was first set; they wait up to a bound.
    ///
    /// A back-end that does not listen releases it, and its handlers, when its connection has ended and `disconnected` was
    /// reported: what they capture is released then. Set them again before another connection.
    public var onEvent: ((Backend, BackendEvent) -> Void)? {
        didSet {
            eventQueue.callbackChanged(isSet: onEvent != nil)
            if onEvent != nil { callbacksWent = false }
            watch()
            if onEvent != nil, isOver { onEvent = nil }
        }
    }
    /// The functions of the device; set them before a front-end comes.
    public internal(set) var handlers = BackendHandlers()
    /// Hears of each queue that was started or kicked, after the device.
    var queueListener: ((Int) -> Void)?
    var config = SharedMemoryConfig()
    let queues: [BackendQueue]
    let rings: StartedRings

    private(set) var phase = Phase.idle
    /// The reason why the last connection ended; nil: there was none.
    var ending: ShmemError?
    var eventQueue = EventQueue<BackendEvent>()
    var work: Work = []
    var reports = Reports.none
    /// The kicks of the queues that run, with the queues' numbers as tags, and the channel while it owes asynchronous answers.
    /// Made for the first of them. The back-end's descriptor is this one's, so a kick passes through one epoll only.
    var kicks: TargetSet?
    var polling = QueuePolling()
    var acceptor: Acceptor?
    /// Callbacks and handlers went with the connection, and were not set again.
    var callbacksWent = false
    /// There has been a connection.
    private(set) var wasConnected = false
    var loops = SessionLoops()
    /// Descriptors of front-ends that are still to be closed.
    var closes: CloseAccount { given.closes }
    /// The mapped files of front-ends. They stay mapped as long as anything needs them: a chain may outlive its connection.
    let given = SharedFile.makeQuota()

    /// Whether a front-end is connected.
    enum Phase {
        /// None is; one may connect if there is a listener.
        case idle
        case connected(BackendConnection)
        /// The owner has freed the back-end.
        case freed
    }

    /// What is on the stack while a callback runs. The callback may dispatch or send requests from within.
    struct Work: OptionSet {
        let rawValue: UInt8
        /// A message of the front-end is being served: its answer comes before that of any other.
        static let serving = Work(rawValue: 1)
        /// Requests of the back-end wait for their answers.
        static let asking = Work(rawValue: 2)
        /// The connection ends: the queues are being stopped, and no message of the front-end is served any more.
        static let ending = Work(rawValue: 4)
    }

    /// Whether the device must be told something of a queue.
    enum Reports {
        case none, due
    }

    /// Makes a back-end without regions.
    ///
    /// - Parameter options: its options.
    /// - Throws: EINVAL (an option).
    public init(_ options: BackendOptions = BackendOptions()) throws(ShmemError) {
        // This comes first: Embedded Swift leaks an object whose initialiser gives up before every property has its value.
        self.options = options
        let rings = options.rings ?? options.queues
        let started = StartedRings(count: Int(min(rings, 256)))
        self.rings = started
        queues = (0..<Int(min(rings, 256))).map { BackendQueue($0, started) }
        guard ProtocolFeatures.isShmemBit(options.shmemBit) else {
            throw ShmemError(EINVAL, "SHMEM is bit 22, or 20 or 21 with old front-ends, and never \(options.shmemBit)")
        }
        guard (1...256).contains(options.queues) else {
            throw ShmemError(EINVAL, "a device has 1 to 256 queues, and not \(options.queues)")
        }
        guard (options.queues...256).contains(rings) else {
            throw ShmemError(EINVAL, "a device with num_queues \(options.queues) has so many rings to 256, and not \(rings)")
        }
        guard options.features & Backend.unsupportedFeatures == 0 else {
            throw ShmemError(
                EINVAL,
                "this library does not support the virtio features \(hex(options.features & Backend.unsupportedFeatures))")
        }
        let notServed = (options.protocolFeatures ?? []).subtracting(Backend.served(shmemBit: options.shmemBit))
        // All bits mean all that the library supports.
        guard notServed.isEmpty || options.protocolFeatures?.rawValue == .max else {
            throw ShmemError(EINVAL, "this library does not support the protocol features \(notServed.sentence.text)")
        }
        guard options.configSize <= ConfigAccess.largestSpace else {
            throw ShmemError(EINVAL, "a configuration space has at most \(ConfigAccess.largestSpace) bytes")
        }
    }

    /// A Swift program may just drop it: then this is `close`. It calls no callback, because that would receive the object that
    /// goes. It calls each pending completion, with ENOTCONN.
    deinit {
        stopWatching()
        if let connection { closeChannel(connection, Errno(ENOTCONN)) }
        for completion in eventQueue.takeCompletions() { completion() }
        rings.deallocate()
    }

    /// The only way from one phase to another:
    /// - idle to connected, when a front-end is there;
    /// - connected to idle, when its connection has ended;
    /// - any to freed.
    func move(to next: Phase) {
        assert(isMove(to: next))
        if case .connected = next { wasConnected = true }
        phase = next
    }

    private func isMove(to next: Phase) -> Bool {
        switch (phase, next) {
        case (.idle, .connected), (.connected, .idle), (_, .freed): true
        default: false
        }
    }

    /// nil: there is no front-end.
    var isConnected: Bool {
        if case .connected = phase { true } else { false }
    }

    var connection: BackendConnection? {
        if case .connected(let connection) = phase { connection } else { nil }
    }

    /// A back-end whose connection has ended may be given another one.
    var isOver: Bool {
        if case .freed = phase { true } else { false }
    }

    /// A connection has ended, and no listener will bring another one.
    var isAtEnd: Bool { wasConnected && connection == nil && acceptor == nil }

    // MARK: What the front-end said

    /// The virtio features that the front-end accepted.
    public var features: UInt64 { connection?.features ?? 0 }
    /// The protocol features that the front-end accepted.
    public var protocolFeatures: ProtocolFeatures { connection?.protocolFeatures ?? [] }
    /// The virtio device status.
    public var status: UInt8 { connection?.status ?? 0 }

    /// A front-end has its regions once it was told of them. If it does not ask, it has begun when it accepts features. If the
    /// back-end has no regions of its own, the front-end had them from the start.
    public var isNegotiated: Bool {
        guard let connection, connection.channel != nil, connection.protocolFeatures.contains(shmem) else { return false }
        return connection.toldRegions || connection.features != 0 || config.regionCount == 0
    }
}

// MARK: What is offered to a front-end

extension Backend {
    /// Sets the functions of the device.
    ///
    /// - Parameter handlers: the functions.
    /// - Throws: EBUSY (a front-end is connected: the offer is constant for it).
    public func setHandlers(_ handlers: BackendHandlers) throws(ShmemError) {
        guard connection == nil else { throw ShmemError(EBUSY, "a front-end is connected") }
        self.handlers = handlers
        callbacksWent = false
    }

    /// Gives the device a region.
    ///
    /// - Parameters:
    ///   - shmid: the region's id.
    ///   - size: bytes, a multiple of the page size.
    /// - Throws: EBUSY (a front-end is connected), EEXIST, EINVAL (the size).
    public func addRegion(shmid: UInt8, size: UInt64) throws(ShmemError) {
        let subject = ShmemError.Subject.region(shmid: shmid, size: size)
        guard connection == nil else { throw ShmemError(EBUSY, subject, .text("a front-end is connected")) }
        guard config[shmid] == 0 else { throw ShmemError(EEXIST, subject, .exists) }
        guard size > 0 else { throw ShmemError(EINVAL, subject, .zeroLength) }
        guard size.isMultiple(ofPage: Page.size) else {
            throw ShmemError(EINVAL, subject, .unalignedLength(pageSize: Page.size))
        }
        config[shmid] = size
    }

    var shmem: ProtocolFeatures { .shmem(bit: options.shmemBit) }

    var offeredFeatures: UInt64 {
        let logging = offeredProtocolFeatures.contains(.logSharedFd) ? ProtocolFeatures.logAll : 0
        return options.features | Backend.virtioVersion1 | ProtocolFeatures.virtioFeature | logging
    }

    /// The features that a back-end can offer; some only if the device has handlers for them, or if the program asks for them.
    private static func served(shmemBit: UInt32) -> ProtocolFeatures {
        ProtocolFeatures.known.union(.onRequest).union(.shmem(bit: shmemBit))
            .union([.status, .inflightFd, .logSharedFd, .config, .sharedObject, .deviceState])
    }

    var offeredProtocolFeatures: ProtocolFeatures {
        var known = ProtocolFeatures.known.union([.status, .inflightFd, .logSharedFd, shmem])
        if options.configSize > 0, unsafe handlers.readConfig != nil { known.insert(.config) }
        if unsafe handlers.sharedObject != nil { known.insert(.sharedObject) }
        if handlers.transferState != nil, handlers.checkState != nil { known.insert(.deviceState) }
        if options.isForQemu { known.remove(.configureMemSlots) }
        return known.chosen(options.protocolFeatures)
    }
}

extension ProtocolFeatures {
    /// For the sentence of an error: the names, and the number of all.
    var sentence: Sentence {
        var list = ""
        forEachName { name, _ in list += "\(name) " }
        return "\(list)(\(hex(rawValue)))"
    }
}
