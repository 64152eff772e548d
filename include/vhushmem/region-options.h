/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_REGION_OPTIONS_H
#define VHUSHMEM_REGION_OPTIONS_H

/**
 * @file
 * The options of a region: how mappings reach the guest, what holes show, which files may be
 * mapped, and the quotas.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

/** The way in which mappings reach the guest. */
enum {
    /** The guest has the region's window as a whole; mappings come and go inside it. */
    VHUSHMEM_STRATEGY_WINDOW = 0,
    /**
     * The guest has each mapping by itself, and nothing between mappings: see kvm.h, or a
     * MemoryListener of series.h. Only this process uses the window then.
     */
    VHUSHMEM_STRATEGY_SLOTS = 1
};

/** What the window shows where nothing is mapped. */
enum {
    /** nothing: each access faults (fault.h says what to do if a guest's access does) */
    VHUSHMEM_HOLES_FAULT = 0,
    VHUSHMEM_HOLES_ZERO = 1 /**< zeros: reads give 0 and allocate no memory; writes fault */
};

/**
 * fd_policy: which files may be mapped. Directories, pipes, sockets and files without mmap are
 * always refused.
 */
enum {
    /** accept whole pages beyond a regular file's end (a touch of them raises SIGBUS) */
    VHUSHMEM_FD_ALLOW_BEYOND_END = 1 << 0,
    /** accept only memfds that cannot shrink any more (F_SEAL_SHRINK) */
    VHUSHMEM_FD_REQUIRE_SEAL_SHRINK = 1 << 1,
    /** accept only regular files, memfds and hugetlb files: no device, no dma-buf */
    VHUSHMEM_FD_FILES_ONLY = 1 << 2,
    /**
     * Accept only memfds, those of huge pages included. No operation on them waits, while the mmap
     * of a file of a FUSE server may wait for that server (docs/security.md).
     */
    VHUSHMEM_FD_MEMFD_ONLY = 1 << 3
};

/** Flags of a region. */
enum {
    /** fault in the pages of each mapping when it is made, up to populate_max */
    VHUSHMEM_REGION_POPULATE = 1 << 0,
    /** ask for transparent huge pages in each mapping (MADV_HUGEPAGE) */
    VHUSHMEM_REGION_HUGEPAGE = 1 << 1,
    /**
     * Keep a descriptor of each mapping's file, so that the mapping can be shared
     * (vhushmem_frontend_share_mapping) and made again later (vhushmem_mapping_dup_fd). If no
     * descriptor is left, a map ends with EMFILE; beyond the quota (max_kept_fds in device.h) it
     * ends with ENOSPC.
     */
    VHUSHMEM_REGION_KEEP_FDS = 1 << 2,
    /**
     * A map with exactly the range of one live mapping replaces that mapping, in one step. No
     * thread sees a hole or zeros in between, and a refused map leaves the old mapping as it was.
     * Without the flag such a map is refused with EEXIST, as VIRTIO says.
     */
    VHUSHMEM_REGION_REPLACE = 1 << 3,
    /**
     * An unmap undoes the mapping that begins at its offset, and ignores the length. For devices
     * that send another length.
     */
    VHUSHMEM_REGION_UNMAP_BY_OFFSET = 1 << 4,
    /**
     * A child of fork has nothing at the window's addresses (MADV_DONTFORK). Without the flag the
     * child shares the guest's memory: what it writes, the guest reads.
     */
    VHUSHMEM_REGION_DONTFORK = 1 << 5
};

/**
 * Options of a new region. Set struct_size to sizeof(vhushmem_region_options). A field that is 0
 * means its default.
 */
typedef struct vhushmem_region_options {
    uint32_t struct_size;
    uint32_t strategy;     /**< VHUSHMEM_STRATEGY_* */
    uint32_t holes;        /**< VHUSHMEM_HOLES_* */
    uint32_t fd_policy;    /**< VHUSHMEM_FD_*, or'ed */
    uint32_t flags;        /**< VHUSHMEM_REGION_*, or'ed */
    uint32_t reserved;     /**< 0 */
    uint64_t max_mappings; /**< live mappings; 0: no limit but the device's */
    uint64_t max_bytes;    /**< mapped bytes (whole pages); 0: no limit but the region's size */
    /**
     * with VHUSHMEM_REGION_POPULATE: bytes of each mapping to fault in, from its beginning; 0: 16
     * MiB
     */
    uint64_t populate_max;
} vhushmem_region_options;

/**
 * Fill in the options that virtiofs DAX needs. Linux's client maps chunks of 2 MiB of any file, and
 * most files end within a chunk, so the function sets VHUSHMEM_FD_ALLOW_BEYOND_END. The client maps
 * a chunk again to make it writable, so the function sets VHUSHMEM_REGION_REPLACE.
 *
 * @param options  the caller sets struct_size (0 stands for the size of this version); the function
 *                 overwrites all else.
 * @returns 0, or -EFAULT (options is NULL), -EINVAL (struct_size).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_region_options_for_dax(vhushmem_region_options *options);

G_END_DECLS

#endif
