// SPDX-License-Identifier: BSD-3-Clause

import CGLib
import CLinux
import CVhushmem

// vhushmem/pci.h

@_cdecl("vhushmem_pci_layout") @implementation
package func vhushmem_pci_layout(
    _ device: OpaquePointer?, _ regions: UnsafeMutablePointer<vhushmem_pci_region>?, _ count: UInt32,
    _ bar_size: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    guard let device = unsafe object(device, ShmemDevice.self), unsafe regions != nil || count == 0 else { return -EFAULT }
    let layout: PciLayout
    do throws(ShmemError) {
        layout = try PciLayout(device)
    } catch {
        return -error.code
    }
    if let regions = unsafe regions, count > 0 {
        guard unsafe hasRoom(regions) else { return -EINVAL }
        let size = unsafe regions.pointee.struct_size
        for (index, place) in layout.places.enumerated() where index < Int(count) {
            let region = unsafe mutableElement(of: regions, index)
            unsafe region.pointee = vhushmem_pci_region(
                struct_size: size, shmid: place.shmid, reserved: (0, 0, 0), offset: place.offset, len: place.length)
            unsafe clearBeyondKnown(region)
        }
    }
    unsafe bar_size?.pointee = layout.barSize
    return Int32(clamping: layout.places.count)
}

@_cdecl("vhushmem_pci_max_regions") @implementation
package func vhushmem_pci_max_regions(_ other_size: UInt32) -> Int32 {
    PciLayout.maximumCapabilities(besides: Int(other_size)).map { Int32(clamping: $0) } ?? -EINVAL
}

@_cdecl("vhushmem_pci_write_cap") @implementation
package func vhushmem_pci_write_cap(
    _ region: UnsafePointer<vhushmem_pci_region>?, _ bar: UInt8, _ cap_next: UInt8, _ cap: UnsafeMutablePointer<UInt8>?
) -> Int32 {
    guard let region = unsafe region, let cap = unsafe cap else { return -EFAULT }
    guard let region = try? unsafe growing(region, "vhushmem_pci_region"), region.reserved == (0, 0, 0) else { return -EINVAL }
    guard bar <= 5, PciLayout.isPlace(ofNextCapability: cap_next) else { return -EINVAL }
    unsafe PciLayout.writeCapability(
        of: PciLayout.Place(shmid: region.shmid, offset: region.offset, length: region.len), bar: bar, next: cap_next,
        to: UnsafeMutableRawBufferPointer(start: cap, count: PciLayout.capabilitySize))
    return 0
}

@_cdecl("vhushmem_pci_check_qemu") @implementation
package func vhushmem_pci_check_qemu(
    _ device: OpaquePointer?, _ flags: UInt32, _ bar_size: UnsafeMutablePointer<UInt64>?,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let device = unsafe object(device, ShmemDevice.self) else { throw .null("device") }
        let wishes = QemuPciDevice.Wishes(rawValue: flags)
        guard wishes.isSubset(of: [.pioNotify, .migration]) else {
            throw ShmemError(EINVAL, .nothing, .unknownFlags(UInt64(flags)))
        }
        let qemu = QemuPciDevice(device)
        unsafe bar_size?.pointee = qemu.barSize
        try qemu.check(wishes)
    }
}

@_cdecl("vhushmem_mmio_read") @implementation
package func vhushmem_mmio_read(
    _ device: OpaquePointer?, _ offset: UInt32, _ selected: UInt32, _ guest_addr: UInt64, _ value: UnsafeMutablePointer<UInt32>?
) -> Int32 {
    guard let device = unsafe object(device, ShmemDevice.self), let value = unsafe value else { return -EFAULT }
    guard let register = MmioRegister(rawValue: offset) else { return -EINVAL }
    unsafe value.pointee = register.value(for: device, selected: selected, base: guest_addr)
    return 0
}

// vhushmem/kvm.h

@_cdecl("vhushmem_kvm_new") @implementation
package func vhushmem_kvm_new(
    _ vm_fd: Int32, _ first_slot: UInt32, _ num_slots: UInt32, _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> OpaquePointer? {
    unsafe reportNil(to: errp) { () throws(ShmemError) in
        unsafe handle(owning: try KvmSlots.make(vm: vm_fd, first: first_slot, count: num_slots))
    }
}

@_cdecl("vhushmem_kvm_place") @implementation
package func vhushmem_kvm_place(
    _ kvm: OpaquePointer?, _ region: OpaquePointer?, _ guest_addr: UInt64,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let kvm = unsafe object(kvm, KvmSlots.self) else { throw .null("kvm") }
        guard let region = unsafe object(region, Region.self) else { throw .null("region") }
        try kvm.place(region, at: guest_addr)
    }
}

@_cdecl("vhushmem_kvm_pre_fault") @implementation
package func vhushmem_kvm_pre_fault(
    _ kvm: OpaquePointer?, _ region: OpaquePointer?, _ vcpu_fd: Int32, _ shm_offset: UInt64, _ len: UInt64,
    _ errp: UnsafeMutablePointer<UnsafeMutablePointer<GError>?>?
) -> Int32 {
    unsafe report(to: errp) { () throws(ShmemError) in
        guard let kvm = unsafe object(kvm, KvmSlots.self) else { throw .null("kvm") }
        guard let region = unsafe object(region, Region.self) else { throw .null("region") }
        try kvm.preFault(region, at: shm_offset, length: len, vcpu: vcpu_fd)
    }
}

@_cdecl("vhushmem_kvm_remove") @implementation
package func vhushmem_kvm_remove(_ kvm: OpaquePointer?, _ region: OpaquePointer?) -> Int32 {
    guard let kvm = unsafe object(kvm, KvmSlots.self), let region = unsafe object(region, Region.self) else { return -EFAULT }
    return kvm.remove(region) ? 0 : -ENOENT
}

@_cdecl("vhushmem_kvm_free") @implementation
package func vhushmem_kvm_free(_ kvm: OpaquePointer?) {
    unsafe object(kvm, KvmSlots.self)?.close()
    unsafe release(kvm, KvmSlots.self)
}
