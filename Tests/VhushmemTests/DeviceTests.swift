// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import Testing

@testable import Vhushmem

/// A thread that maps and unmaps a page of region 3, which may exist or not.
private final class Mapper {
    private let device: ShmemDevice
    private let file: TestFile
    private let payload: [UInt8]
    /// A flag to stop; how often the region existed; how often it did not. Atomics.
    private let words = UnsafeMutablePointer<UInt64>.allocate(capacity: 3)
    private var errors = 0
    private var thread = pthread_t()

    init(_ device: ShmemDevice, _ file: TestFile, page: UInt64) {
        self.device = device
        self.file = file
        payload = mapPayload(shmid: 3, offset: page * pageSize, length: pageSize)
        words.initialize(repeating: 0, count: 3)
    }

    deinit { words.deallocate() }

    func start() -> Bool {
        // SAFETY: the test holds this object until `finish` has joined the thread.
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Mapper>.fromOpaque(argument).takeUnretainedValue().run()
                return nil
            }, Unmanaged.passUnretained(self).toOpaque()) == 0
    }

    private func run() {
        withBytes(payload) { payload in
            while vhu_load_acquire(words) == 0 {
                let code = refusal { () throws(ShmemError) in try device.handleMap(payload: payload, fd: file.fd) }?.code
                let count = words + (code == nil ? 1 : 2)
                vhu_store_relaxed(count, vhu_load_relaxed(count) + 1)
                if code != nil {
                    if code != ENOENT { errors += 1 }
                    continue
                }
                // The mapping may have gone with its region.
                let undone = refusal { () throws(ShmemError) in try device.handleUnmap(payload: payload) }?.code
                if undone != nil, undone != ENOENT { errors += 1 }
            }
        }
    }

    var hasSeenEnough: Bool { vhu_load_relaxed(words + 1) >= 100 && vhu_load_relaxed(words + 2) >= 100 }

    /// Stops the thread. Returns how many refusals were wrong.
    func finish() -> Int {
        vhu_store_release(words, 1)
        pthread_join(thread, nil)
        return errors
    }
}

@Suite struct DeviceTests {
    @Test func everyIdCanHaveOneRegion() throws {
        let device = ShmemDevice()
        for id in UInt8.min...UInt8.max { try device.addRegion(shmid: id, size: pageSize) }
        #expect(device.allRegions.map(\.shmid) == Array(UInt8.min...UInt8.max))
        #expect(refusal { () throws(ShmemError) in try device.addRegion(shmid: 255, size: pageSize) }?.code == EEXIST)
    }

    @Test(arguments: [0, 1, pageSize - 1, pageSize + 1, UInt64.max])
    func sizeThatIsNoMultipleOfThePageIsRefused(size: UInt64) {
        let device = ShmemDevice()
        #expect(refusal { () throws(ShmemError) in try device.addRegion(shmid: 0, size: size) }?.code == EINVAL)
        #expect(device.region(shmid: 0) == nil)
    }

    @Test(arguments: [1 << 62, UInt64.max & ~(pageSize - 1)])
    func regionThatNoAddressSpaceHoldsIsRefused(size: UInt64) {
        let device = ShmemDevice()
        #expect(refusal { () throws(ShmemError) in try device.addRegion(shmid: 0, size: size) }?.code == ENOMEM)
        #expect(device.allRegions.isEmpty)
    }

    @Test func quotaCountsAllRegions() throws {
        var options = DeviceOptions()
        options.maximumMappings = 2
        options.maximumBytes = 4 * pageSize
        let device = ShmemDevice(options)
        let file = try makeMemfd(pages: 4)
        let one = try device.addRegion(shmid: 1, size: 8 * pageSize)
        let two = try device.addRegion(shmid: 2, size: 8 * pageSize)
        try one.map(fd: file.fd, at: 0, length: 2 * pageSize)
        #expect(refusal { () throws(ShmemError) in try two.map(fd: file.fd, at: 0, length: 3 * pageSize) }?.code == ENOSPC)
        try two.map(fd: file.fd, at: 0, length: pageSize)
        #expect(refusal { () throws(ShmemError) in try one.map(fd: file.fd, at: 4 * pageSize, length: 1) }?.code == ENOSPC)
        #expect(device.mappingCount == 2 && device.mappedBytes == 3 * pageSize)
        #expect(device.unmapAll() == 2)
        #expect(device.mappedBytes == 0)
    }

    @Test func mappingsEndWithTheDeviceEvenWhereTheRegionIsHeld() throws {
        let file = try makeMemfd(pages: 1)
        var device: ShmemDevice? = ShmemDevice()
        let region = try #require(try device?.addRegion(shmid: 0, size: 8 * pageSize))
        try region.map(fd: file.fd, at: 0, length: pageSize)
        let mapping = try #require(region.mapping(at: 0, length: pageSize))
        device = nil
        #expect(region.mappingCount == 0 && mapping.baseAddress == nil && isReserved(region.window))
        let late = refusal { () throws(ShmemError) in try region.map(fd: file.fd, at: 0, length: pageSize) }
        #expect(late?.code == ESHUTDOWN)
    }

