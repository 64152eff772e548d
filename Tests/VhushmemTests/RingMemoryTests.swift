// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

/// A queue of four entries in guest memory that is one page: the available ring at 0x100, the used ring at 0x200.
@Suite struct RingMemoryTests {
    private static let guest: UInt64 = 0x10_0000
    private static let user: UInt64 = 0x7f00_0000_0000
    private let memory: BackendMemory
    private let page: UnsafeMutableRawPointer

    init() throws {
        let file = try makeMemfd(pages: 1, first: 0)
        let told = MemoryTableRegion(
            guestAddress: RingMemoryTests.guest, length: pageSize, userAddress: RingMemoryTests.user, fileOffset: 0)
        memory = try BackendMemory().adding(
            GuestRange.map(told, fd: file.fd, quota: SharedFile.makeQuota(), alarm: Alarm.make()))
        page = try #require(memory.host(at: RingMemoryTests.guest, length: pageSize, isWritten: true))
    }

    private func makeRings(
        size: UInt16 = 4, descriptors: UInt64 = 0, available: UInt64 = 0x100, used: UInt64 = 0x200
    ) -> RingMemory? {
        let user = RingMemoryTests.user
        let addresses = VringAddresses(
            queue: 0, descriptors: user + descriptors, used: user + used, available: user + available)
        return RingMemory(size: size, addresses, in: memory)
    }

    private func put<Value: BitwiseCopyable>(_ value: Value, at offset: Int) {
        page.storeBytes(of: value, toByteOffset: offset, as: Value.self)
    }

    private func get<Value: BitwiseCopyable>(_ offset: Int, as type: Value.Type) -> Value {
        page.loadUnaligned(fromByteOffset: offset, as: type)
    }

    @Test func indicesRunFreelyAndEntriesAreReduced() throws {
        let rings = try #require(makeRings())
        for entry in 0..<4 as Range<UInt16> { put(entry + 10, at: 0x104 + 2 * Int(entry)) }
        for index in [0, 1, 3, 4, 7, 0x7fff, 0x8000, 0xfffc, 0xffff] as [UInt16] {
            #expect(rings.availableHead(at: index) == index % 4 + 10)
            let before = (0..<Int(pageSize)).map { get($0, as: UInt8.self) }
            rings.setUsed(at: index, head: index, written: 0xaabb_ccdd)
            let place = 0x204 + 8 * Int(index % 4)
            #expect(get(place, as: UInt32.self) == UInt32(index) && get(place + 4, as: UInt32.self) == 0xaabb_ccdd)
            let logged = rings.place(of: .entry(index))
            #expect(logged == (UInt64(place - 0x200), 8))
            for offset in before.indices where !(place..<place + 8).contains(offset) {
                #expect(get(offset, as: UInt8.self) == before[offset])
            }
        }
    }

    @Test func wordsAreWhereTheSpecificationHasThem() throws {
        let rings = try #require(makeRings())
        put(1 as UInt16, at: 0x100)
        put(0x1234 as UInt16, at: 0x102)
        put(0x5678 as UInt16, at: 0x100 + 4 + 4 * 2)
        #expect(rings.availableFlags == 1 && rings.availableIndex == 0x1234 && rings.usedEvent == 0x5678)
        rings.setUsedFlags(1)
        rings.publishUsedIndex(0x4321)
        rings.setAvailableEvent(0x8765)
        #expect(get(0x200, as: UInt16.self) == 1 && get(0x202, as: UInt16.self) == 0x4321 && rings.usedIndex == 0x4321)
        #expect(get(0x200 + 4 + 4 * 8, as: UInt16.self) == 0x8765)
        #expect(rings.place(of: .flags) == (0, 2) && rings.place(of: .index) == (2, 2))
        #expect(rings.place(of: .event) == (4 + 4 * 8, 2))
    }

    @Test func partsThatCanNotBeAreRefused() {
        let end = pageSize
        #expect(makeRings() != nil)
        #expect(makeRings(descriptors: 8) == nil && makeRings(available: 0x101) == nil && makeRings(used: 0x202) == nil)
        #expect(makeRings(descriptors: end - 64) != nil && makeRings(descriptors: end - 48) == nil)
        // Each ring ends with the index at which the other side wants to be told.
        #expect(makeRings(available: end - 14) != nil && makeRings(available: end - 12) == nil)
        #expect(makeRings(used: end - 40) != nil && makeRings(used: end - 36) == nil)
        #expect(makeRings(available: end) == nil && makeRings(used: .max - RingMemoryTests.user) == nil)
        for size in [0, 3, 5, 6, 0xffff] as [UInt16] { #expect(makeRings(size: size) == nil) }
    }

    @Test func tableHasNoDescriptorBehindItsLast() throws {
        let table = try #require(makeRings()).descriptorTable
        put(0x1122_3344_5566_7788 as UInt64, at: 48)
        put(0x99aa_bbcc as UInt32, at: 56)
        put(3 as UInt16, at: 60)
        put(7 as UInt16, at: 62)
        let last = try #require(table[3])
        #expect(last.address == 0x1122_3344_5566_7788 && last.length == 0x99aa_bbcc)
        #expect(last.isWritable && !last.isIndirect && last.next == 7)
        for index in [4, 5, 0xffff, 0x1000_0000, .max] as [UInt32] { #expect(table[index] == nil) }
    }

    @Test func indirectTableLiesInGuestMemory() throws {
        let guest = RingMemoryTests.guest
        // It need not be aligned.
        let table = try #require(DescriptorTable(at: guest + 1, count: 2, in: memory))
        put(5 as UInt16, at: 1 + 16 + 12)
        #expect(table[1]?.isIndirect == true && table[1]?.next == 0 && table[2] == nil)
        #expect(DescriptorTable(at: guest + pageSize - 32, count: 2, in: memory) != nil)
        #expect(DescriptorTable(at: guest + pageSize - 31, count: 2, in: memory) == nil)
        #expect(DescriptorTable(at: guest, count: .max, in: memory) == nil)
    }
}
