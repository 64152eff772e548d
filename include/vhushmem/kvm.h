/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_KVM_H
#define VHUSHMEM_KVM_H

/**
 * @file
 * Regions in a KVM guest, for a VMM that has no memory model of its own: a region is placed at a
 * guest address, and the slots of the VM follow. A region's strategy says how.
 *
 * With VHUSHMEM_STRATEGY_WINDOW one slot covers the window for as long as the region has its place;
 * a map or unmap costs no ioctl. What the guest finds in holes and what it may not write comes to
 * the VMM's run loop, which calls vhushmem_resolve_guest_fault.
 *
 * With VHUSHMEM_STRATEGY_SLOTS each mapping has a slot of its own, a read-only mapping a read-only
 * one (KVM_MEM_READONLY); what the guest does in holes, and writes to read-only mappings, are exits
 * with KVM_EXIT_MMIO on every host. A map for which no slot is left is refused with ENOSPC. Taking
 * a slot away makes KVM forget what it knows of all of the guest's memory, which takes time.
 *
 * Slots change together with the mappings, under the lock of the device: the guest has at every
 * moment what is mapped, whichever threads map, place and remove. When vhushmem_kvm_remove or
 * vhushmem_kvm_free returns, the VM has no slot of the region left; they may be called beside a
 * map, and in a listener.
 *
 * Thread rule of this header: any thread.
 */

#include <vhushmem/base.h>
#include <vhushmem/region.h>

G_BEGIN_DECLS

/** Slots of a VM that are for regions. */
typedef struct vhushmem_kvm vhushmem_kvm;

/**
 * Say which slots of a VM are for regions.
 *
 * @param vm_fd       a VM (KVM_CREATE_VM); duplicated.
 * @param first_slot  the slots first_slot to first_slot + num_slots - 1 are used by nobody else.
 * @param errp        receives the error.
 * @returns an object, owned by the caller (vhushmem_kvm_free); or NULL: EINVAL (no slots, or more
 *          than the VM has), ENOTTY (no VM), EBADF, EMFILE.
 * Since: 0.1
 */
VHUSHMEM_API vhushmem_kvm *vhushmem_kvm_new(int vm_fd, uint32_t first_slot, uint32_t num_slots,
                                            GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Put a region at a guest address. The region is referenced until it is removed.
 *
 * @param guest_addr  a multiple of the page size; for large pages, of what the window is aligned to
 *                    (see vhushmem_pci_layout).
 * @returns 0, or -EINVAL (guest_addr), -EEXIST (the region has a place, or KVM has something else
 *          there), -ENOSPC (no slot is left), -ENOMEM, -EFAULT, or what KVM answers.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_kvm_place(vhushmem_kvm *kvm, vhushmem_region *region, uint64_t guest_addr,
                                    GError **errp);

/**
 * Have KVM fill the guest's own page tables for a part of a region (KVM_PRE_FAULT_MEMORY), so that
 * the guest's first touch is no exit: for what the event MAP has told of, or for a window before
 * the guest runs. VHUSHMEM_REGION_POPULATE fills the process's page tables, and this needs them;
 * what each of them costs and saves is in docs/performance.md.
 *
 * @param vcpu_fd     a vCPU of the VM. KVM waits until it is not in KVM_RUN: call from the thread
 *                    that runs it.
 * @param shm_offset  a multiple of the page size.
 * @param len         bytes, a multiple of the page size, not 0; within the region.
 * @returns 0, or -EINVAL (the range; or this host's KVM can't do it for this guest), -ENOENT (the
 *          region has no place), -ENOTTY (the kernel, before 6.11, has no such thing; or vcpu_fd is
 *          no vCPU), -EFAULT (an argument is NULL; or nothing is mapped somewhere in the range, and
 *          what lies before that is done), -EOPNOTSUPP, -EBADF, -EAGAIN.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_kvm_pre_fault(vhushmem_kvm *kvm, vhushmem_region *region, int vcpu_fd,
                                        uint64_t shm_offset, uint64_t len, GError **errp);

/**
 * Take a region away from the guest. @returns 0, or -ENOENT (it has no place), -EFAULT. Since: 0.1
 */
VHUSHMEM_API int vhushmem_kvm_remove(vhushmem_kvm *kvm, vhushmem_region *region);

/** Take every region away from the guest, and give the object back. Since: 0.1 */
VHUSHMEM_API void vhushmem_kvm_free(vhushmem_kvm *kvm);

/* g_autoptr(vhushmem_kvm) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_kvm, vhushmem_kvm_free)

G_END_DECLS

#endif
