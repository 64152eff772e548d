// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// How a channel is to be.
public struct ChannelOptions: Sendable {
    /// How long a message that has begun may take to arrive whole. Kept in milliseconds.
    public var messageTimeout: Duration {
        get { messageTimeoutLimit.duration }
        set { messageTimeoutLimit = Milliseconds(newValue) }
    }
    var messageTimeoutLimit = Milliseconds(5_000)
    /// Leave the mappings when the channel is lost.
    public var keepsMappings = false
    /// What the flags of a SHMEM_MAP mean on the wire.
    public var mapFlags = MapFlags.current

    /// The defaults: five seconds, and mappings end with the channel.
    public init() {}

    /// What is left out is as it is by default. Each argument sets the property of its name.
    public init(
        messageTimeout: Duration = .seconds(5),
        keepsMappings: Bool = false,
        mapFlags: MapFlags = .current
    ) {
        self.messageTimeout = messageTimeout
        self.keepsMappings = keepsMappings
        self.mapFlags = mapFlags
    }
}

/// What a channel tells.
public enum ChannelEvent: Sendable {
    /// A request was served or refused, and answered if an answer was owed.
    case served(ServedRequest)
    /// A mapping's file has lost pages that were touched: zeros stand there.
    case broken(MappingDescription)
    /// The file of a mapping that was broken has its pages again, and the mapping shows them.
    case healed(MappingDescription)
    /// The channel is closed: the back-end went away, or sent what can't be cut into messages. The last event.
    case lost(ShmemError)
}

/// The back-end channel alone, for a VMM that has a vhost-user front-end of its own: serves SHMEM_MAP and SHMEM_UNMAP on a device, and
/// hands every other request to `onRequest`. One thread at a time; the device may be used from any thread.
public final class ShmemChannel: DeviceSession {
    /// Where mappings are made.
    public let device: ShmemDevice
    /// Called with no lock held; it may call anything of the channel. Events that came before it was first set are told to it; they wait up
    /// to a bound. It goes with the channel, after the event `lost`: what it captures is kept no longer than that.
    public var onEvent: ((ShmemChannel, ChannelEvent) -> Void)? {
        didSet {
            eventQueue.callbackChanged(isSet: onEvent != nil)
            watch()
            if onEvent != nil, isOver { letCallbacksGo() }
        }
    }
    /// Carries out requests that are not about mappings, before they are answered. Without it they are refused, as they
    /// are with what it throws. It goes when
    /// `onEvent` does.
    public var onRequest: ((ShmemChannel, OtherRequest) throws(ShmemError) -> RequestAnswer)? {
        didSet { handOverOthers() }
    }

    var eventQueue = EventQueue<ChannelEvent>()
    private let options: ChannelOptions
    private(set) var channel: BackendChannel?
    /// Resets that have begun and not ended.
    private var resets = 0
    var isResetting: Bool { resets > 0 }
    let counters = RequestCounters()
    /// Why the channel was lost.
    private(set) var loss: ShmemError?
    var loops = SessionLoops()
    private let way = BackReference<ShmemChannel>()

    /// Serves `socket`, the VMM's end of what SET_BACKEND_REQ_FD gave the back-end. SHMEM counts as negotiated.
    ///
    /// - Parameters:
    ///   - socket: the descriptor, which is closed with the session, and if this throws.
    ///   - device: where mappings are made.
    ///   - options: how it is to be.
    /// - Throws: EINVAL (it is no Unix stream socket), EBADF.
    public convenience init(
        socket: consuming OwnedDescriptor, device: ShmemDevice, options: ChannelOptions = ChannelOptions()
    ) throws(ShmemError) {
        try self.init(socket: socket.raw, device: device, options: options)
        // It has taken it over.
        _ = socket.release()
    }

    /// The same for a descriptor that stays the caller's if this throws.
    init(socket: Int32, device: ShmemDevice, options: ChannelOptions = ChannelOptions()) throws(ShmemError) {
        // First: Embedded Swift leaks an object whose initialiser gives up before every property has its value.
        self.device = device
        self.options = options
        try Socket.requireConnectedStream(socket)
        do throws(Errno) {
            loops.alarm = try device.state.useAlarm()
        } catch {
            throw ShmemError(error.code, "cannot make an eventfd for the device's alarm: \(Errno.text(error.code))")
        }
        let channel = BackendChannel(
            socket: OwnedDescriptor(owning: socket), device: device, messageTimeout: options.messageTimeoutLimit.microseconds,
            counters: counters)
        channel.isNegotiated = true
        channel.speaksFirstFlags = options.mapFlags == .first
        self.channel = channel
        way.point(at: self)
    }

