/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_MAPPING_H
#define VHUSHMEM_MAPPING_H

#include <vhushmem/base.h>

G_BEGIN_DECLS

/**
 * A description of one mapping. Set struct_size to sizeof(vhushmem_mapping_info) before a function
 * fills it.
 */
typedef struct vhushmem_mapping_info {
    uint32_t struct_size;
    uint8_t shmid; /**< the region's id */
    /**
     * 1: the mapping is broken. A thread touched pages that the file has lost (it was truncated),
     * and the file was not seen whole again. Or a page takes no writes (its file system is full),
     * and they stay in this process. See guard.h
     */
    uint8_t broken;
    uint8_t reserved[2]; /**< 0 */
    uint64_t shm_offset; /**< first byte in the region */
    /** bytes, as they were asked for; the mapping owns the pages that they touch */
    uint64_t len;
    uint64_t fd_offset; /**< first byte in the file */
    uint64_t flags;     /**< VHOST_USER_FLAG_MAP_RW or 0 */
    /** address of byte 0 of the mapping in this process, while the mapping lives */
    void *host;
} vhushmem_mapping_info;

/**
 * Describe a mapping that does not exist yet. Add it to a region with vhushmem_region_add_mapping
 * (or, with the series' names, virtio_add_shmem_map).
 *
 * @param shmid       the region that it is meant for.
 * @param fd          duplicated; the caller keeps its own.
 * @param fd_offset   first byte in the file; a multiple of the page size.
 * @param shm_offset  first byte in the region; a multiple of the page size.
 * @param len         bytes, not 0.
 * @param flags       VHOST_USER_FLAG_MAP_RW or 0.
 * @param errp        receives the error.
 * @returns a mapping with one reference, owned by the caller; or NULL: EBADF (fd is not open),
 *          EMFILE, ENFILE (no descriptor is left for the duplicate), EINVAL (unknown flag). The
 *          region checks whether the mapping fits when you add it.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API vhushmem_mapping *vhushmem_mapping_new(uint8_t shmid, int fd, uint64_t fd_offset,
                                                    uint64_t shm_offset, uint64_t len,
                                                    uint64_t flags,
                                                    GError **errp) VHUSHMEM_CHECK_RESULT;

/** Take one more reference. @returns the mapping. Thread rule: any thread.  Since: 0.9 */
VHUSHMEM_API vhushmem_mapping *vhushmem_mapping_ref(vhushmem_mapping *mapping);

/**
 * Give one reference back. A mapping that is part of a region stays part of it: the region has a
 * reference of its own.
 *
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API void vhushmem_mapping_unref(vhushmem_mapping *mapping);

/**
 * Describe a mapping.
 *
 * @param info  filled. The caller sets its struct_size; the function zeroes what lies beyond this
 *              library's struct. `host` is NULL unless the mapping is live.
 * @returns 1: the mapping is live, 0: it is not (not added yet, or gone from its
 *          region), -EFAULT, -EINVAL (struct_size).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_mapping_get_info(vhushmem_mapping *mapping, vhushmem_mapping_info *info);

/**
 * Make a new descriptor of the mapping's file, for a VMM that makes its mappings again after a
 * snapshot, or gives them to another process.
 *
 * @param errp  receives the error.
 * @returns a descriptor, owned by the caller (close), with FD_CLOEXEC; or -ENOENT (the mapping
 *          keeps no descriptor: its region has no VHUSHMEM_REGION_KEEP_FDS), -EMFILE, -ENFILE (no
 *          descriptor is left), -EFAULT (mapping is NULL).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_mapping_dup_fd(vhushmem_mapping *mapping,
                                         GError **errp) VHUSHMEM_CHECK_RESULT;

/* g_autoptr(vhushmem_mapping) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_mapping, vhushmem_mapping_unref)

G_END_DECLS

#endif
