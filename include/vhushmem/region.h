/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_REGION_H
#define VHUSHMEM_REGION_H

/**
 * @file
 * A VIRTIO shared memory region: a window of host addresses into which files are mapped. The window
 * is reserved once and never moves.
 *
 * The VMM gives the window to its guest (one KVM memory slot, one BAR). When a mapping is made or
 * undone, the guest sees it at once. Addresses of the window without a mapping stay reserved: no
 * other mmap of the process gets them.
 *
 * Process-wide budget: the kernel limits how many separate ranges one process may have mapped
 * (vm.max_map_count). The regions of the process together leave room for the program's own mappings
 * and a reserve beyond those. A map that would exceed the budget is refused with ENOSPC. See
 * vhushmem_process_budget_set.
 *
 * Never give the kernel advice (madvise) for a part of a window yourself: holes with different
 * advice do not merge, and each costs a range of that budget. Call vhushmem_region_advise, which
 * repeats the advice for everything that is mapped later. (If a program still calls madvise, the
 * library notices after some thousand maps and makes the holes plain again.)
 *
 * The library maps nothing executable. In a process with the personality READ_IMPLIES_EXEC each map
 * needs two more system calls. Set that personality before the first region is made: the library
 * does not notice a later change.
 */

#include <vhushmem/base.h>
#include <vhushmem/mapping.h>
#include <vhushmem/region-options.h>
#include <vhushmem/vhost-user.h>

G_BEGIN_DECLS

/**
 * Say how many separate mappings (vm.max_map_count) the windows of this process may use.
 *
 * The library counts the program's own mappings when the first region is made, each time its
 * windows' mappings have grown by a sixteenth of the kernel's limit, and before it refuses a map
 * (twelve times at once, then once a second). A count takes 0.4 to 1 microsecond for each mapping
 * of the process. After a count the windows keep all mappings that they have.
 *
 * @param max_mappings  the most mappings of all windows; 0: no limit but the kernel's.
 * @param reserve       how many mappings the library leaves to the program besides the counted
 *                      ones; 0: a sixteenth of the kernel's limit.
 * @returns 0, or -EINVAL (a number that no kernel grants).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_process_budget_set(uint64_t max_mappings, uint64_t reserve);

/**
 * Give a device a region and reserve the region's window.
 *
 * @param device   gets the region.
 * @param shmid    the region's id.
 * @param size     bytes; a multiple of the page size, not 0.
 * @param options  NULL for the defaults; read only during the call.
 * @param errp     receives the error.
 * @returns the region, borrowed: the device owns it (take a reference to keep it longer); or NULL:
 *          EINVAL (size or an option is wrong), EEXIST (the device has a region with this id),
 *          ENOSPC (the quota of addresses, vhushmem_device_options.max_address_space), ENOMEM (the
 *          address space cannot hold the window).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API vhushmem_region *vhushmem_region_new(vhushmem_device *device, uint8_t shmid,
                                                  uint64_t size,
                                                  const vhushmem_region_options *options,
                                                  GError **errp);

/** Take one more reference. @returns the region. Thread rule: any thread.  Since: 0.9 */
VHUSHMEM_API vhushmem_region *vhushmem_region_ref(vhushmem_region *region);

/**
 * Give one reference back. The window lives until the last reference to the region is gone. The
 * device undoes the mappings in it when it goes, even if the region is still referenced.
 *
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API void vhushmem_region_unref(vhushmem_region *region);

/** Return the region's id, or -EFAULT. Thread rule: any thread.  Since: 0.9 */
VHUSHMEM_API int vhushmem_region_id(vhushmem_region *region);

/**
 * Return the region's size in bytes; 0 when region is NULL. Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API uint64_t vhushmem_region_size(vhushmem_region *region);

/**
 * Return the address of the window in this process. A KVM memory slot takes it as its host address.
 * The window never moves.
 *
 * @returns the address; the window is vhushmem_region_size() bytes from there. NULL when region is
 *          NULL.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API void *vhushmem_region_window(vhushmem_region *region);

/**
 * Give the kernel advice for the whole window. The library repeats the advice for everything that
 * is mapped, or becomes a hole, later.
 *
 * @param advice  MADV_DONTFORK or MADV_DOFORK, MADV_HUGEPAGE or MADV_NOHUGEPAGE, MADV_MERGEABLE or
 *                MADV_UNMERGEABLE. Of each pair the last one given counts. Each but MADV_DOFORK,
 *                which new mappings have, costs one system call more for a map and for an unmap.
 * @returns 0, or -EINVAL (other advice, or the kernel does not know it), -ENOMEM, -EFAULT (region
 *          is NULL).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_region_advise(vhushmem_region *region, int advice);

/**
 * Check all pages that were covered because their file lacked them, and all broken mappings. The
 * function shows the pages that the file has again. A mapping whose file has all its pages again is
 * healed. See guard.h. The call may wait for the storage or the server of a file.
 *
 * A front-end or a channel that is dispatched does this by itself, for files in memory and on local
 * disks (ext4, XFS).
 *
 * @returns how many mappings are still broken, or -EFAULT.
 * Thread rule: any thread, while no thread that must not wait uses a page of the window.  Since:
 * 0.9
 */
