// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import CVhushmem
import Synchronization

typealias MemoryRegionPointer = UnsafeMutablePointer<MemoryRegion>

/// What stands behind a MemoryRegion that a caller embeds.
final class MemoryRegionState {
    enum Backing {
        case container
        case file(FileMemory)
    }

    let backing: Backing
    let listeners = ListenerGroup()
    let name: UnsafeMutablePointer<CChar>?
    private(set) var children: [MemoryRegionPointer] = []
    private let references = Atomic<Int>(1)

    init(_ backing: Backing, name: UnsafePointer<CChar>?) {
        self.backing = backing
        self.name = name.flatMap { strdup($0) }
    }

    deinit {
        free(name)
    }

    var baseAddress: UnsafeMutableRawPointer? {
        if case .file(let memory) = backing { return memory.baseAddress }
        return nil
    }

    func retainOnce() {
        references.wrappingAdd(1, ordering: .relaxed)
    }

    /// True: that was the last reference.
    func releaseOnce() -> Bool {
        references.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0
    }

    func section(of child: MemoryRegionPointer, in region: MemoryRegionPointer) -> MemoryRegionSection? {
        guard let host = child.baseAddress else { return nil }
        return MemoryRegionSection(
            mr: region, offset_within_region: child.pointee.addr, size: child.pointee.size, host: host,
            readonly: child.isReadOnly)
    }

    func sections(in region: MemoryRegionPointer) -> [MemoryRegionSection] {
        children.compactMap { section(of: $0, in: region) }
    }

    func add(_ child: MemoryRegionPointer, to region: MemoryRegionPointer) {
        children.append(child)
        if let section = section(of: child, in: region) { listeners.didAdd(section) }
        listeners.commit()
    }

    func remove(_ child: MemoryRegionPointer, from region: MemoryRegionPointer) {
        if let section = section(of: child, in: region) { listeners.willRemove(section) }
        children.removeAll { $0 == child }
        listeners.commit()
    }
}

/// The MemoryRegion that stands for a shared memory region: a container whose sections are the live mappings. Owned by the region.
final class RegionContainer: RegionObserver {
    let pointer: MemoryRegionPointer
    let listeners = ListenerGroup()
    /// The region owns the container, so a strong reference back would keep both for ever.
    private let owner: Unmanaged<Region>

    init(of region: Region) {
        owner = Unmanaged.passUnretained(region)
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: MemoryRegion())
        pointer.pointee.size = region.size
        pointer.pointee.reserved.0 = MemoryRegionPointer.containerMark
        pointer.pointee.vhushmem_state = Unmanaged.passUnretained(self).toOpaque()
    }

    deinit {
        pointer.deallocate()
    }

    var region: Region { owner.takeUnretainedValue() }

    private func section(_ region: Region, _ record: MappingRecord) -> MemoryRegionSection {
        MemoryRegionSection(
            mr: pointer, offset_within_region: record.start, size: region.ownedPages(record)?.length ?? record.length,
            host: region.window.baseAddress + Int(clamping: record.start),
            readonly: !MappingWord(bits: record.word).isWritable)
    }

    /// What the listeners were told of.
    private var sections: [MemoryRegionSection] {
        var all: [MemoryRegionSection] = []
        region.forEachRecord { if $0.facts.isAnnounced { all.append(section(region, $0)) } }
        return all
    }

    func add(_ listener: UnsafeMutablePointer<MemoryListener>) {
        guard listeners.isEmpty else { return listeners.add(listener, existing: sections) }
        listeners.add(listener, existing: [])
        region.observe(with: self)
        listeners.commit()
    }

    func remove(_ listener: UnsafeMutablePointer<MemoryListener>) {
        listeners.remove(listener, existing: sections)
        if listeners.isEmpty { region.stopObserving() }
    }

    func regionDidMap(_ region: Region, _ record: MappingRecord) { listeners.didAdd(section(region, record)) }
    func regionWillUnmap(_ region: Region, _ record: MappingRecord) { listeners.willRemove(section(region, record)) }
    func regionDidCommit(_ region: Region) { listeners.commit() }
}

extension Region {
    /// The container that stands for the region among memory regions.
    var memoryRegion: MemoryRegionPointer {
        device.lock.withLock { held in
            if let container = container[held] { return container.address.assumingMemoryBound(to: MemoryRegion.self) }
            let made = RegionContainer(of: self)
            container[held] = RegionStandIn(observer: made, address: made.pointer)
            return made.pointer
        }
    }
}

extension MemoryRegionPointer {
    /// In reserved[0] of the container of a shared memory region, which the library allocates itself.
    fileprivate static let containerMark: UInt64 = 1

    /// nil: the MemoryRegion was not initialised, or stands for a shared memory region.
    var state: MemoryRegionState? {
        guard pointee.reserved.0 != MemoryRegionPointer.containerMark else { return nil }
        // SAFETY: set by the functions of series.h alone, which retained the object; cleared when its last reference goes.
        return pointee.vhushmem_state.map { Unmanaged<MemoryRegionState>.fromOpaque($0).takeUnretainedValue() }
    }

    /// nil: it stands for no shared memory region.
    var regionContainer: RegionContainer? {
        guard pointee.reserved.0 == MemoryRegionPointer.containerMark else { return nil }
        // SAFETY: the container is alive so long as its MemoryRegion is: it owns it.
        return pointee.vhushmem_state.map { Unmanaged<RegionContainer>.fromOpaque($0).takeUnretainedValue() }
    }

    var baseAddress: UnsafeMutableRawPointer? {
        regionContainer?.region.window.baseAddress ?? state?.baseAddress
    }

    fileprivate var isReadOnly: Bool {
        if case .file(let memory)? = state?.backing { return memory.isReadOnly }
        return false
    }
}
