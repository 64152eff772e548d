// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Options of a channel.
public struct ChannelOptions: Sendable {
    /// How long a message may take from its first byte to its last. Kept in milliseconds.
    public var messageTimeout: Duration {
        get { messageTimeoutLimit.duration }
        set { messageTimeoutLimit = Milliseconds(newValue) }
    }
    var messageTimeoutLimit = Milliseconds(5_000)
    /// Keep the mappings when the channel is lost.
    public var keepsMappings = false
    /// The meaning of the flags of a SHMEM_MAP on the wire.
    public var mapFlags = MapFlags.current

    /// The defaults: five seconds, and mappings end with the channel.
    public init() {}

    /// Makes options. An omitted argument has its default. Each argument sets the property of its name.
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

/// An event of a channel.
public enum ChannelEvent: Sendable {
    /// A request was served or refused, and answered if the back-end asked for an answer.
    case served(ServedRequest)
    /// A mapping's file has lost pages that were touched: they show zeros.
    case broken(MappingDescription)
    /// The file of a broken mapping has its pages again, and the mapping shows them.
    case healed(MappingDescription)
    /// The channel is closed: the back-end went away, or its bytes could not be cut into messages. The last event.
    case lost(ShmemError)
}

/// The back-end channel alone, for a VMM that has a vhost-user front-end of its own. It serves SHMEM_MAP and SHMEM_UNMAP on a
/// device, and passes every other request to `onRequest`. One thread at a time uses it. Any thread may use the device.
public final class ShmemChannel: DeviceSession {
    /// Where mappings are made.
    public private(set) var device: ShmemDevice
    /// Called with no lock held. It may call any function of the channel. It also gets the events that came before it was first
    /// set, up to a limit. It goes with the channel, after the event `lost`, and so do the objects that it captures.
    public var onEvent: ((ShmemChannel, ChannelEvent) -> Void)? {
        didSet {
            eventQueue.callbackChanged(isSet: onEvent != nil)
            watch()
            if onEvent != nil, isOver { letCallbacksGo() }
        }
    }
    /// Performs all requests but maps and unmaps, before they are answered. Without it they are refused; an error that it
    /// throws refuses them too. It goes when `onEvent` does.
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
    /// The reason why the channel was lost.
    private(set) var loss: ShmemError?
    /// The channel was lost. Its mappings are being undone, and the program has not had the event.
    private var isEnding = false
    /// A call undoes mappings just now, and it may call handlers of the program.
    private var isCallingOut = false
    var loops = SessionLoops()
    private let way = BackReference<ShmemChannel>()

    /// Serves `socket`: the VMM's end of the socket pair whose other end the back-end got with SET_BACKEND_REQ_FD. SHMEM counts
    /// as negotiated.
    ///
    /// - Parameters:
    ///   - socket: the descriptor; it is closed with the session, and if this throws.
    ///   - device: the device that gets the mappings.
    ///   - options: its options.
    /// - Throws: EINVAL (it is no Unix stream socket), EBADF.
    public convenience init(
        socket: consuming OwnedDescriptor, device: ShmemDevice, options: ChannelOptions = ChannelOptions()
    ) throws(ShmemError) {
        try self.init(socket: socket.raw, device: device, options: options)
        // The session owns the descriptor now.
        _ = socket.release()
    }

    /// The same for a descriptor that stays the caller's if this throws.
    init(socket: Int32, device: ShmemDevice, options: ChannelOptions = ChannelOptions()) throws(ShmemError) {
        // This comes first: Embedded Swift leaks an object whose initialiser gives up before every property has its value.
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

    /// The device may live on, but the back-end's mappings must end with its channel.
    deinit {
        way.end()
        stopWatching()
        if channel != nil || isEnding { ShmemDevice.leave(&device, keepsMappings: options.keepsMappings) }
    }

    /// Whether the channel is still there: the back-end has not gone, and the program has not closed it.
    public var isOpen: Bool { channel != nil }
    var hasEnded: Bool { channel == nil && !isEnding }
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
        if hasSomethingToTell || (isEnding && !isCallingOut) { targets.deadline = 0 }
        return targets
    }