    /// The device may live on; what the back-end mapped is to end with its channel all the same.
    deinit {
        way.end()
        stopWatching()
        if channel != nil, !options.keepsMappings { device.unmapAll() }
    }

    /// The back-end has not gone.
    public var isOpen: Bool { channel != nil }
    var hasEnded: Bool { channel == nil }
    var isAtEnd: Bool { hasEnded }
    var isOver: Bool { hasEnded && !eventQueue.hasWaiting }

    private func handOverOthers() {
        guard onRequest != nil else {
            channel?.others = nil
            return
        }
        channel?.others = { [way] request in
            request.answered { () throws(ShmemError) in
                guard let channel = way.target else { return nil }
                return try channel.askNow { () throws(ShmemError) in try channel.onRequest?(channel, request) }
            }
        }
    }

    // MARK: Run

    var pollTargets: PollTargets {
        var targets = PollTargets()
        if let channel {
            targets.alarm = loops.alarmTarget
            targets.deadline = device.state.careDeadline
            if !eventQueue.isFull {
                targets.first = channel.pollTarget
                targets.deadline = earliest(targets.deadline, channel.deadline)
            }
        }
        if hasSomethingToTell { targets.deadline = 0 }
        return targets
    }

    /// Does what can be done without waiting.
    ///
    /// - Returns: how many requests were taken.
    /// - Throws: ENOTCONN: the channel is lost, and every event was told.
    @discardableResult
    public func dispatch() throws(ShmemError) -> Int {
        try dispatchInLoop(loss?.message ?? "the channel was closed")
    }

    func dispatch(_ ready: ReadyTargets) -> Int32 {
        let turn = loops.beginTurn()
        defer { loops.endTurn() }
        if eventQueue.hasDue { tellWaiting() }
        if channel != nil { lookAfterMappings() }
        guard let channel else { return -ENOTCONN }
        let (count, lost) = channel.serve(
            turn, atMost: eventQueue.bound(turn.share), reports: eventQueue.isWanted
        ) { announce(.served($0)) }
        if let lost, self.channel === channel {
            loss = lost
            drop()
            announce(.lost(lost))
            endWasAnnounced()
        }
        if eventQueue.hasDue { tellWaiting() }
        watch()
        return count
    }

    private func drop() {
        stopWatching()
        channel?.isClosed = true
        channel = nil
        if !options.keepsMappings { device.unmapAll() }
    }

    /// The descriptor that stands for all that the channel waits for: readable when there is something to dispatch, and when the channel is
    /// lost. It stays the channel's and the same for its life.
    ///
    /// - Returns: the descriptor.
    /// - Throws: EMFILE, ENFILE, ENOMEM.
    public func pollDescriptor() throws(ShmemError) -> Int32 {
        try waitDescriptor()
    }

    // MARK: Reset and end

    /// Undoes every mapping, and refuses every request of the back-end until `endReset`: for a VMM that is about to reset the device.
    public func beginReset() {
        resets = resets &+ 1
        channel?.beginReset()
        device.unmapAll()
    }

    /// The back-end has answered that it is reset: what arrived before is refused, what arrives now is served again. Each `beginReset` has
    /// its own.
    public func endReset() {
        guard resets > 0 else { return }
        resets = resets &- 1
        guard resets == 0 else { return }
        counters.resets &+= 1
        channel?.endReset()
        // What other threads may have mapped.
        device.unmapAll()
        watch()
    }

    static func event(_ news: MappingNews) -> ChannelEvent {
        news.isBroken ? .broken(news.mapping) : .healed(news.mapping)
    }

    func letCallbacksGo() {
        guard !loops.areOfC else { return }
        if onEvent != nil { onEvent = nil }
        if onRequest != nil { onRequest = nil }
    }

    @inline(__always)
    func callBack(_ event: ChannelEvent) { onEvent?(self, event) }

    /// Closes the channel without an event and lets every loop go.
    public func close() {
        // They go last: what is run when they do may dispatch, and must find that it is over.
        let callbacks = (onEvent, onRequest)
        defer { withExtendedLifetime(callbacks) {} }
        onEvent = nil
        onRequest = nil
        if channel != nil { drop() }
        watch()
        letLoopsGo()
    }
}
