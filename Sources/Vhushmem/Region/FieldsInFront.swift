// SPDX-License-Identifier: BSD-3-Clause

import CVhushmem

/// The fields that C programs read in a device, a region or a mapping (vhushmem/series.h). They are the first stored property
/// of each. So they begin behind the two words that every object has, where the C header has `vhushmem_object`.
/// series-fields-are-true.c would notice another place.
enum FieldsInFront {
    /// In `MemoryRegion.reserved.0`: the kind of the object in `vhushmem_state`. 0: a program embeds the MemoryRegion.
    static let markOfRegion: UInt64 = 1
    static let markOfMapping: UInt64 = 2

    private static let sizeOfHeader = 16

    fileprivate static func address(in object: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        unsafe object + sizeOfHeader
    }

    fileprivate static func memoryRegion(of object: UnsafeMutableRawPointer, mark: UInt64, size: UInt64) -> MemoryRegion {
        var region = unsafe MemoryRegion()
        unsafe region.vhushmem_state = unsafe object
        unsafe region.size = size
        unsafe region.reserved.0 = mark
        return unsafe region
    }

    /// The address of a field. Memory behind a pointer does not move.
    fileprivate static func place<Field>(of field: inout Field) -> UnsafeMutablePointer<Field> {
        unsafe withUnsafeMutablePointer(to: &field) { unsafe $0 }
    }
}

extension Mapping {
    private var address: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

    var inFront: UnsafeMutablePointer<vhushmem_mapping_fields> {
        // SAFETY: that is where its first stored property is.
        unsafe FieldsInFront.address(in: address).assumingMemoryBound(to: vhushmem_mapping_fields.self)
    }

    func fillFields() {
        let fields = unsafe inFront
        unsafe fields.pointee.shmid = asked.shmid
        unsafe fields.pointee.offset = hwaddr(asked.offset)
        unsafe fields.pointee.len = asked.length
        unsafe fields.pointee.vhushmem_mr = unsafe FieldsInFront.memoryRegion(
            of: address, mark: FieldsInFront.markOfMapping, size: asked.length)
        unsafe fields.pointee.mr = unsafe FieldsInFront.place(of: &fields.pointee.vhushmem_mr)
    }
}

extension Region {
    private var address: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

    var inFront: UnsafeMutablePointer<vhushmem_region_fields> {
        // SAFETY: as above.
        unsafe FieldsInFront.address(in: address).assumingMemoryBound(to: vhushmem_region_fields.self)
    }

    func fillFields() {
        let fields = unsafe inFront
        unsafe fields.pointee.shmid = shmid
        unsafe fields.pointee.mr = unsafe FieldsInFront.memoryRegion(of: address, mark: FieldsInFront.markOfRegion, size: size)
        unsafe fields.pointee.mmaps.tqh_last = unsafe FieldsInFront.place(of: &fields.pointee.mmaps.tqh_first)
    }

    /// The address of `mr`.
    var memoryRegionInFront: UnsafeMutablePointer<MemoryRegion> { unsafe FieldsInFront.place(of: &inFront.pointee.mr) }
}

extension ShmemDevice {
    /// Updates `shmem_list` to the device's regions.
    func relist(_ regions: [Region], _ held: DeviceState.Held) {
        // SAFETY: as above.
        let fields = unsafe FieldsInFront.address(in: Unmanaged.passUnretained(self).toOpaque())
            .assumingMemoryBound(to: vhushmem_device_fields.self)
        var last = unsafe FieldsInFront.place(of: &fields.pointee.shmem_list.sqh_first)
        for region in regions {
            unsafe last.pointee = unsafe OpaquePointer(Unmanaged.passUnretained(region).toOpaque())
            unsafe last = unsafe FieldsInFront.place(of: &region.inFront.pointee.entry.sqe_next)
        }
        unsafe last.pointee = nil
        unsafe fields.pointee.shmem_list.sqh_last = unsafe last
    }
}

// MARK: The list of a region's mappings

/// Keeps `mmaps`. The region owns it.
@safe private final class MappingList: RegionFollower {
    private let fields: UnsafeMutablePointer<vhushmem_region_fields>

    init(of region: Region) {
        unsafe fields = unsafe region.inFront
    }

    func mappingComes(_ record: MappingRecord, _ pages: ByteRange, in window: RegionWindow, _ held: Region.Held) {
        guard let mapping = MappingWord(bits: record.word).mapping else { return }
        let its = unsafe mapping.inFront
        let last = unsafe fields.pointee.mmaps.tqh_last
        unsafe its.pointee.link.tqe_next = nil
        unsafe its.pointee.link.tqe_prev = unsafe last
        unsafe last?.pointee = unsafe OpaquePointer(Unmanaged.passUnretained(mapping).toOpaque())
        unsafe fields.pointee.mmaps.tqh_last = unsafe FieldsInFront.place(of: &its.pointee.link.tqe_next)
    }

    func mappingGoes(_ record: MappingRecord, _ held: Region.Held) {
        guard let mapping = MappingWord(bits: record.word).mapping else { return }
        unlink(mapping)
    }

    private func unlink(_ mapping: Mapping) {
        let its = unsafe mapping.inFront
        // A mapping that is in no list has no place.
        guard let place = unsafe its.pointee.link.tqe_prev else { return }
        unsafe place.pointee = unsafe its.pointee.link.tqe_next
        if let next = unsafe its.pointee.link.tqe_next {
            // SAFETY: the list has only live mappings, which their records retain.
            unsafe Unmanaged<Mapping>.fromOpaque(UnsafeRawPointer(next)).takeUnretainedValue().inFront.pointee.link.tqe_prev =
                unsafe place
        } else {
            unsafe fields.pointee.mmaps.tqh_last = unsafe place
        }
        unsafe its.pointee.link.tqe_next = nil
        unsafe its.pointee.link.tqe_prev = nil
    }

    func allMappingsGo(_ held: Region.Held) {
        while let first = unsafe fields.pointee.mmaps.tqh_first {
            // SAFETY: as above.
            unsafe unlink(Unmanaged<Mapping>.fromOpaque(UnsafeRawPointer(first)).takeUnretainedValue())
        }
    }

    func mappingIsExchanged(
        _ old: MappingRecord, for new: MappingRecord, _ pages: ByteRange, in window: RegionWindow, _ held: Region.Held
    ) {
        mappingGoes(old, held)
        mappingComes(new, pages, in: window, held)
    }
}

extension Region {
    /// From now on `mmaps` has every live mapping, each with an object.
    func listMappings() {
        device.lock.withLock { held in
            guard !isListed[held] else { return }
            isListed[held] = true
            var next = table[held].first(endingAfter: 0)
            while let record = next, let pages = ownedPages(record) {
                _ = table[held].setWord(at: record.start, to: listed(record, held).word)
                next = table[held].first(endingAfter: pages.end)
            }
            // It throws nothing.
            try? add(MappingList(of: self), held)
        }
    }

    /// The record with an object, if the region's mappings are listed.
    func listed(_ record: MappingRecord, _ held: Held) -> MappingRecord {
        let word = MappingWord(bits: record.word)
        guard isListed[held], word.mapping == nil else { return record }
        let mapping = unsafe Mapping(live: record, of: shmid, at: window.baseAddress + Int(clamping: record.start))
        return MappingRecord(
            start: record.start, length: record.length, fileOffset: record.fileOffset, word: word.retaining(mapping).bits,
            identity: record.identity)
    }
}