    /// Does all it can without waiting.
    ///
    /// - Returns: how many requests were taken.
    /// - Throws: ENOTCONN: the channel is lost, and every event was reported.
    @discardableResult
    public func dispatch() throws(ShmemError) -> Int {
        try dispatchInLoop(loss?.message ?? "the channel was closed")
    }

    func dispatch(_ ready: ReadyTargets) -> Int32 {
        let turn = loops.beginTurn()
        defer { loops.endTurn() }
        if eventQueue.hasDue { tellWaiting() }
        if channel != nil { lookAfterMappings() }
        guard let channel else { return dispatchEnd() }
        let (count, lost) = channel.serve(
            turn, atMost: eventQueue.bound(turn.share), reports: eventQueue.isWanted
        ) { announce(.served($0)) }
        if let lost, self.channel === channel {
            loss = lost
            drop()
            isEnding = true
            undoMappings()
        }
        if eventQueue.hasDue { tellWaiting() }
        watch()
        return count
    }

    private func drop() {
        stopWatching()
        channel?.isClosed = true
        channel = nil
    }

    @inline(never)
    private func dispatchEnd() -> Int32 {
        guard isEnding else { return -ENOTCONN }
        undoMappings()
        watch()
        return 0
    }

    /// Undoes mappings for a while. Others on the loop wait meanwhile, so mappings that are left go in the next turn. After the
    /// last one the program gets the event.
    private func undoMappings() {
        // A handler of the program may dispatch: then this is under way already. It may also close the channel.
        guard !isCallingOut else { return }
        isCallingOut = true
        let isDone = options.keepsMappings || device.unmapForATurn()
        isCallingOut = false
        guard isDone, isEnding, let loss else { return }
        isEnding = false
        announce(.lost(loss))
        endWasAnnounced()
    }

    /// The descriptor that stands for all that the channel waits for: readable when there is something to dispatch, and when
    /// the channel is lost. The channel owns it; it stays the same for the channel's life.
    ///
    /// - Returns: the descriptor.
    /// - Throws: EMFILE, ENFILE, ENOMEM.
    public func pollDescriptor() throws(ShmemError) -> Int32 {
        try waitDescriptor()
    }

    // MARK: Reset and end

    /// Undoes every mapping, and refuses every request of the back-end until `endReset`. For a VMM that is about to reset the
    /// device.
    public func beginReset() {
        resets = resets &+ 1
        channel?.beginReset()
        device.unmapAll()
    }

    /// The back-end has answered the reset. The channel refuses requests that have arrived before, and serves later ones again.
    /// Each `beginReset` has its own `endReset`.
    public func endReset() {
        guard resets > 0 else { return }
        resets = resets &- 1
        guard resets == 0 else { return }
        counters.resets &+= 1
        channel?.endReset()
        // Other threads may have mapped something.
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

    /// Closes the channel without an event and leaves every loop. When it returns, nothing is mapped any more, unless the
    /// options keep mappings.
    public func close() { close(isLast: false) }

    /// `isLast`: the caller is the last owner and lets go of the channel.
    func close(isLast: Bool) {
        // The callbacks go last. Code that runs when they go may dispatch, and must find that the channel is over.
        let callbacks = (onEvent, onRequest)
        defer { withExtendedLifetime(callbacks) {} }
        onEvent = nil
        onRequest = nil
        if channel != nil || isEnding {
            drop()
            isEnding = false
            if isLast {
                ShmemDevice.leave(&device, keepsMappings: options.keepsMappings)
            } else if !options.keepsMappings {
                device.unmapAll()
            }
        }
        watch()
        letLoopsGo()
    }
}