VHUSHMEM_API int vhushmem_region_heal(vhushmem_region *region);

/** Count the live mappings of the region. Thread rule: any thread.  Since: 0.9 */
VHUSHMEM_API uint64_t vhushmem_region_mapping_count(vhushmem_region *region);

/** Count the mapped bytes (whole pages) of the region. Thread rule: any thread.  Since: 0.9 */
VHUSHMEM_API uint64_t vhushmem_region_mapped_bytes(vhushmem_region *region);

/**
 * Map a range of a file into the region. When the call returns, the process and the guest can read
 * it through the window.
 *
 * The mapping is shared with the file, never executable, and left out of core dumps (for a mapping
 * that a front-end serves: from the end of its dispatch on). The library maps a memfd that is
 * sealed against writing as read-only and private, which shows the same bytes.
 *
 * The time of the call depends on the kernel and on the owner of the file. Each other mapping of
 * the file costs time (600 ms for 720,000 of them, while a process punches holes into the file).
 * Pages that are populated cost time too. docs/security.md lists the limits.
 *
 * @param fd          borrowed during the call; the mapping needs no descriptor afterwards.
 * @param fd_offset   first byte in the file; a multiple of the page size (of the huge page size for
 *                    a hugetlb file).
 * @param shm_offset  first byte in the region; a multiple of the same page size.
 * @param len         bytes, not 0; the mapping owns every page that the range touches. A multiple
 *                    of the huge page size for a hugetlb file.
 * @param flags       VHOST_USER_FLAG_MAP_RW or 0 (read-only).
 * @param errp        receives the error.
 * @returns 0, or
 *          -EINVAL     len is 0; an offset is not aligned; an unknown flag; the range wraps around
 *                      or ends beyond the region;
 *          -EEXIST     the range overlaps a live mapping (and does not replace it:
 *                      VHUSHMEM_REGION_REPLACE);
 *          -EBADF      fd is not open;
 *          -EACCES     the file is not open for this access, or fd_policy excludes its kind;
 *          -EPERM      write access to a memfd that is sealed against it; or the policy demands
 *                      F_SEAL_SHRINK, and it is missing;
 *          -ENODEV     the file cannot be mapped (a directory, pipe, socket, or one with no mmap);
 *          -EOVERFLOW  a whole page of the range lies beyond the file's end, or fd_offset + len
 *                      wraps around;
 *          -EOPNOTSUPP the kernel cannot put a mapping of the file into the window without opening
 *                      a gap in it: huge pages before Linux 5.16, and devices whose driver does not
 *                      let their mappings be moved;
 *          -ENOSPC     a quota of the region, the device or the process is used up, or the kernel
 *                      grants the process no more separate mappings (vm.max_map_count);
 *          -ENOMEM     the kernel has no memory, or no free huge page, for it;
 *          -ESHUTDOWN  the region's device is gone;
 *          or another errno of the kernel's mmap.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_region_map(vhushmem_region *region, int fd, uint64_t fd_offset,
                                     uint64_t shm_offset, uint64_t len, uint64_t flags,
                                     GError **errp);

/**
 * Find a free range of the region, and map a file there. A device inside the VMM needs this.
 *
 * @param align       bytes; a power of two, at least the page size; 0 means the file's page size
 *                    (of a hugetlb file: its huge pages).
 * @param shm_offset  receives the offset of the mapping in the region.
 * (fd, fd_offset, len, flags and errp as for vhushmem_region_map)
 * @returns 0, or -ENOSPC (no free range is large enough), -EINVAL (align), or what
 *          vhushmem_region_map returns.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_region_alloc(vhushmem_region *region, int fd, uint64_t fd_offset,
                                       uint64_t len, uint64_t align, uint64_t flags,
                                       uint64_t *shm_offset, GError **errp);

/**
 * Add a mapping that vhushmem_mapping_new described.
 *
 * @param mapping  on success the region takes over the caller's reference; else it stays the
 *                 caller's.
 * @returns 0, or what vhushmem_region_map returns, or -EINVAL (it was made for another region
 *          id), -EBUSY (it is or was part of a region).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_region_add_mapping(vhushmem_region *region, vhushmem_mapping *mapping,
                                             GError **errp);

/**
 * Undo one whole mapping. When the call returns, the guest sees a hole there.
 *
 * @param shm_offset  first byte of the mapping in the region.
 * @param len         its length in bytes, as it was mapped; ignored with
 *                    VHUSHMEM_REGION_UNMAP_BY_OFFSET.
 * @returns 0, or
 *          -ENOENT  nothing is mapped there, or another call is undoing it (and calls its
 *                   listeners);
 *          -EINVAL  the range is not exactly one mapping (the message says what is mapped there),
 *                   or is not inside the region;
 *          -ENOMEM  the kernel could not undo it: the mapping is still there.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_region_unmap(vhushmem_region *region, uint64_t shm_offset, uint64_t len,
                                       GError **errp);

/**
 * Undo every mapping of the region.
 *
 * @returns how many mappings were undone, or -EFAULT.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_region_unmap_all(vhushmem_region *region);

/**
 * Find the mapping that begins at shm_offset and is len bytes long. The match is exact, as for
 * VIRTIO's unmap.
 *
 * @returns the mapping with a reference for the caller (vhushmem_mapping_unref); NULL: there is
 *          none.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API vhushmem_mapping *vhushmem_region_find_mapping(vhushmem_region *region,
                                                            uint64_t shm_offset,
                                                            uint64_t len) VHUSHMEM_CHECK_RESULT;

/**
 * Find the first live mapping that ends beyond `from`, in the order of the offsets.
 *
 * To list all, begin with from = 0 and continue with from = info.shm_offset + info.len.
 *
 * @param info  filled on success. The caller sets its struct_size; the function zeroes what lies
 *              beyond this library's struct.
 * @returns 0, or -ENOENT (there is none from there on), -EFAULT, -EINVAL (struct_size).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_region_next_mapping(vhushmem_region *region, uint64_t from,
                                              vhushmem_mapping_info *info);

/**
 * Return the host address of a range of the region, if one live mapping covers all of it and allows
 * the access.
 *
 * The function is made for vCPU threads: it never waits for a map or unmap that is under way. The
 * address is valid until the mapping is undone. The device process may undo it at any time. A touch
 * of the address then raises SIGSEGV (or SIGBUS, if the process has truncated the file). So copy
 * with vhushmem_region_read and vhushmem_region_write instead. Or use the address only between the
 * region_add and region_del of a MemoryListener (series.h): region_del comes before the memory
 * goes.
 *
 * @param shm_offset  first byte.
 * @param len         bytes, not 0. The bytes between a mapping's length and the end of its last
 *                    page belong to it.
 * @param write       true: the range must be mapped read-write.
 * @returns the address, or NULL.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API void *vhushmem_region_translate(vhushmem_region *region, uint64_t shm_offset,
                                             uint64_t len, bool write);

/**
 * Copy mapped bytes out of the region. The copy is safe whatever the device process does meanwhile.
 * The kernel copies (some microseconds for a page), so an unmapped page or one that a truncated
 * file has lost is an error and no signal. If the result is 0, all bytes are those of the mappings
 * that were there: if a mapping went, came or was covered during the copy, the function copies
 * again.
 *
 * @param shm_offset  first byte; the range may span several mappings that touch.
 * @param buf         receives len bytes; after a failure it may be filled in part. NULL only if len
 *                    is 0.
 * @param len         bytes; 0: nothing is copied, and nothing need be mapped there.
 * @param errp        receives the error.
 * @returns 0, or
 *          -EINVAL  the range is not inside the region;
 *          -ENOENT  not all of it is mapped;
 *          -EAGAIN  the mappings there changed each of 1,000 times while they were copied;
 *          -EIO     the file lacks a page of it, also if zeros are shown in its place; or the file
 *                   takes no writes to a page that was written; or it is the memory of a device
 *                   that the kernel cannot copy from;
 *          -EPERM   this process may not use process_vm_readv on itself (a seccomp filter);
 *          -EFAULT  region is NULL, or buf is.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_region_read(vhushmem_region *region, uint64_t shm_offset, void *buf,
                                      size_t len, GError **errp);

/**
 * Copy bytes into the mappings of the region, in the same way. After a failure a part may have been
 * written.
 *
 * @returns 0, or -EACCES (not all of the range is mapped read-write), or what vhushmem_region_read
 *          returns.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_region_write(vhushmem_region *region, uint64_t shm_offset,
                                       const void *buf, size_t len, GError **errp);

/* g_autoptr(vhushmem_region) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_region, vhushmem_region_unref)

G_END_DECLS

#endif