    @Test func regionsThatAreRemovedGoWithTheirMappings() throws {
        let file = try makeMemfd(pages: 1)
        let device = ShmemDevice()
        weak let region = try device.addRegion(shmid: 3, size: 8 * pageSize)
        try device.addRegion(shmid: 4, size: pageSize)
        try region?.map(fd: file.fd, at: 0, length: pageSize)
        device.removeRegions()
        #expect(region == nil && device.allRegions.isEmpty && device.mappingCount == 0)
        let payload = mapPayload(shmid: 3, offset: 0, length: pageSize)
        let late = withBytes(payload) { payload in
            refusal { () throws(ShmemError) in try device.handleMap(payload: payload, fd: file.fd) }
        }
        #expect(late?.code == ENOENT)
        // The ids are free again.
        let next = try device.addRegion(shmid: 3, size: pageSize)
        #expect(device.region(shmid: 3) === next)
    }

    @Test func removedRegionKeepsItsWindowWhileSomebodyHoldsIt() throws {
        let file = try makeMemfd(pages: 1)
        let device = ShmemDevice()
        var held: Region? = try device.addRegion(shmid: 3, size: 8 * pageSize)
        weak let region = held
        try held?.map(fd: file.fd, at: 0, length: pageSize)
        device.removeRegions()
        let window = try #require(held?.window)
        #expect(isReserved(window) && held?.mappingCount == 0)
        held = nil
        #expect(region == nil)
    }

    @Test func removedRegionWhoseContainerWasAskedForStaysUntilTheDeviceGoes() throws {
        var device: ShmemDevice? = ShmemDevice()
        weak let region = try device?.addRegion(shmid: 3, size: pageSize)
        let pointer = try #require(region?.memoryRegion)
        device?.removeRegions()
        #expect(region != nil && pointer.pointee.size == pageSize)
        device = nil
        #expect(region == nil)
    }

    /// The device's regions are removed during a map into one of them: that region goes when the map is done.
    @Test func regionThatIsRemovedInsideItsOwnMapOutlivesTheMap() throws {
        final class Remover: RegionObserver {
            weak var device: ShmemDevice?
            var isThere = false

            func regionDidMap(_ region: Region, _: MappingRecord) {
                region.stopObserving()
                weak let observed = region
                device?.removeRegions()
                isThere = observed != nil
            }
            func regionWillUnmap(_: Region, _: MappingRecord) {}
            func regionDidCommit(_: Region) {}
        }
        let file = try makeMemfd(pages: 1)
        let device = ShmemDevice()
        let remover = Remover()
        remover.device = device
        weak let region = try device.addRegion(shmid: 3, size: pageSize)
        region?.observe(with: remover)
        let payload = mapPayload(shmid: 3, offset: 0, length: pageSize)
        try withBytes(payload) { try device.handleMap(payload: $0, fd: file.fd) }
        #expect(remover.isThere && region == nil && device.mappingCount == 0)
    }

    @Test func regionsComeAndGoBesideThreadsThatMap() throws {
        let device = ShmemDevice()
        let file = try makeMemfd(pages: 1)
        let mappers = [Mapper(device, file, page: 0), Mapper(device, file, page: 1)]
        #expect(mappers.allSatisfy { $0.start() })
        var rounds: UInt32 = 0
        // A busy machine may start the threads late: go on until each has found the region and missed it.
        while rounds < 500 || !mappers.allSatisfy({ $0.hasSeenEnough }) {
            rounds += 1
            try device.addRegion(shmid: 3, size: 8 * pageSize)
            if rounds.isMultiple(of: 4) { usleep(100) }
            device.removeRegions()
        }
        let errors = mappers.map { $0.finish() }
        #expect(errors == [0, 0])
        #expect(device.mappingCount == 0 && device.mappedBytes == 0)
    }

    @Test func messagesAreCarriedOutOneByOne() throws {
        let file = try makeMemfd(pages: 2)
        let device = ShmemDevice()
        let region = try device.addRegion(shmid: 3, size: 8 * pageSize)
        let payload = mapPayload(shmid: 3, offset: pageSize, length: pageSize)
        try withBytes(payload) { try device.handleMap(payload: $0, fd: file.fd) }
        device.commit()
        #expect(region.mappings.map(\.offset) == [pageSize])
        try withBytes(payload) { try device.handleUnmap(payload: $0) }
        #expect(region.mappingCount == 0)
    }

    @Test func messagesThatAreNotWhatTheyMustBeAreRefused() throws {
        let file = try makeMemfd(pages: 1)
        let device = ShmemDevice()
        try device.addRegion(shmid: 3, size: 8 * pageSize)
        let good = mapPayload(shmid: 3, offset: 0, length: pageSize)
        for (payload, fd, code) in [
            (Array(good.dropLast()), file.fd, EINVAL), (good + [0], file.fd, EINVAL), ([], file.fd, EINVAL), (good, -1, EINVAL),
            (mapPayload(shmid: 4, offset: 0, length: pageSize), file.fd, ENOENT),
            (mapPayload(shmid: 4, offset: 0, length: pageSize), -1, EINVAL),
            (mapPayload(shmid: 3, offset: 1, length: pageSize), file.fd, EINVAL),
        ] as [([UInt8], Int32, Int32)] {
            let error = #expect(throws: ShmemError.self) {
                try withBytes(payload) { try device.handleMap(payload: $0, fd: fd) }
            }
            #expect(error?.code == code, "\(payload)")
        }
        #expect(device.mappingCount == 0)
    }
}

private func mapPayload(shmid: UInt8, offset: UInt64, length: UInt64) -> [UInt8] {
    encoded(
        SharedMemoryMap.size,
        SharedMemoryMap(shmid: shmid, fileOffset: 0, offset: offset, length: length, flags: 0).encode)
}
