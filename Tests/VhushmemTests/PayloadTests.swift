// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import Vhushmem

/// The payloads of the front-end's requests, byte for byte.
@Suite struct PayloadTests {
    private static let values: [UInt64] = [0, 1, 0xfff, 0x1234_5678_9abc_def0, .max]

    private func u32(_ value: UInt64) -> [UInt8] { Array(littleEndian(value)[..<4]) }

    @Test(arguments: values) func vringState(value: UInt64) {
        let small = UInt32(truncatingIfNeeded: value)
        let state = VringState(queue: 3, number: small)
        let bytes = encoded(VringState.size, state.encode)
        #expect(bytes == [3, 0, 0, 0] + u32(value))
        #expect(withBytes(bytes) { VringState($0) } == state)
    }

    @Test(arguments: values) func vringAddresses(value: UInt64) {
        let small = UInt32(truncatingIfNeeded: value)
        let addresses = VringAddresses(
            queue: small, flags: 1, descriptors: value, used: value ^ 1, available: value ^ 2, log: value ^ 3)
        let bytes = encoded(VringAddresses.size, addresses.encode)
        let expected =
            u32(value) + [1, 0, 0, 0] + littleEndian(value) + littleEndian(value ^ 1) + littleEndian(value ^ 2)
            + littleEndian(value ^ 3)
        #expect(bytes == expected)
        #expect(withBytes(bytes) { VringAddresses($0) } == addresses)
    }

    @Test(arguments: values) func singleMemoryRegion(value: UInt64) {
        let region = SingleMemoryRegion(
            MemoryTableRegion(guestAddress: value, length: value ^ 1, userAddress: value ^ 2, fileOffset: value ^ 3))
        let bytes = encoded(SingleMemoryRegion.size, region.encode)
        let expected =
            littleEndian(0) + littleEndian(value) + littleEndian(value ^ 1) + littleEndian(value ^ 2) + littleEndian(value ^ 3)
        #expect(bytes == expected)
        #expect(withBytes(bytes) { SingleMemoryRegion($0) } == region)
    }

    @Test(arguments: 0...8) func memoryTable(count: Int) throws {
        let regions = (0..<count).map { index in
            let value = UInt64(index) << 32
            return MemoryTableRegion(guestAddress: value, length: 0x1000, userAddress: value | 1, fileOffset: value | 2)
        }
        let table = try #require(MemoryTable(regions))
        let bytes = encoded(table.size, table.encode)
        #expect(bytes.count == 8 + 32 * count)
        #expect(Array(bytes[..<8]) == [UInt8(count), 0, 0, 0, 0, 0, 0, 0])
        #expect(withBytes(bytes) { MemoryTable($0) } == table)
        #expect(withBytes(bytes + [0]) { MemoryTable($0) } == nil)
        #expect(withBytes(Array(bytes.dropLast())) { MemoryTable($0) } == nil)
    }

    @Test func memoryTableOfMoreThanEightRegionsIsNone() {
        let region = MemoryTableRegion(guestAddress: 0, length: 0, userAddress: 0, fileOffset: 0)
        #expect(MemoryTable([MemoryTableRegion](repeating: region, count: 9)) == nil)
        for stated in [9, 10, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] as [UInt64] {
            let bytes = u32(stated) + [UInt8](repeating: 0, count: 4 + 32 * 9)
            #expect(withBytes(bytes) { MemoryTable($0) } == nil)
        }
    }

    @Test func configAccessCarriesAsManyBytesAsItSays() {
        let access = ConfigAccess(offset: 0x10, length: 4, flags: 1)
        let bytes = encoded(ConfigAccess.size, access.encode) + [1, 2, 3, 4]
        #expect(bytes == [0x10, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4])
        #expect(withBytes(bytes) { ConfigAccess($0) } == access)
        #expect(withBytes(bytes + [5]) { ConfigAccess($0) } == nil)
        #expect(withBytes(Array(bytes.dropLast())) { ConfigAccess($0) } == nil)
        #expect(withBytes([]) { ConfigAccess($0) } == nil)
        #expect(withBytes([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]) { ConfigAccess($0) } == nil)
    }

    @Test func inflightAreaIsTakenPaddedAndNot() {
        let area = InflightDescription(length: 0x1_0000_0001, fileOffset: 0x2_0000_0002, queues: 0xabcd, queueSize: 0x1234)
        let bytes = encoded(InflightDescription.size, area.encode)
        #expect(bytes == littleEndian(0x1_0000_0001) + littleEndian(0x2_0000_0002) + [0xcd, 0xab, 0x34, 0x12, 0, 0, 0, 0])
        #expect(withBytes(bytes) { InflightDescription($0) } == area)
        #expect(withBytes(Array(bytes[..<20])) { InflightDescription($0) } == area)
        for length in [0, 19, 21, 22, 23, 25] {
            #expect(withBytes([UInt8](repeating: 0, count: length)) { InflightDescription($0) } == nil)
        }
    }

    @Test func deviceStateGoesOneOfTwoWays() {
        for (direction, byte) in [(.save, 0), (.load, 1)] as [(DeviceStateTransfer.Direction, UInt8)] {
            let bytes = encoded(DeviceStateTransfer.size, DeviceStateTransfer(direction).encode)
            #expect(bytes == [byte, 0, 0, 0, 0, 0, 0, 0])
            #expect(withBytes(bytes) { DeviceStateTransfer($0)?.direction } == direction)
        }
        #expect(withBytes([2, 0, 0, 0, 0, 0, 0, 0]) { DeviceStateTransfer($0)?.direction } == nil)
        #expect(withBytes([0, 0, 0, 0, 1, 0, 0, 0]) { DeviceStateTransfer($0)?.direction } == nil)
        #expect(DeviceStateTransfer.reply(0x100) == (false, false))
        #expect(DeviceStateTransfer.reply(0) == (false, true))
        #expect(DeviceStateTransfer.reply(0x101) == (true, false))
        #expect(DeviceStateTransfer.encodedReply(failed: true, hasDescriptor: false) == 0x101)
        #expect(DeviceStateTransfer.encodedReply(failed: false, hasDescriptor: true) == 0)
    }

    @Test(arguments: [VringState.size, VringAddresses.size, SingleMemoryRegion.size])
    func payloadsOfAnotherLengthAreNone(size: Int) {
        for length in [0, 1, size - 1, size + 1, 2056] {
            let bytes = [UInt8](repeating: 0, count: length)
            if length != VringState.size { #expect(withBytes(bytes) { VringState($0) } == nil) }
            if length != VringAddresses.size {
                #expect(withBytes(bytes) { VringAddresses($0) } == nil)
                #expect(withBytes(bytes) { SingleMemoryRegion($0) } == nil)
            }
        }
    }
}
