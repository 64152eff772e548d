// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

/// A queue of four entries in guest memory of one page: descriptors at its beginning, the available ring at 0x100, the used
/// ring at 0x200. The test is the driver.
@Suite struct VirtqueueTests {
    private static let guest: UInt64 = 0x10_0000
    private static let user: UInt64 = 0x7f00_0000_0000
    private let page: UnsafeMutableRawPointer
    private let queue: Virtqueue

    init() throws {
        let file = try makeMemfd(pages: 1, first: 0)
        let (guest, user) = (VirtqueueTests.guest, VirtqueueTests.user)
        let told = MemoryTableRegion(guestAddress: guest, length: pageSize, userAddress: user, fileOffset: 0)
        let memory = try BackendMemory().adding(
            GuestRange.map(told, fd: file.fd, quota: SharedFile.makeQuota(), alarm: Alarm.make()))
        page = try #require(memory.host(at: guest, length: pageSize, isWritten: true))
        page.initializeMemory(as: UInt8.self, repeating: 0, count: Int(pageSize))
        let addresses = VringAddresses(queue: 0, descriptors: user, used: user + 0x200, available: user + 0x100)
        queue = try Virtqueue(
            index: 0, size: 4, base: 0, features: 0, addresses: addresses, memory: memory, ledger: nil)
        for number in 0..<4 {
            page.storeBytes(of: guest + 0x400, toByteOffset: 16 * number, as: UInt64.self)
            page.storeBytes(of: 8, toByteOffset: 16 * number + 8, as: UInt32.self)
        }
    }

    /// Puts a head into the available ring, and adds one to the index.
    private func offer(_ head: UInt16) {
        let index = page.load(fromByteOffset: 0x102, as: UInt16.self)
        page.storeBytes(of: head, toByteOffset: 0x104 + 2 * Int(index % 4), as: UInt16.self)
        page.storeBytes(of: index + 1, toByteOffset: 0x102, as: UInt16.self)
    }

    private func pop() throws -> DescriptorChain? { try queue.pop()?.takeRetainedValue() }

    /// At most four.
    private func popBurst() throws -> [DescriptorChain] {
        try withUnsafeTemporaryAllocation(of: Unmanaged<DescriptorChain>?.self, capacity: 4) { places in
            var count = 0
            try queue.pop(most: 4, into: try #require(places.baseAddress), &count)
            return places[..<count].compactMap { $0?.takeRetainedValue() }
        }
    }

    /// Returns how many went the short way.
    private func pushBurst(_ chains: [DescriptorChain]) -> Int {
        let count = queue.pushPlain(count: chains.count, areGiven: false) { (.passUnretained(chains[$0]), 0) }
        queue.endBurst()
        return count
    }

    private var usedIndex: UInt16 { page.load(fromByteOffset: 0x202, as: UInt16.self) }

    private func isNotHeld(_ result: Virtqueue.Return) -> Bool {
        if case .notHeld = result { true } else { false }
    }

    private func isDone(_ result: Virtqueue.Return) -> Bool {
        if case .done = result { true } else { false }
    }

    @Test func chainIsGivenBackOnce() throws {
        offer(2)
        let chain = try #require(try pop())
        #expect(isDone(queue.push(chain, written: 0)))
        #expect(usedIndex == 1)
        #expect(isNotHeld(queue.push(chain, written: 0)))
        #expect(!queue.putBack(chain))
        #expect(usedIndex == 1)
        // The same if the driver has offered its descriptors again, and the device holds another chain with the same head.
        offer(2)
        let again = try #require(try pop())
        #expect(again.head == chain.head)
        #expect(isNotHeld(queue.push(chain, written: 0)))
        #expect(!queue.putBack(chain))
        #expect(usedIndex == 1)
        #expect(isDone(queue.push(again, written: 0)))
        #expect(usedIndex == 2)
    }

    @Test func chainThatWasPutBackIsNotHeld() throws {
        offer(1)
        let chain = try #require(try pop())
        #expect(queue.putBack(chain))
        #expect(!queue.putBack(chain))
        #expect(isNotHeld(queue.push(chain, written: 0)))
        #expect(usedIndex == 0)
        let again = try #require(try pop())
        #expect(again.head == 1)
        #expect(isDone(queue.push(again, written: 0)))
    }

    @Test func chainOfABurstIsNotUsedAgainWhileItIsHeld() throws {
        // A single chain first, so that the others are where the last buffer was.
        offer(3)
        #expect(isDone(queue.push(try #require(try pop()), written: 0)))
        for head: UInt16 in 0..<3 { offer(head) }
        let chains = try popBurst()
        #expect(chains.map(\.head) == [0, 1, 2])
        #expect(pushBurst(chains) == 3)
        #expect(usedIndex == 4)
        #expect(pushBurst(chains) == 0)
        offer(3)
        let others = try popBurst()
        #expect(others.map(\.head) == [3])
        #expect(!chains.contains { $0 === others[0] })
        #expect(chains.map(\.head) == [0, 1, 2])
        #expect(chains.allSatisfy { !$0.isHeld })
        #expect(pushBurst(others) == 1)
        #expect(usedIndex == 5)
    }

    @Test func driverThatDoesNotKickIsSeen() throws {
        #expect(!queue.hasNews())
        offer(0)
        offer(1)
        #expect(queue.hasNews())
        // Once for present chains; again for new ones, while some were not taken.
        #expect(!queue.hasNews())
        _ = try pop()
        offer(2)
        #expect(queue.hasNews())
        _ = try pop()
        _ = try pop()
        #expect(!queue.hasNews())
    }
}
