/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_SERIES_H
#define VHUSHMEM_SERIES_H

/**
 * @file
 * The names, parameter order and return convention of the patch series "vhost-user: Add SHMEM_MAP/UNMAP requests", for device code
 * that is written to them. They are names for the same objects that the vhushmem_* functions know, so both may be used together.
 * Where the series has `Error **`, this has `GError **`.
 *
 * The library never calls these through the dynamic symbol table: a program that defines functions of the same names neither
 * disturbs it nor is disturbed.
 *
 * Page alignment, quotas, fd policy and errnos are those of region.h. Thread rule unless a function says otherwise: any thread.
 */

#include <vhushmem/base.h>
#include <vhushmem/vhost-user.h>

G_BEGIN_DECLS

#ifndef VIRTIO_MAX_SHMEM_REGIONS
#define VIRTIO_MAX_SHMEM_REGIONS 256
#endif

typedef vhushmem_device VirtIODevice;
typedef vhushmem_region VirtioSharedMemory;
typedef vhushmem_mapping VirtioSharedMemoryMapping;
typedef vhushmem_backend VuDev;
typedef uint64_t hwaddr;
typedef uint64_t ram_addr_t;

/**
 * A piece of memory: a container of others, or memory mapped from a file. Embedded by callers; the fields are the library's.
 */
typedef struct MemoryRegion MemoryRegion;
struct MemoryRegion {
    void *vhushmem_state;    /**< what stands behind it */
    void *owner;             /**< the caller's, kept for it */
    const char *name;        /**< owned by the region */
    uint64_t size;           /**< bytes */
    uint64_t addr;           /**< where it is in its container */
    MemoryRegion *container; /**< the container that it is part of, or NULL */
    uint64_t reserved[4];
};

/** What a listener is told of. */
typedef struct MemoryRegionSection {
    MemoryRegion *mr;            /**< the container that the listener watches */
    hwaddr offset_within_region; /**< where the section begins in it, bytes */
    uint64_t size;               /**< bytes */
    void *host;                  /**< its first byte in this process */
    bool readonly;
} MemoryRegionSection;

/**
 * Someone who must know what a container holds. Callbacks that are NULL are left out. Embedded by callers.
 *
 * region_add comes when the section can be read through its host address and before the back-end is answered; region_del before
 * the memory goes; commit after the answer was sent, or at the end of the outermost memory_region_transaction.
 *
 * Thread rule: while a container has a listener, one thread at a time changes what the container holds, and registers and unregisters
 * its listeners. A map or an unmap of its region, a reset and the dispatch of its front-end or channel are such changes.
 */
typedef struct MemoryListener MemoryListener;
struct MemoryListener {
    void (*begin)(MemoryListener *listener);
    void (*commit)(MemoryListener *listener);
    void (*region_add)(MemoryListener *listener, MemoryRegionSection *section);
    void (*region_del)(MemoryListener *listener, MemoryRegionSection *section);
    const char *name;
    unsigned priority;    /**< lower ones are called first on region_add and commit, last on region_del */
    void *vhushmem_state; /**< the library's */
};

/** ram_flags of memory_region_init_ram_from_fd. */
#ifndef RAM_SHARED
#define RAM_SHARED (1u << 1) /**< writes go to the file; without it they are private */
#endif
#ifndef RAM_READONLY
#define RAM_READONLY (1u << 11) /**< the memory is read-only */
#endif
#ifndef RAM_READONLY_FD
#define RAM_READONLY_FD (1u << 12) /**< the fd is open for reading only */
#endif

/* ---- regions ---- */

/**
 * Give the device a region.
 *
 * @returns the region, borrowed from the device; NULL: the size is 0 or no page multiple, the id is taken, or the address space
 *          can't hold it (virtio_add_shmem tells which).
 * Since: 0.1
 */
VHUSHMEM_API VirtioSharedMemory *virtio_new_shmem_region(VirtIODevice *vdev, uint8_t shmid, uint64_t size);

