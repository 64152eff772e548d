// SPDX-License-Identifier: BSD-3-Clause

import CLinux

/// Many descriptors, of which any may become readable: an epoll, and so a descriptor to wait for itself.
final class ReadableSet {
    private let epoll: OwnedDescriptor
    /// A child of fork shares the epoll, and changes nothing for its parent.
    private let process = getpid()
    /// The most descriptors that one look reports.
    private static let most = 64

    var fd: Int32 { epoll.raw }

    private init(_ epoll: consuming OwnedDescriptor) {
        self.epoll = epoll
    }

    static func make() throws(Errno) -> ReadableSet {
        ReadableSet(OwnedDescriptor(owning: try systemCall(.epollCreate) { epoll_create1(vhu_epoll_flags) }))
    }

    /// `once`: report each signal once, whether it is read or not. Throws EPERM for a file that is always ready.
    func insert(_ fd: Int32, tag: UInt32, once: Bool) throws(Errno) {
        _ = try systemCall(.epollControl) { vhu_epoll_add_tagged(epoll.raw, fd, tag, once) }
    }

    /// Call it before a descriptor is closed: the peer shares the descriptor, so the epoll would keep it.
    func remove(_ fd: Int32) {
        guard getpid() == process else { return }
        _ = try? systemCall(.epollControl) { vhu_epoll_control(epoll.raw, EPOLL_CTL_DEL, fd, 0) }
    }

    /// The tags of those that can be read now, or of some of them.
    func readable() -> [UInt32] {
        unsafe [UInt32](unsafeUninitializedCapacity: ReadableSet.most) { tags, count in
            // SAFETY: the buffer has the room that vhu_epoll_ready_tags fills at the most.
            count = Int((try? systemCall(.epollWait) { unsafe vhu_epoll_ready_tags(epoll.raw, tags.baseAddress) }) ?? 0)
        }
    }
}
