// SPDX-License-Identifier: BSD-3-Clause

import CLinux
import CVhushmem
import Synchronization

typealias MemoryRegionPointer = UnsafeMutablePointer<MemoryRegion>

/// The library's state of a MemoryRegion that a program embeds.
@safe final class MemoryRegionState {
    @safe enum Backing {
        case container
        case file(FileMemory)
        /// Memory of the program's own.
        case memory(UnsafeMutableRawPointer)
        /// A part of another region, which is referenced. It is read-only if that is.
        case part(of: MemoryRegionPointer, at: UnsafeMutableRawPointer)
    }

    let backing: Backing
    let listeners = ListenerGroup()
    let name: UnsafeMutablePointer<CChar>?
    private(set) var children: [MemoryRegionPointer] = unsafe []
    private let references = Atomic<Int>(1)

    init(_ backing: Backing, name: UnsafePointer<CChar>?) {
        self.backing = backing
        unsafe self.name = unsafe name.flatMap { unsafe strdup($0) }
    }

    deinit {
        unsafe free(name)
    }

    var baseAddress: UnsafeMutableRawPointer? {
        switch backing {
        case .container: nil
        case .file(let memory): unsafe memory.baseAddress
        case .memory(let address), .part(_, let address): unsafe address
        }
    }

    /// It cannot be written, whatever else listeners are told.
    var isReadOnly: Bool {
        switch backing {
        case .container, .memory: false
        case .file(let memory): memory.isReadOnly
        case .part(let original, _): unsafe original.isMarkedReadOnly || original.state?.isReadOnly == true
        }
    }

    var isContainer: Bool {
        if case .container = backing { return true }
        return false
    }

    func retainOnce() {
        references.wrappingAdd(1, ordering: .relaxed)
    }

    /// True: that was the last reference.
    func releaseOnce() -> Bool {
        references.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0
    }

    func add(_ child: MemoryRegionPointer) {
        unsafe children.append(child)
    }

    func remove(_ child: MemoryRegionPointer) {
        unsafe children.removeAll { unsafe $0 == child }
    }
}

/// Observes a region for the listeners of its MemoryRegion, and of the containers that it is part of. The region owns it.
@safe final class RegionContainer: RegionObserver {
    let pointer: MemoryRegionPointer
    let listeners = ListenerGroup()
    /// The region owns the container, so a strong reference back would keep both for ever.
    private let owner: Unmanaged<Region>
    /// It is part of a container.
    private var isPlaced = false

    init(of region: Region) {
        unsafe owner = unsafe Unmanaged.passUnretained(region)
        unsafe pointer = unsafe region.memoryRegionInFront
    }

    var region: Region { unsafe owner.takeUnretainedValue() }

    /// A listener of a container above hears of each mapping. Otherwise the window is one section for good.
    private var isByMapping: Bool { region.options.strategy == .slots }

    private var isObserving: Bool { !listeners.isEmpty || isPlaced && isByMapping }

    private func section(_ record: MappingRecord) -> MemoryRegionSection {
        unsafe MemoryRegionSection(
            of: pointer, at: record.start, size: region.ownedPages(record)?.length ?? record.length,
            host: region.window.baseAddress + Int(clamping: record.start),
            isReadOnly: !MappingWord(bits: record.word).isWritable)
    }

    /// The sections that the listeners were told of.
    var sections: [MemoryRegionSection] {
        var all: [MemoryRegionSection] = unsafe []
        region.forEachRecord { if $0.facts.isAnnounced { unsafe all.append(section($0)) } }
        return unsafe all
    }

    /// The sections of the region for listeners of containers above.
    var sectionsForOthers: [MemoryRegionSection] {
        if isByMapping { return unsafe sections }
        let window = region.window
        return unsafe [MemoryRegionSection(of: pointer, at: 0, size: window.size, host: window.baseAddress, isReadOnly: false)]
    }

    func add(_ listener: UnsafeMutablePointer<MemoryListener>) {
        guard !isObserving else { return unsafe listeners.add(listener, existing: sections) }
        unsafe listeners.add(listener, existing: [])
        region.observe(with: self)
        listeners.commit()
    }

    func remove(_ listener: UnsafeMutablePointer<MemoryListener>) {
        unsafe listeners.remove(listener, existing: sections)
        if !isObserving { region.stopObserving() }
    }

    /// The MemoryRegion has become part of a container.
    func wasPlaced() {
        let wasObserving = isObserving
        isPlaced = true
        if isObserving, !wasObserving {
            // It learns of the present mappings, and tells the containers above.
            region.observe(with: self)
        } else {
            unsafe pointer.tellAbove(added: sectionsForOthers)
        }
    }

