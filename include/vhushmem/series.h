/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_SERIES_H
#define VHUSHMEM_SERIES_H

/**
 * @file
 * The names, parameter order and return convention of the patch series "vhost-user: Add
 * SHMEM_MAP/UNMAP requests", for device code that was written to it. They name the same objects as
 * the vhushmem_* functions, so a program may use both. The series has `Error **`; this header has
 * `GError **`.
 *
 * The library never calls these functions through the dynamic symbol table. A program may define
 * functions with the same names: neither disturbs the other.
 *
 * region.h describes page alignment, quotas, fd policy and errnos. Thread rule unless a function
 * says otherwise: any thread.
 *
 * docs/series.md has a row for each name of the series that is missing here, or is spelt or behaves
 * differently.
 */

#include <vhushmem/base.h>
#include <vhushmem/mapping.h>
#include <vhushmem/memory-region.h>
#include <vhushmem/vhost-user.h>

G_BEGIN_DECLS

#ifndef VIRTIO_MAX_SHMEM_REGIONS
#define VIRTIO_MAX_SHMEM_REGIONS 256
#endif

typedef vhushmem_device VirtIODevice;
typedef vhushmem_region VirtioSharedMemory;
typedef vhushmem_mapping VirtioSharedMemoryMapping;
typedef vhushmem_backend VuDev;

/*
 * A device, a region and a mapping begin with these fields, and have more behind them. The library
 * allocates them. A program has pointers to them; it must not make or copy one. It may read the
 * fields, and must not write them.
 *
 * In Swift the three types are opaque; the library itself has their fields under another name.
 */
#ifdef __swift__
#define VHUSHMEM_FIELDS_OF(name) name##_fields
#else
#define VHUSHMEM_FIELDS_OF(name) name
#endif

/** A mapping. shmid, offset, len and mr never change. */
struct VHUSHMEM_FIELDS_OF(vhushmem_mapping) {
#ifndef __swift__
    void *vhushmem_object[2]; /**< the library's */
#endif
    uint8_t shmid; /**< the region's id */
    uint8_t reserved[7];
    hwaddr offset; /**< first byte in the region */
    uint64_t len;  /**< bytes, as they were asked for */
    /**
     * stands for the mapping, and goes with it; memory_region_is_mapped tells whether it is live
     */
    MemoryRegion *mr;
    struct {
        vhushmem_mapping *tqe_next;
        vhushmem_mapping **tqe_prev;
    } link; /**< its place in the region's mmaps */
    MemoryRegion vhushmem_mr;
};

/** A region. */
struct VHUSHMEM_FIELDS_OF(vhushmem_region) {
#ifndef __swift__
    void *vhushmem_object[2]; /**< the library's */
#endif
    uint8_t shmid; /**< the region's id */
    uint8_t reserved[7];
    MemoryRegion mr; /**< virtio_shmem_memory_region returns its address */
    /**
     * The live mappings, oldest first (QTAILQ_FOREACH(mapping, &shmem->mmaps, link)). The list is
     * empty until the first call of virtio_new_shmem_region, virtio_add_shmem,
     * virtio_find_shmem_region, virtio_add_shmem_map or virtio_alloc_shmem_map makes, finds or uses
     * the region. From then on the library keeps it, and each mapping takes an allocation.
     */
    struct {
        vhushmem_mapping *tqh_first;
        vhushmem_mapping **tqh_last;
    } mmaps;
    struct {
        vhushmem_region *sqe_next;
    } entry; /**< its place in the device's shmem_list */
};

/** A device. */
struct VHUSHMEM_FIELDS_OF(vhushmem_device) {
#ifndef __swift__
    void *vhushmem_object[2]; /**< the library's */
#endif
    /** The regions, oldest first (QSIMPLEQ_FOREACH(shmem, &vdev->shmem_list, entry)). */
    struct {
        vhushmem_region *sqh_first;
        vhushmem_region **sqh_last;
    } shmem_list;
};

/*
 * Thread rule of the lists: walk them while no other thread changes what is in them. A region
 * leaves shmem_list when a front-end's handshake fails. A mapping leaves mmaps when it is undone.
 *
 * Device code of the series also uses the following macros. A macro that the program already has
 * stays as it is. If the program includes its own macros after this header, it defines
 * VHUSHMEM_NO_QEMU_MACROS before it.
 */
#if !defined(VHUSHMEM_NO_QEMU_MACROS) && !defined(__swift__)

