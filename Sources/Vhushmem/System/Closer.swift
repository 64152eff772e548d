// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// Counts what one peer has sent and the library has not closed or unmapped yet. A session has one for all of its connections.
///
/// Unchecked Sendable: one number is atomic, and the closer's lock guards the rest.
final class CloseAccount: @unchecked Sendable {
    /// The most descriptors of one peer that may wait. At this number the session reads nothing more from the peer.
    static let most = 64

    /// Descriptors that were handed over and are not closed yet.
    fileprivate let pending = Atomic<Int>(0)
    /// A thread is closing one of them.
    fileprivate var isBusy = Closer.Guarded(false)

    var isPending: Bool { pending.load(ordering: .relaxed) > 0 }

    /// Whether the peer must wait before it sends more. A peer without a descriptor that waits is not held up because of
    /// others.
    @inline(__always)
    var isFull: Bool {
        let mine = pending.load(ordering: .relaxed)
        return mine > 0 && isHeldUp(mine)
    }

    @inline(never)
    private func isHeldUp(_ mine: Int) -> Bool {
        mine >= CloseAccount.most || Closer.pending.load(ordering: .relaxed) >= Closer.most
    }
}

/// Closes what peers have sent, if that may wait. close() of a socket waits for its linger time, and close() of a FUSE file
/// waits for its server. close() of the last descriptor of a large file waits while the kernel frees the file. No system call
/// gives a descriptor up without these waits.
///
/// So threads of the library close them. The threads exist only while there is something to close. One peer keeps at most one
/// thread busy, so it holds up only itself.
///
/// Unchecked Sendable: its lock guards what changes.
final class Closer: @unchecked Sendable {
    typealias Guarded = Lock<Closer>.Guarded

    /// The most descriptors that may wait in the whole process. At this number, peers that have some must wait.
    static let most = 256
    /// More than a few peers that keep a thread busy are not expected.
    private static let mostThreads = 8

    static let pending = Atomic<Int>(0)
    private static let shared = Closer()

    /// The account is retained by hand: a thread that only closes needs no memory, and the C library would reserve some for it.
    @safe private struct Item {
        /// -1: it is a mapping.
        let fd: Int32
        let mapping: UnsafeMutableRawBufferPointer
        let account: Unmanaged<CloseAccount>

        /// Two items with the same number may differ: the kernel gives a number away before a close ends.
        func isSame(as other: Item) -> Bool {
            unsafe fd == other.fd && mapping.baseAddress == other.mapping.baseAddress
                && account.toOpaque() == other.account.toOpaque()
        }

        /// Does what may wait.
        func end() {
            if fd >= 0 { return OwnedDescriptor.close(fd) }
            // SAFETY: nothing has an address in it any more.
            if let start = unsafe mapping.baseAddress { try? unsafe MemoryCalls.unmap(start, mapping.count) }
        }
    }

    private let lock = Lock<Closer>()
    private var waiting = Guarded<[Item]>([])
    private var closing = Guarded<[Item]>([])
    /// These are closed, and their account is still retained.
    private var closed = Guarded<[Item]>([])
    private var threads = Guarded(0)
    private var knowsForks = Guarded(false)

    private init() {}

    /// Has a thread close a descriptor, which belongs to the closer from now on. False: no thread can be started now. The
    /// closer tries again when there is more to close.
    @discardableResult
    static func hand(over fd: Int32, of account: CloseAccount) -> Bool {
        unsafe hand(over: Item(fd: fd, mapping: .init(start: nil, count: 0), account: .passRetained(account)), account)
    }

    /// Has a thread unmap memory, which may free a large file. Nothing may have an address in the memory.
    static func hand(over mapping: UnsafeMutableRawBufferPointer, of account: CloseAccount) {
        unsafe hand(over: Item(fd: -1, mapping: mapping, account: .passRetained(account)), account)
    }

    @discardableResult
    private static func hand(over item: Item, _ account: CloseAccount) -> Bool {
        account.pending.wrappingAdd(1, ordering: .relaxed)
        pending.wrappingAdd(1, ordering: .relaxed)
        shared.lock.withLock { held in
            shared.waiting[held].append(item)
            // The list that threads append to has room for all.
            let count = shared.waiting[held].count &+ shared.closing[held].count &+ shared.closed[held].count
            shared.closing[held].reserveCapacity(count)
            shared.closed[held].reserveCapacity(count)
        }
        return goOn()
    }

    /// Starts a thread for what waits, if one is needed. False: none can be started.
    @discardableResult
    static func goOn() -> Bool {
        shared.releaseAccounts()
        return shared.startThread()
    }

    private func releaseAccounts() {
        let done = lock.withLock { held in
            let done = closed[held]
            closed[held] = []
            closed[held].reserveCapacity(done.count &+ waiting[held].count &+ closing[held].count)
            return done
        }
        for item in done { unsafe item.account.release() }
    }

    /// Starts a thread for what waits, if a peer has something to close and no thread works for it.
    @discardableResult
    private func startThread() -> Bool {
        let isNeeded = lock.withLock { held -> Bool in
            guard threads[held] < Closer.mostThreads, threads[held] == closing[held].count, next(held) != nil else {
                return false
            }
            threads[held] &+= 1
            if !knowsForks[held] {
                knowsForks[held] = true
                vhu_at_fork({ Closer.shared.lock.hold() }, { Closer.shared.lock.letGo() }, { Closer.shared.startAgain() })
            }
            return true
        }
        guard isNeeded else { return true }
        do throws(Errno) {
            _ = try systemCall(.thread) {
                unsafe vhu_start_thread { _ in
                    Closer.shared.run()
                    return nil
                }
            }
            return true
        } catch {
            lock.withLock { held in threads[held] &-= 1 }
            Log.later(
                "cannot start a thread that closes what a peer has sent: \(Errno.text(error.code)) (errno \(error.code));"
                    + " it stays open until one starts")
            return false
        }
    }

