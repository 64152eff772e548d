/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_FAULT_H
#define VHUSHMEM_FAULT_H

/**
 * @file
 * What the VMM's run loop does when its guest touches a part of a window that can't serve the
 * access: a hole, or a read-only mapping that it writes to. Depending on the host, such an access
 * ends KVM_RUN in one of two ways:
 *
 *  - with KVM_EXIT_MMIO: the access is described in the exit, and its data are in the exit's
 *    buffer;
 *  - with -EFAULT (and exit reason KVM_EXIT_MEMORY_FAULT, where the kernel has it): the instruction
 *    has not run.
 *
 * A third way was seen where the first is usual: an atomic instruction, which KVM does not emulate
 * on memory that it can't reach, ends with KVM_EXIT_INTERNAL_ERROR (KVM_INTERNAL_ERROR_EMULATION).
 * With KVM_CAP_EXIT_ON_EMULATION_FAILURE enabled for the VM the instruction has not run: find the
 * address that it names, call vhushmem_resolve_guest_fault without data, and run the vCPU again.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

/** What the guest tried. */
enum {
    VHUSHMEM_ACCESS_READ = 0,
    VHUSHMEM_ACCESS_WRITE = 1,
    VHUSHMEM_ACCESS_UNKNOWN = 2 /**< the exit does not tell */
};

/** For shm_offset: the exit does not tell where. */
#define VHUSHMEM_OFFSET_UNKNOWN UINT64_MAX

/** How many pages of one region resolve_guest_fault gives memory of their own at the most. */
#define VHUSHMEM_MAX_SCRATCH_PAGES 64

/**
 * Let a guest that touched a part of the window that can't serve it go on: afterwards, run the vCPU
 * again.
 *
 * With `data` (KVM_EXIT_MMIO) the access is carried out as far as it may be: a read of a hole gives
 * zeros, a write to a hole or to a read-only mapping is dropped, and bytes that have come to be
 * mapped meanwhile are read or written for real.
 *
 * Without `data` (-EFAULT) the memory at the address is made to take the access when the
 * instruction runs again: a hole that is read shows zeros from then on; a page that is written, be
 * it in a hole or in a read-only mapping, becomes private memory with the same bytes, which neither
 * the file nor the back-end sees. At most VHUSHMEM_MAX_SCRATCH_PAGES pages of a region become so;
 * those in holes make room for newer ones, those in mappings last as long as their mapping. A page
 * that a mapping's file lacks (it was truncated, or never was so long) shows zeros for the moment,
 * and is the file's again later: see guard.h. The call may wait for the storage of the file, as the
 * guest's access itself would.
 *
 * VHUSHMEM_ACCESS_UNKNOWN at a page that can be read changes nothing the first time: the
 * instruction may have been a read that works now. If the same page comes again within a second, it
 * counts as a write.
 *
 * @param shm_offset  first byte of the access in the region (guest address less the address where
 *                    the region begins), or VHUSHMEM_OFFSET_UNKNOWN where the exit does not tell:
 *                    then every hole shows zeros from then on.
 * @param len         bytes of the access; 0 counts as 1.
 * @param access      VHUSHMEM_ACCESS_*.
 * @param data        the exit's data, `len` bytes: filled on a read, taken on a write; NULL for the
 *                    form without data.
 * @returns 0: run the vCPU again; or
 *          -ENXIO   the access is outside the region, or (VHUSHMEM_OFFSET_UNKNOWN) every hole shows
 *                   zeros already: it was not this region;
 *          -ENOSPC  the guest wrote to VHUSHMEM_MAX_SCRATCH_PAGES pages of mappings already that
 *                   can't take it, and this one is of a read-only mapping, or in a hole; or the
 *                   process's budget of mappings is used up, for the same pages;
 *          -EOPNOTSUPP  a write to a read-only mapping of huge pages (hugetlb), which can't be
 *                       replaced page by page;
 *          -EINVAL  an unknown access, or data with VHUSHMEM_ACCESS_UNKNOWN;
 *          -EPERM   this process may not use process_vm_readv and process_vm_writev on itself (a
 *                   seccomp filter);
 *          -ENOMEM  the kernel has no memory; -EFAULT  region is NULL.
 * Thread rule: any thread (each vCPU's own).  Since: 0.1
 */
VHUSHMEM_API int vhushmem_resolve_guest_fault(vhushmem_region *region, uint64_t shm_offset,
                                              uint64_t len, uint32_t access,
                                              void *data) VHUSHMEM_CHECK_RESULT;

G_END_DECLS

#endif