    /// It is about to leave its container.
    func willBeTaken() {
        unsafe pointer.tellAbove(removed: sectionsForOthers)
        let wasObserving = isObserving
        isPlaced = false
        if wasObserving, !isObserving { region.stopObserving() }
    }

    func regionDidMap(_ region: Region, _ record: MappingRecord) {
        let section = unsafe section(record)
        unsafe listeners.didAdd(section)
        if isByMapping { unsafe pointer.tellAbove(added: [section]) }
    }

    func regionWillUnmap(_ region: Region, _ record: MappingRecord) {
        let section = unsafe section(record)
        if isByMapping { unsafe pointer.tellAbove(removed: [section]) }
        unsafe listeners.willRemove(section)
    }

    func regionDidCommit(_ region: Region) {
        listeners.commit()
        if isByMapping { unsafe pointer.commitAbove() }
    }
}

extension Region {
    /// The container that stands for the region among memory regions.
    var memoryRegion: MemoryRegionPointer {
        unsafe memoryContainer.pointer
    }

    var memoryContainer: RegionContainer {
        device.lock.withLock { held in
            if let known = container[held] {
                // SAFETY: it was made below, and the stand-in holds it.
                return unsafe Unmanaged<RegionContainer>.fromOpaque(known.address).takeUnretainedValue()
            }
            let made = RegionContainer(of: self)
            container[held] = unsafe RegionStandIn(observer: made, address: Unmanaged.passUnretained(made).toOpaque())
            return made
        }
    }
}

extension MemoryRegionSection {
    init(
        of region: MemoryRegionPointer, at offset: UInt64, size: UInt64, host: UnsafeMutableRawPointer, isReadOnly: Bool
    ) {
        unsafe self.init(
            mr: region, offset_within_region: hwaddr(offset), size: size, host: host, readonly: isReadOnly,
            offset_within_address_space: hwaddr(offset))
    }

    /// The same for a container that has `mr` at `offset`.
    func seen(from container: MemoryRegionPointer, at offset: UInt64, isReadOnly: Bool) -> MemoryRegionSection {
        unsafe MemoryRegionSection(
            of: container, at: UInt64(offset_within_region) &+ offset, size: size, host: host,
            isReadOnly: readonly || isReadOnly)
    }
}

extension MemoryRegionPointer {
    /// nil: the MemoryRegion was not initialised, or stands for an object of the library.
    var state: MemoryRegionState? {
        guard unsafe pointee.reserved.0 == 0 else { return nil }
        // SAFETY: only the functions of series.h set it, and they retained the object; cleared when its last reference goes.
        return unsafe pointee.vhushmem_state.map { unsafe Unmanaged<MemoryRegionState>.fromOpaque($0).takeUnretainedValue() }
    }

    /// nil: it stands for no shared memory region.
    var sharedRegion: Region? {
        guard unsafe pointee.reserved.0 == FieldsInFront.markOfRegion else { return nil }
        // SAFETY: the MemoryRegion is in front of the object itself.
        return unsafe pointee.vhushmem_state.map { unsafe Unmanaged<Region>.fromOpaque($0).takeUnretainedValue() }
    }

    /// nil: it stands for no mapping.
    var sharedMapping: Mapping? {
        guard unsafe pointee.reserved.0 == FieldsInFront.markOfMapping else { return nil }
        // SAFETY: likewise.
        return unsafe pointee.vhushmem_state.map { unsafe Unmanaged<Mapping>.fromOpaque($0).takeUnretainedValue() }
    }

    var baseAddress: UnsafeMutableRawPointer? {
        if let region = unsafe sharedRegion { return unsafe region.window.baseAddress }
        if let mapping = unsafe sharedMapping { return unsafe mapping.baseAddress }
        return unsafe state?.baseAddress
    }

    /// Listeners of containers do not hear of it.
    var isDisabled: Bool { unsafe pointee.reserved.1 & 1 != 0 }

    func setDisabled(_ isSo: Bool) {
        unsafe pointee.reserved.1 = unsafe pointee.reserved.1 & ~1 | (isSo ? 1 : 0)
    }

    /// Listeners of containers see it as read-only, whatever its memory is.
    var isMarkedReadOnly: Bool { unsafe pointee.reserved.1 & 2 != 0 }

    func setMarkedReadOnly(_ isSo: Bool) {
        unsafe pointee.reserved.1 = unsafe pointee.reserved.1 & ~2 | (isSo ? 2 : 0)
    }
}