/**
 * Give the device a region, and say what went wrong.
 *
 * @returns 0, or -EEXIST (the id is taken), -EINVAL (the size is 0 or no page multiple), -ENOMEM (the address space can't hold
 *          it), -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int virtio_add_shmem(VirtIODevice *vdev, uint8_t shmid, uint64_t size, GError **errp);

/** @returns the region with this id, borrowed from the device; NULL: there is none. Since: 0.1 */
VHUSHMEM_API VirtioSharedMemory *virtio_find_shmem_region(VirtIODevice *vdev, uint8_t shmid);

/**
 * The container that stands for the region: what a VMM puts into a BAR and what listeners watch. Its pointer
 * (memory_region_get_ram_ptr) is the region's window.
 *
 * @returns the container, borrowed: it lives as long as the region.
 * Since: 0.1
 */
VHUSHMEM_API MemoryRegion *virtio_shmem_memory_region(VirtioSharedMemory *shmem);

/* ---- mappings ---- */

/**
 * Describe a mapping, to be added with virtio_add_shmem_map.
 *
 * @param fd   duplicated; the caller keeps its own.
 * @param len  bytes, not 0.
 * @returns a mapping, owned by the caller (vhushmem_mapping_unref) until it was added; NULL: len is 0, fd is not open or no
 *          descriptor is left.
 * Since: 0.1
 */
VHUSHMEM_API VirtioSharedMemoryMapping *virtio_shared_memory_mapping_new(uint8_t shmid, int fd, uint64_t fd_offset,
                                                                         uint64_t shm_offset, uint64_t len, bool allow_write);

/**
 * Map it.
 *
 * @param mapping  taken over on success; on failure it stays the caller's.
 * @returns 0, or the errno of vhushmem_region_add_mapping, negative.
 * Since: 0.1
 */
VHUSHMEM_API int virtio_add_shmem_map(VirtioSharedMemory *shmem, VirtioSharedMemoryMapping *mapping);

/**
 * Find a free, aligned range of the region, map the fd there, and say where.
 *
 * @param fd          borrowed.
 * @param align       bytes, a power of two; 0: the page size.
 * @param shm_offset  receives where it begins.
 * @returns the mapping, owned by the region and good until it is undone; NULL with the errors of vhushmem_region_alloc (ENOSPC
 *          when no free range is large enough).
 * Since: 0.1
 */
VHUSHMEM_API VirtioSharedMemoryMapping *virtio_alloc_shmem_map(VirtioSharedMemory *shmem, int fd, uint64_t fd_offset,
                                                               uint64_t len, uint64_t align, bool allow_write,
                                                               uint64_t *shm_offset, GError **errp);

/**
 * The mapping that begins at offset and is size bytes long, exactly.
 *
 * @returns the mapping, owned by the region and good until it is undone; NULL: there is none.
 * Since: 0.1
 */
VHUSHMEM_API VirtioSharedMemoryMapping *virtio_find_shmem_map(VirtioSharedMemory *shmem, hwaddr offset, uint64_t size);

/** Undo the mapping that virtio_find_shmem_map would find. Without one: logged, nothing changes. Since: 0.1 */
VHUSHMEM_API void virtio_del_shmem_map(VirtioSharedMemory *shmem, hwaddr offset, uint64_t size);

/* ---- memory regions ---- */

/**
 * Make a container. Its memory is the caller's; what stands behind it goes with memory_region_unref.
 *
 * @param owner  kept for the caller, not touched.
 * @param name   copied; may be NULL.
 * @param size   bytes.
 * Since: 0.1
 */
VHUSHMEM_API void memory_region_init(MemoryRegion *mr, void *owner, const char *name, uint64_t size);