/**
 * OBJECT(x) is x, for the next two. Devices, regions and mappings are objects; a MemoryRegion is
 * not (memory_region_ref).
 */
#ifndef OBJECT
#define OBJECT(object) ((void *)(object))
#define object_ref(object) ((void)vhushmem_mapping_ref((vhushmem_mapping *)(object)))
#define object_unref(object) vhushmem_mapping_unref((vhushmem_mapping *)(object))
#endif
#ifndef QSIMPLEQ_FOREACH
#define QSIMPLEQ_FOREACH(var, head, field)                                                         \
    for ((var) = (head)->sqh_first; (var) != NULL; (var) = (var)->field.sqe_next)
#endif
#ifndef QSIMPLEQ_FOREACH_SAFE
#define QSIMPLEQ_FOREACH_SAFE(var, head, field, next_var)                                          \
    for ((var) = (head)->sqh_first; (var) != NULL && ((next_var) = (var)->field.sqe_next, 1);      \
         (var) = (next_var))
#endif
#ifndef QSIMPLEQ_EMPTY
#define QSIMPLEQ_EMPTY(head) ((head)->sqh_first == NULL)
#endif
#ifndef QSIMPLEQ_FIRST
#define QSIMPLEQ_FIRST(head) ((head)->sqh_first)
#endif
#ifndef QSIMPLEQ_NEXT
#define QSIMPLEQ_NEXT(element, field) ((element)->field.sqe_next)
#endif
#ifndef QTAILQ_FOREACH
#define QTAILQ_FOREACH(var, head, field)                                                           \
    for ((var) = (head)->tqh_first; (var) != NULL; (var) = (var)->field.tqe_next)
#endif
#ifndef QTAILQ_FOREACH_SAFE
#define QTAILQ_FOREACH_SAFE(var, head, field, next_var)                                            \
    for ((var) = (head)->tqh_first; (var) != NULL && ((next_var) = (var)->field.tqe_next, 1);      \
         (var) = (next_var))
#endif
#ifndef QTAILQ_EMPTY
#define QTAILQ_EMPTY(head) ((head)->tqh_first == NULL)
#endif
#ifndef QTAILQ_FIRST
#define QTAILQ_FIRST(head) ((head)->tqh_first)
#endif
#ifndef QTAILQ_NEXT
#define QTAILQ_NEXT(element, field) ((element)->field.tqe_next)
#endif
#ifndef int128_get64
#define int128_get64(value) ((uint64_t)(value)) /* a section's size is no Int128 here */
#endif

#endif /* VHUSHMEM_NO_QEMU_MACROS */

/* ---- regions ---- */

/**
 * Give the device a region with VHUSHMEM_STRATEGY_SLOTS: the guest has each mapping by itself, as
 * in the series.
 *
 * The device of a front-end already has the regions that its back-end has announced. For each of
 * them the function returns that region, unchanged, at the first call with the region's size. So a
 * realize function may ask vhost_get_shmem_config and then make the regions.
 *
 * @returns the region, borrowed from the device; NULL: the size is 0 or no multiple of the page
 *          size, the id is taken, or the address space cannot hold it (virtio_add_shmem tells
 *          which).
 * Since: 0.9
 */
VHUSHMEM_API VirtioSharedMemory *virtio_new_shmem_region(VirtIODevice *vdev, uint8_t shmid,
                                                         uint64_t size);

/**
 * Give the device a region, and say what went wrong.
 *
 * @returns 0, or -EEXIST (the id is taken), -EINVAL (the size is 0 or no multiple of the page
 *          size), -ENOMEM (the address space cannot hold it), -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int virtio_add_shmem(VirtIODevice *vdev, uint8_t shmid, uint64_t size, GError **errp);

/**
 * Find the region with this id. @returns the region, borrowed from the device; NULL: there is none.
 * Since: 0.9
 */
VHUSHMEM_API VirtioSharedMemory *virtio_find_shmem_region(VirtIODevice *vdev, uint8_t shmid);

/**
 * Return the container that stands for the region. A VMM puts it into a BAR, and listeners watch
 * it. Its pointer (memory_region_get_ram_ptr) is the region's window.
 *
 * @returns the container, borrowed: it lives as long as the region.
 * Since: 0.9
 */
VHUSHMEM_API MemoryRegion *virtio_shmem_memory_region(VirtioSharedMemory *shmem);

/* ---- mappings ---- */

