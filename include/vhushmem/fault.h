/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_FAULT_H
#define VHUSHMEM_FAULT_H

/**
 * @file
 * What to do in the VMM's run loop when a guest touches a part of a window that cannot serve the
 * access: a hole, or a read-only mapping that the guest writes to. The host decides how such an
 * access ends KVM_RUN:
 *
 *  - with KVM_EXIT_MMIO: the exit describes the access and has its data in a buffer;
 *  - with -EFAULT (and exit reason KVM_EXIT_MEMORY_FAULT, if the kernel has it): the instruction
 *    has not run.
 *
 * A third way occurs on hosts of the first kind. KVM does not emulate an atomic instruction on
 * memory that it cannot reach: the instruction ends with KVM_EXIT_INTERNAL_ERROR
 * (KVM_INTERNAL_ERROR_EMULATION). If KVM_CAP_EXIT_ON_EMULATION_FAILURE is enabled for the VM, the
 * instruction has not run. Find the address that it names, call vhushmem_resolve_guest_fault
 * without data, and run the vCPU again.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

/** The access that the guest tried. */
enum {
    VHUSHMEM_ACCESS_READ = 0,
    VHUSHMEM_ACCESS_WRITE = 1,
    VHUSHMEM_ACCESS_UNKNOWN = 2 /**< the exit does not tell */
};

/** As shm_offset: the exit does not tell the address. */
#define VHUSHMEM_OFFSET_UNKNOWN UINT64_MAX

/** The most pages of one region that vhushmem_resolve_guest_fault replaces by scratch pages. */
#define VHUSHMEM_MAX_SCRATCH_PAGES 64

/**
 * Handle a guest's access to a part of the window that cannot serve it. Then run the vCPU again.
 *
 * With `data` (KVM_EXIT_MMIO) the function performs the access as far as it is allowed. A read of a
 * hole gives zeros. A write to a hole or to a read-only mapping is dropped. If bytes were mapped
 * meanwhile, the function reads or writes them.
 *
 * Without `data` (-EFAULT) the function prepares the memory at the address, so that the instruction
 * works when it runs again. After a read of a hole, all holes of the region show zeros from then
 * on. A page that the guest writes, in a hole or in a read-only mapping, becomes a scratch page:
 * private memory with the same bytes, which neither the file nor the back-end sees. A region has at
 * most VHUSHMEM_MAX_SCRATCH_PAGES of them. Scratch pages in holes make room for newer ones; those
 * in mappings last as long as their mapping. A page that a mapping's file lacks (the file was
 * truncated, or never was so long) shows zeros for a while, and is the file's again later: see
 * guard.h. The call may wait for the storage of the file, as the guest's access itself would.
 *
 * VHUSHMEM_ACCESS_UNKNOWN at a page that can be read changes nothing the first time, because the
 * instruction may have been a read that works now. If the same page comes again within a second,
 * the access counts as a write.
 *
 * @param shm_offset  first byte of the access in the region (guest address less the address where
 *                    the region begins), or VHUSHMEM_OFFSET_UNKNOWN if the exit does not tell the
 *                    address: then every hole shows zeros from then on.
 * @param len         bytes of the access; 0 counts as 1.
 * @param access      VHUSHMEM_ACCESS_*.
 * @param data        the exit's data, `len` bytes: filled on a read, taken on a write; NULL for the
 *                    form without data.
 * @returns 0: run the vCPU again; or
 *          -ENXIO   the access is outside the region, or (VHUSHMEM_OFFSET_UNKNOWN) every hole shows
 *                   zeros already, so that the access was not to this region;
 *          -ENOSPC  the page needs a scratch page, but VHUSHMEM_MAX_SCRATCH_PAGES pages of mappings
 *                   have one already; or the process's budget of mappings is used up, and the page
 *                   is in a hole or in a read-only mapping;
 *          -EOPNOTSUPP  the guest wrote to a read-only mapping of huge pages (hugetlb), which
 *                       cannot be replaced page by page;
 *          -EINVAL  an unknown access, or data with VHUSHMEM_ACCESS_UNKNOWN;
 *          -EPERM   this process may not use process_vm_readv and process_vm_writev on itself (a
 *                   seccomp filter);
 *          -ENOMEM  the kernel has no memory;
 *          -EFAULT  region is NULL.
 * Thread rule: any thread (each vCPU's own).  Since: 0.9
 */
VHUSHMEM_API int vhushmem_resolve_guest_fault(vhushmem_region *region, uint64_t shm_offset,
                                              uint64_t len, uint32_t access,
                                              void *data) VHUSHMEM_CHECK_RESULT;

G_END_DECLS

#endif
