// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Synchronization

/// What one peer has sent that is still to be closed or unmapped. A session has one for all of its connections.
///
/// Unchecked Sendable: one number is atomic, and the closer's lock guards the rest.
final class CloseAccount: @unchecked Sendable {
    /// So many descriptors of one peer may wait. Then nothing more is read from it.
    static let most = 64

    /// Descriptors that were handed over and are not closed yet.
    fileprivate let pending = Atomic<Int>(0)
    /// A thread is closing one of them.
    fileprivate var isBusy = Closer.Guarded(false)

    var isPending: Bool { pending.load(ordering: .relaxed) > 0 }

    /// Whether the peer is to wait before it sends more. One that keeps nobody waiting is not held up for others' sake.
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

/// Closes what peers have sent, where that may wait: close() of a socket waits as long as its linger time says, that of a file of FUSE for
/// its server, and that of the last descriptor of a large file while the kernel frees it. No call of the kernel gives a descriptor up without.
///
/// So it is done in threads of the library's own, which are there only while there is something to close. One peer keeps one of them busy
/// at most, so that it holds up nobody but itself.
///
/// Unchecked Sendable: its lock guards what changes.
final class Closer: @unchecked Sendable {
    typealias Guarded = Lock<Closer>.Guarded

    /// So many descriptors may wait in the whole process before peers that have some are held up.
    static let most = 256
    /// More than a few peers that keep one busy are not to be expected.
    private static let mostThreads = 8

    static let pending = Atomic<Int>(0)
    private static let shared = Closer()

    /// The account is held by hand: a thread that only closes needs no memory, and the C library would set some aside for it.
    @safe private struct Item {
        /// -1: it is a mapping.
        let fd: Int32
        let mapping: UnsafeMutableRawBufferPointer
        let account: Unmanaged<CloseAccount>

        /// The number alone may be that of a later one: the kernel gives it away before a close ends.
        func isSame(as other: Item) -> Bool {
            unsafe fd == other.fd && mapping.baseAddress == other.mapping.baseAddress
                && account.toOpaque() == other.account.toOpaque()
        }

        /// What may wait.
        func end() {
            if fd >= 0 { return OwnedDescriptor.close(fd) }
            // SAFETY: nobody else has an address in it any more.
            if let start = unsafe mapping.baseAddress { try? unsafe MemoryCalls.unmap(start, mapping.count) }
        }
    }

    private let lock = Lock<Closer>()
    private var waiting = Guarded<[Item]>([])
    private var closing = Guarded<[Item]>([])
    /// Closed, and the account is still held.
    private var closed = Guarded<[Item]>([])
    private var threads = Guarded(0)
    private var knowsForks = Guarded(false)

    private init() {}

    /// Has a descriptor closed, which is the closer's from now on. False: no thread can be made for that now; it is tried again when there
    /// is more to close.
    @discardableResult
    static func hand(over fd: Int32, of account: CloseAccount) -> Bool {
        unsafe hand(over: Item(fd: fd, mapping: .init(start: nil, count: 0), account: .passRetained(account)), account)
    }

    /// Has memory unmapped, with which a large file may go. Nobody has an address in it.
    static func hand(over mapping: UnsafeMutableRawBufferPointer, of account: CloseAccount) {
        unsafe hand(over: Item(fd: -1, mapping: mapping, account: .passRetained(account)), account)
    }

    @discardableResult
    private static func hand(over item: Item, _ account: CloseAccount) -> Bool {
        account.pending.wrappingAdd(1, ordering: .relaxed)
        pending.wrappingAdd(1, ordering: .relaxed)
        shared.lock.withLock { held in
            shared.waiting[held].append(item)
            // What threads append to has room for all.
            let count = shared.waiting[held].count &+ shared.closing[held].count &+ shared.closed[held].count
            shared.closing[held].reserveCapacity(count)
            shared.closed[held].reserveCapacity(count)
        }
        return goOn()
    }

    /// Has a thread made for what waits, if it needs one. False: it can't be.
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

    /// Starts a thread for what waits, if there is a peer that none has anything to do with.
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
                "no thread to close what a peer has sent: \(Errno.text(error.code)) (errno \(error.code)); it stays open until"
                    + " there is one")
            return false
        }
    }

    /// The first one whose peer keeps no thread busy.
    private func next(_ held: Lock<Closer>.Held) -> Int? {
        waiting[held].firstIndex { unsafe $0.account._withUnsafeGuaranteedRef { !$0.isBusy[held] } }
    }

    /// What a thread does.
    private func run() {
        var done: Item?
        unsafe vhu_name_thread("vhushmem-close")
        while let item = take(after: done) {
            // Another peer's may be waiting too.
            startThread()
            item.end()
            unsafe item.account._withUnsafeGuaranteedRef { _ = $0.pending.wrappingSubtract(1, ordering: .relaxed) }
            Closer.pending.wrappingSubtract(1, ordering: .relaxed)
            done = item
        }
    }

    /// The next one to close; nil: there is none, and the thread ends.
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

    /// In a child of fork, which has the descriptors and none of the threads. The lock is held, as it was in the parent.
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
            // The kernel takes a descriptor away before it waits: its number may be somebody else's by now. Should a thread not have got so
            // far, the child keeps a descriptor too many.
            closed[held] += closing[held]
            closing[held] = []
            threads[held] = 0
        }
    }
}

extension OwnedDescriptor {
    /// Frees no more than this takes no time worth mentioning.
    static let quicklyFreed: UInt64 = 16 << 20

    /// Closes a descriptor that a peer sent, here if that waits for nobody. `isMapped`: this process has the file mapped, so that it is not
    /// freed by this.
    /// `holdsLock`: the caller holds one.
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
        // Files that can have seals are in memory. Of the others, those of local disks need nobody else.
        if case .some(.some) = try? FileStatus.seals(of: raw) { return false }
        return !status.isOnLocalDisk(raw)
    }

    /// Closes a connected socket: the descriptors that the peer has sent and nobody has received go with it. `process`: as for `closeListener`.
    static func closeSocket(_ raw: Int32, of account: CloseAccount, process: Int32) {
        // While the parent has it, nothing goes with this descriptor.
        guard getpid() == process else { return close(raw) }
        // From now on it can send no more. (A kernel before 6.16 does not know this; it leaves a peer a microsecond.)
        _ = try? systemCall(.setsockopt) { vhu_refuse_descriptors(raw) }
        if (try? Socket.readableBytes(raw)) == 0 { return close(raw) }
        // Behind what keeps a thread busy it may wait for long. The peer is to know at once that it is over; but as a rule the close tells it,
        // which leaves alone who shares the socket.
        if account.isPending { systemCallOnce(.shutdown) { vhu_shutdown(raw) } }
        if !Closer.hand(over: raw, of: account) { systemCallOnce(.shutdown) { vhu_shutdown(raw) } }
    }

    /// Closes a socket that listens, and that others may have. Nothing is taken from it: its peers may be theirs. If it goes with this, so does
    /// what waits in it.
    static func closeGivenListener(_ raw: Int32) {
        if Readiness.canRead(raw) { Closer.hand(over: raw, of: CloseAccount()) } else { close(raw) }
    }

    /// Closes a socket that listens. Peers that were not accepted may have sent something all the same, and are taken out first: so the
    /// close itself waits for nobody, and the socket's name is free after it. `process`: the one that made it. A child of fork does not end
    /// what its parent uses.
    static func closeListener(_ raw: Int32, process: Int32) {
        guard getpid() == process else { return close(raw) }
        // After this nobody connects.
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