/**
 * Make a memory region out of a file.
 *
 * @param size       bytes, not 0.
 * @param ram_flags  RAM_SHARED, RAM_READONLY, RAM_READONLY_FD, or'ed.
 * @param fd         consumed on success (closed with the region); on failure it stays the caller's.
 * @param offset     first byte in the file; a multiple of the page size.
 * @returns true; or false with EINVAL (size, flags, offset), EOVERFLOW (the file is shorter), EBADF, EACCES, ENODEV, ENOMEM, EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API bool memory_region_init_ram_from_fd(MemoryRegion *mr, void *owner, const char *name, uint64_t size,
                                                 uint32_t ram_flags, int fd, ram_addr_t offset, GError **errp);

/** @returns its size in bytes; 0: mr is NULL. Since: 0.1 */
VHUSHMEM_API uint64_t memory_region_size(MemoryRegion *mr);
/** @returns where it is in this process; NULL: a container that stands for no shared memory region. Since: 0.1 */
VHUSHMEM_API void *memory_region_get_ram_ptr(MemoryRegion *mr);
/** @returns the fd behind it, owned by the region; -1: there is none. Since: 0.1 */
VHUSHMEM_API int memory_region_get_fd(MemoryRegion *mr);

/**
 * Put a region into a container; listeners of the container are told. The container references it.
 *
 * Refused with a logged warning, nothing changed: it does not fit, overlaps another one, or is in a container already.
 * Since: 0.1
 */
VHUSHMEM_API void memory_region_add_subregion(MemoryRegion *mr, hwaddr offset, MemoryRegion *subregion);
/** Take a region out of its container; listeners are told first. Since: 0.1 */
VHUSHMEM_API void memory_region_del_subregion(MemoryRegion *mr, MemoryRegion *subregion);

/**
 * Hold the commits of listeners back until the outermost commit, for changes made by the calling thread.
 *
 * Since: 0.1
 */
VHUSHMEM_API void memory_region_transaction_begin(void);
/** End a transaction; the outermost one calls the commits that were held back. Since: 0.1 */
VHUSHMEM_API void memory_region_transaction_commit(void);

/** Take one more reference to what stands behind a region. Since: 0.1 */
VHUSHMEM_API void memory_region_ref(MemoryRegion *mr);
/** Give one reference back; with the last one the memory is unmapped and the fd closed. Since: 0.1 */
VHUSHMEM_API void memory_region_unref(MemoryRegion *mr);

/**
 * Tell a listener what a container holds, now and from now on. Not from inside a callback of the same container.
 *
 * @param listener  stays the caller's; must live until memory_listener_unregister.
 * @param root      the container, of memory_region_init or virtio_shmem_memory_region; referenced until memory_listener_unregister.
 * Since: 0.1
 */
VHUSHMEM_API void memory_listener_register(MemoryListener *listener, MemoryRegion *root);
/**
 * No more; region_del is called for what the container holds. When this returns the listener is never called again: it waits for calls of
 * the listener that other threads are in, so no callback may wait for the thread that unregisters.
 * Since: 0.1
 */
VHUSHMEM_API void memory_listener_unregister(MemoryListener *listener);

/* ---- the wire, from both sides ---- */

/**
 * What regions the back-end says it has (GET_SHMEM_CONFIG, asked in the handshake; its answer is constant for a connection).
 *
 * @param nregions      receives how many sizes are not zero.
 * @param memory_sizes  room for VIRTIO_MAX_SHMEM_REGIONS sizes, by region id; 0: no such region.
 * @returns 0, or -ENOTCONN (the handshake is not done), -EFAULT.
 * Thread rule: as frontend.h.  Since: 0.1
 */
VHUSHMEM_API int vhost_get_shmem_config(vhushmem_frontend *dev, int *nregions, uint64_t *memory_sizes, GError **errp);

/**
 * Ask the front-end to map, and wait for its answer: vhushmem_backend_map with a bool.
 *
 * @param flags  VHOST_USER_FLAG_MAP_RW or 0.
 * @param fd     borrowed.
 * @returns true: it is mapped; false: it is not (the reason is logged at debug level).
 * Thread rule: as backend.h.  Since: 0.1
 */
VHUSHMEM_API bool vu_shmem_map(VuDev *dev, uint8_t shmid, uint64_t fd_offset, uint64_t shm_offset, uint64_t len, uint64_t flags,
                               int fd);
/** Ask the front-end to undo a mapping, and wait for its answer. @returns as vu_shmem_map. Since: 0.1 */
VHUSHMEM_API bool vu_shmem_unmap(VuDev *dev, uint8_t shmid, uint64_t shm_offset, uint64_t len);

G_END_DECLS

#endif