/**
 * Describe a mapping. Add it with virtio_add_shmem_map.
 *
 * @param fd   duplicated; the caller keeps its own.
 * @param len  bytes, not 0.
 * @returns a mapping, owned by the caller (object_unref(OBJECT(mapping)), vhushmem_mapping_unref)
 *          until it is added. NULL if no region could map the file in this way: len is 0; the fd
 *          does not allow this access, or is sealed against it; fd_offset is no multiple of the
 *          page size; whole pages would lie beyond the end of the file (even if the region allows
 *          that: then use vhushmem_mapping_new); it is not a file that can be mapped; or no
 *          descriptor is left. virtio_add_shmem_map checks whether it fits into the region.
 * Since: 0.9
 */
VHUSHMEM_API VirtioSharedMemoryMapping *virtio_shared_memory_mapping_new(
    uint8_t shmid, int fd, uint64_t fd_offset, uint64_t shm_offset, uint64_t len,
    bool allow_write) VHUSHMEM_CHECK_RESULT;

/**
 * Map what a mapping describes.
 *
 * @param mapping  taken over on success; on failure it stays the caller's.
 * @returns 0, or the errno of vhushmem_region_add_mapping, negative.
 * Since: 0.9
 */
VHUSHMEM_API int virtio_add_shmem_map(VirtioSharedMemory *shmem,
                                      VirtioSharedMemoryMapping *mapping);

/**
 * Find a free, aligned range of the region, map the fd there, and return its offset.
 *
 * @param fd          borrowed.
 * @param align       bytes, a power of two; 0: the page size.
 * @param shm_offset  receives the first byte in the region.
 * @returns the mapping, owned by the region and valid until it is undone; NULL with the errors of
 *          vhushmem_region_alloc (ENOSPC when no free range is large enough).
 * Since: 0.9
 */
VHUSHMEM_API VirtioSharedMemoryMapping *virtio_alloc_shmem_map(VirtioSharedMemory *shmem, int fd,
                                                               uint64_t fd_offset, uint64_t len,
                                                               uint64_t align, bool allow_write,
                                                               uint64_t *shm_offset, GError **errp);

/**
 * Find the mapping that begins at offset and is size bytes long, exactly.
 *
 * @returns the mapping, owned by the region and valid until it is undone; NULL: there is none.
 * Since: 0.9
 */
VHUSHMEM_API VirtioSharedMemoryMapping *virtio_find_shmem_map(VirtioSharedMemory *shmem,
                                                              hwaddr offset, uint64_t size);

/**
 * Undo the mapping that virtio_find_shmem_map would find. If there is none, the function logs that
 * and changes nothing. Since: 0.9
 */
VHUSHMEM_API void virtio_del_shmem_map(VirtioSharedMemory *shmem, hwaddr offset, uint64_t size);

/* ---- the wire, from both sides ---- */

/**
 * Return the regions that the back-end has (GET_SHMEM_CONFIG, asked in the handshake; the answer is
 * constant for a connection). Regions that the program gave itself are not among them.
 *
 * @param nregions      receives how many sizes are not zero; 0 if the back-end was not asked: SHMEM
 *                      was not negotiated, or the program has given the regions
 *                      (vhushmem_frontend_add_region).
 * @param memory_sizes  room for VIRTIO_MAX_SHMEM_REGIONS sizes, by region id; 0: no such region.
 * @returns 0, or -ENOTCONN (the handshake is not done), -EFAULT.
 * Thread rule: as frontend.h.  Since: 0.9
 */
VHUSHMEM_API int vhost_get_shmem_config(vhushmem_frontend *dev, int *nregions,
                                        uint64_t *memory_sizes, GError **errp);

/**
 * Ask the front-end to map, and wait for its answer: vhushmem_backend_map with a bool.
 *
 * @param flags  VHOST_USER_FLAG_MAP_RW or 0.
 * @param fd     borrowed.
 * @returns true: it is mapped; false: it is not (the reason is logged at the level debug).
 * Thread rule: as backend.h.  Since: 0.9
 */
VHUSHMEM_API bool vu_shmem_map(VuDev *dev, uint8_t shmid, uint64_t fd_offset, uint64_t shm_offset,
                               uint64_t len, uint64_t flags, int fd);
/**
 * Ask the front-end to undo a mapping, and wait for its answer. @returns as vu_shmem_map. Since:
 * 0.9
 */
VHUSHMEM_API bool vu_shmem_unmap(VuDev *dev, uint8_t shmid, uint64_t shm_offset, uint64_t len);

G_END_DECLS

#endif
