/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_KVM_H
#define VHUSHMEM_KVM_H

/**
 * @file
 * Regions in a KVM guest, for a VMM that has no memory model of its own. Place a region at a guest
 * address; the slots of the VM follow. The region's strategy says how.
 *
 * With VHUSHMEM_STRATEGY_WINDOW one slot covers the window while the region has its place. A map or
 * unmap needs no ioctl. If the guest touches a hole, or writes where it may not, the VMM's run loop
 * gets an exit and calls vhushmem_resolve_guest_fault.
 *
 * With VHUSHMEM_STRATEGY_SLOTS each mapping has a slot of its own. A read-only mapping has a
 * read-only slot (KVM_MEM_READONLY). On every host, accesses to holes and writes to read-only
 * mappings are exits with KVM_EXIT_MMIO. A map is refused with ENOSPC if no slot is left. When KVM
 * loses a slot it forgets its tables for all of the guest's memory, and that takes time.
 *
 * Slots change together with the mappings, under the lock of the device. So the guest always has
 * exactly the live mappings, whichever threads map, place and remove. When vhushmem_kvm_remove or
 * vhushmem_kvm_free returns, the VM has no slot of the region left. Both may be called while
 * another thread maps, and in a listener.
 *
 * Thread rule of this header: any thread.
 */

#include <vhushmem/base.h>
#include <vhushmem/region.h>

G_BEGIN_DECLS

/** The slots of a VM that are for regions. */
typedef struct vhushmem_kvm vhushmem_kvm;

/**
 * Say which slots of a VM are for regions.
 *
 * @param vm_fd       a VM (KVM_CREATE_VM); duplicated.
 * @param first_slot  the first slot. The program uses none of the slots first_slot to first_slot +
 *                    num_slots - 1 itself.
 * @param num_slots   how many slots there are.
 * @param errp        receives the error.
 * @returns an object, owned by the caller (vhushmem_kvm_free); or NULL: EINVAL (no slots, or more
 *          than the VM has), ENOTTY (no VM), EBADF, EMFILE.
 * Since: 0.9
 */
VHUSHMEM_API vhushmem_kvm *vhushmem_kvm_new(int vm_fd, uint32_t first_slot, uint32_t num_slots,
                                            GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Place a region at a guest address. The object keeps a reference to the region until the region is
 * removed.
 *
 * @param guest_addr  a multiple of the page size; for large pages, a multiple of the window's
 *                    alignment (see vhushmem_pci_layout).
 * @returns 0, or -EINVAL (guest_addr), -EEXIST (the region has a place, or KVM has something else
 *          there), -ENOSPC (no slot is left), -ENOMEM, -EFAULT, or what KVM answers.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_kvm_place(vhushmem_kvm *kvm, vhushmem_region *region, uint64_t guest_addr,
                                    GError **errp);

/**
 * Have KVM fill the guest's own page tables for a part of a region (KVM_PRE_FAULT_MEMORY), so that
 * the guest's first touch is no exit. Use it for a range of the event MAP, or for a window before
 * the guest runs. It needs the process's page tables to be filled, as
 * VHUSHMEM_REGION_POPULATE does. docs/performance.md says what each of the two costs and saves.
 *
 * @param vcpu_fd     a vCPU of the VM. KVM waits until the vCPU is not in KVM_RUN: call from the
 *                    thread that runs it.
 * @param shm_offset  a multiple of the page size.
 * @param len         bytes, a multiple of the page size, not 0; within the region.
 * @returns 0, or -EINVAL (the range; or this host's KVM cannot do it for this guest), -ENOENT (the
 *          region has no place), -ENOTTY (the kernel is older than 6.11 and has no such ioctl; or
 *          vcpu_fd is no vCPU), -EFAULT (an argument is NULL; or nothing is mapped somewhere in the
 *          range, and only what lies before that is done), -EOPNOTSUPP, -EBADF, -EAGAIN.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_kvm_pre_fault(vhushmem_kvm *kvm, vhushmem_region *region, int vcpu_fd,
                                        uint64_t shm_offset, uint64_t len, GError **errp);

/**
 * Take a region away from the guest. @returns 0, or -ENOENT (it has no place), -EFAULT. Since: 0.9
 */
VHUSHMEM_API int vhushmem_kvm_remove(vhushmem_kvm *kvm, vhushmem_region *region);

/** Take every region away from the guest, and free the object. Since: 0.9 */
VHUSHMEM_API void vhushmem_kvm_free(vhushmem_kvm *kvm);

/* g_autoptr(vhushmem_kvm) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_kvm, vhushmem_kvm_free)

G_END_DECLS

#endif