    /// The first item whose peer keeps no thread busy.
    private func next(_ held: Lock<Closer>.Held) -> Int? {
        waiting[held].firstIndex { unsafe $0.account._withUnsafeGuaranteedRef { !$0.isBusy[held] } }
    }

    /// The body of a thread.
    private func run() {
        var done: Item?
        unsafe vhu_name_thread("vhushmem-close")
        while let item = take(after: done) {
            // Another peer's item may be waiting too.
            startThread()
            item.end()
            unsafe item.account._withUnsafeGuaranteedRef { _ = $0.pending.wrappingSubtract(1, ordering: .relaxed) }
            Closer.pending.wrappingSubtract(1, ordering: .relaxed)
            done = item
        }
    }

    /// The next item to close; nil: there is none, and the thread ends.
    private func take(after done: Item?) -> Item? {
        lock.withLock { held in
            if let done {
                unsafe done.account._withUnsafeGuaranteedRef { $0.isBusy[held] = false }
                if let index = closing[held].firstIndex(where: { $0.isSame(as: done) }) { closing[held].remove(at: index) }
                closed[held].append(done)
            }
            guard let index = next(held) else {
                threads[held] &-= 1
                return nil
            }
            let item = waiting[held].remove(at: index)
            unsafe item.account._withUnsafeGuaranteedRef { $0.isBusy[held] = true }
            closing[held].append(item)
            return item
        }
    }

    /// Runs in a child of fork, which has the descriptors and none of the threads. The lock is held, as it was in the parent.
    private func startAgain() {
        lock.letGo()
        lock.withLock { held in
            for item in closing[held] {
                unsafe item.account._withUnsafeGuaranteedRef { account in
                    account.isBusy[held] = false
                    account.pending.wrappingSubtract(1, ordering: .relaxed)
                }
                Closer.pending.wrappingSubtract(1, ordering: .relaxed)
            }
            // The kernel frees a descriptor's number before the close waits, so the number may be another file's by now. If a
            // thread had not come so far, the child keeps one descriptor too many.
            closed[held] += closing[held]
            closing[held] = []
            threads[held] = 0
        }
    }
}

extension OwnedDescriptor {
    /// The kernel frees a file of this size in almost no time.
    static let quicklyFreed: UInt64 = 16 << 20

    /// Closes a descriptor that a peer sent: in this thread, if the close waits for nobody. `isMapped`: this process has the
    /// file mapped, so that the close does not free it. `holdsLock`: the caller holds a lock.
    static func closeReceived(_ raw: Int32, of account: CloseAccount, isMapped: Bool = false, holdsLock: Bool = false) {
        guard closeMayWait(raw, isMapped) else { return close(raw) }
        Closer.hand(over: raw, of: account)
        if !holdsLock { Log.tellWaiting() }
    }

    private static func closeMayWait(_ raw: Int32, _ isMapped: Bool) -> Bool {
        guard let status = try? FileStatus(of: raw) else { return true }
        if status.isAnonymous { return !isMapped && !FileStatus.isEventfd(raw) }
        if status.isFifo { return false }
        guard status.isRegular, isMapped || FileStatus.allocated(raw) ?? .max <= Int64(quicklyFreed) else { return true }
        // Files that can have seals are in memory. Among the others, files of local disks depend on no other process.
        if case .some(.some) = try? FileStatus.seals(of: raw) { return false }
        return !status.isOnLocalDisk(raw)
    }

    /// Closes a connected socket, with the descriptors that the peer has sent and nobody has received. `process`: as for
    /// `closeListener`.
    static func closeSocket(_ raw: Int32, of account: CloseAccount, process: Int32) {
        // While the parent has the socket, its contents stay.
        guard getpid() == process else { return close(raw) }
        // From now on the peer cannot send descriptors. (A kernel before 6.16 does not know this option; then the peer still
        // has a microsecond.)
        _ = try? systemCall(.setsockopt) { vhu_refuse_descriptors(raw) }
        if (try? Socket.readableBytes(raw)) == 0 { return close(raw) }
        // The close may wait long behind the item that keeps a thread busy, but the peer should learn of the end at once.
        // Usually the close tells it. That is better, because it leaves other owners of the socket alone.
        if account.isPending { systemCallOnce(.shutdown) { vhu_shutdown(raw) } }
        if !Closer.hand(over: raw, of: account) { systemCallOnce(.shutdown) { vhu_shutdown(raw) } }
    }

    /// Closes a listening socket that other processes may have too. It takes no peers out of the queue, because they may be for
    /// another process. If this is the last descriptor, the queue goes with it.
    static func closeGivenListener(_ raw: Int32) {
        if Readiness.canRead(raw) { Closer.hand(over: raw, of: CloseAccount()) } else { close(raw) }
    }

    /// Closes a listening socket. Peers that were not accepted may have sent descriptors, so they are taken out first. Then the
    /// close itself waits for nobody, and the socket's name is free after it. `process`: the process that made the socket. A
    /// child of fork does not end what its parent uses.
    static func closeListener(_ raw: Int32, process: Int32) {
        guard getpid() == process else { return close(raw) }
        // After this no peer can connect.
        systemCallOnce(.shutdown) { vhu_shutdown(raw) }
        let account = CloseAccount()
        do throws(Errno) {
            while true { closeSocket(try systemCall(.accept) { vhu_accept(raw) }, of: account, process: process) }
        } catch {
            let someAreLeft = error.code == EMFILE || error.code == ENFILE
            if someAreLeft { Closer.hand(over: raw, of: account) } else { close(raw) }
        }
    }
}
