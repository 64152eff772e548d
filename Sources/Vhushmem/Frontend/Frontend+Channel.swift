// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// The back-end channel of a front-end.
extension Frontend {
    /// The channel is served after what the main socket said before it: the regions, or the answer to a reset.
    var isOrdered: Bool { phase == .shakingHands || isResetting }

    @_optimize(speed)
    func serve(_ channel: BackendChannel, atMost bound: Int32 = BackendChannel.requestsPerDispatch) -> Int32 {
        let (count, lost) = channel.serve(atMost: bound, reports: onEvent != nil) { report($0) }
        if let lost { loseChannel(channel, lost) }
        return count
    }

    /// While the order counts, each request is served by itself: it is there, so what was said before it is there too, and is read first.
    /// What the loop saw does not count: both may have come since.
    func serveInOrder() -> Int32 {
        var taken: Int32 = 0
        while isOrdered, taken < BackendChannel.requestsPerDispatch, channel?.isReady == true {
            taken &+= readMain()
            guard let channel else { return taken }
            let count = serve(channel, atMost: 1)
            taken &+= count
            if count == 0 { return taken }
        }
        return taken
    }

    func loseChannel(_ channel: BackendChannel?, _ error: ShmemError) {
        guard let channel, self.channel === channel else { return }
        channel.isClosed = true
        self.channel = nil
        loss = error
        // While `channel` still holds the socket: one that is closed can't be taken out of an epoll any more.
        watch()
        if !options.keepsMappings { device.unmapAll() }
        emit(.channelLost(error))
    }
}
