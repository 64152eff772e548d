/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_MEMORY_REGION_H
#define VHUSHMEM_MEMORY_REGION_H

/**
 * @file
 * Memory regions, containers and listeners under the names of QEMU: the part of series.h that needs
 * no device. A listener learns what a container holds. The container of a shared memory region
 * (virtio_shmem_memory_region in series.h) is one of them.
 *
 * Thread rule unless a function says otherwise: any thread. MemoryListener has the rule for
 * containers that have a listener.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

typedef uint64_t hwaddr;
typedef uint64_t ram_addr_t;

/**
 * A piece of memory: a container of other pieces, or memory mapped from a file. A program embeds
 * it; only the library uses the fields.
 */
typedef struct MemoryRegion MemoryRegion;
struct MemoryRegion {
    void *vhushmem_state;    /**< the library's object */
    void *owner;             /**< the caller's; the library keeps it for the caller */
    const char *name;        /**< owned by the region */
    uint64_t size;           /**< bytes */
    uint64_t addr;           /**< its offset in its container */
    MemoryRegion *container; /**< the container that it is part of, or NULL */
    uint64_t reserved[6];
};

/**
 * What a listener receives. For a mapping: the whole pages that it owns. For other memory: its
 * bytes.
 */
typedef struct MemoryRegionSection {
    MemoryRegion *mr;            /**< the container that the listener watches */
    hwaddr offset_within_region; /**< first byte of the section in it */
    uint64_t size;               /**< bytes */
    void *host;                  /**< its first byte in this process */
    bool readonly;
    /** the same as offset_within_region: the container is the address space */
    hwaddr offset_within_address_space;
} MemoryRegionSection;

/**
 * A program's functions that learn what a container holds. Any of them may be NULL. A program
 * embeds it.
 *
 * begin comes before the first region_add or region_del after a commit. region_add comes when the
 * section can be read through its host address, and before the back-end gets its answer. region_del
 * comes before the memory goes. commit comes after the answer was sent, or at the end of the
 * outermost memory_region_transaction. The changes that memory_listener_register and _unregister
 * report have their commit at once, in a transaction too.
 *
 * Thread rule: while a container has a listener, one thread at a time changes what the container
 * and all below it hold, and registers and unregisters listeners. Such changes are a map or an
 * unmap of its region, a reset, and the dispatch of its front-end or channel.
 */
typedef struct MemoryListener MemoryListener;
struct MemoryListener {
    void (*begin)(MemoryListener *listener);
    void (*commit)(MemoryListener *listener);
    void (*region_add)(MemoryListener *listener, MemoryRegionSection *section);
    void (*region_del)(MemoryListener *listener, MemoryRegionSection *section);
    const char *name;
    /** low ones are called first on region_add and commit, and last on region_del */
    unsigned priority;
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

/**
 * Make a container. The caller owns its memory; memory_region_unref frees what the library
 * allocates for it.
 *
 * @param owner  kept for the caller; the library does not use it.
 * @param name   copied; may be NULL.
 * @param size   bytes.
 * Since: 0.9
 */
VHUSHMEM_API void memory_region_init(MemoryRegion *mr, void *owner, const char *name,
                                     uint64_t size);

/**
 * Make a memory region of a file.
 *
 * @param size       bytes, not 0.
 * @param ram_flags  RAM_SHARED, RAM_READONLY, RAM_READONLY_FD, or'ed.
 * @param fd         consumed on success (closed with the region); on failure it stays the caller's.
 * @param offset     first byte in the file; a multiple of the page size.
 * @returns true; or false with EINVAL (size, flags, offset), EOVERFLOW (the file is shorter), EPERM
 *          (the file is sealed against writing, and RAM_SHARED without RAM_READONLY asks for that),
 *          EBADF, EACCES (the fd does not allow this access), ENODEV, ENOMEM, EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API bool memory_region_init_ram_from_fd(MemoryRegion *mr, void *owner, const char *name,
                                                 uint64_t size, uint32_t ram_flags, int fd,
                                                 ram_addr_t offset, GError **errp);

/**
 * Make a region of memory that the program already has. The memory stays the program's, and must
 * exist until the last reference is gone.
 *
 * @param ptr  its first byte. NULL: the function logs that, and leaves mr as it is.
 * Since: 0.9
 */
VHUSHMEM_API void memory_region_init_ram_ptr(MemoryRegion *mr, void *owner, const char *name,
                                             uint64_t size, void *ptr);
/**
 * The same: this library treats a device's memory like other memory. Since: 0.9
 */
VHUSHMEM_API void memory_region_init_ram_device_ptr(MemoryRegion *mr, void *owner, const char *name,
                                                    uint64_t size, void *ptr);

/**
 * Make a region that shows a part of another one, and references it. The alias is one section of
 * the memory at that address, for good. Listeners see it as read-only if orig is read-only at the
 * time when they are told.
 *
 * @param orig    must have an address (memory_region_get_ram_ptr): a file, the program's memory,
 *                another alias, a region's window. There is no alias of anything else (a container
 *                of memory_region_init; a mapping, which may go): the function logs that, and
 *                leaves mr as it is.
 * @param offset  first byte of the part in orig. If offset + size is more than orig's size, the
 *                function logs that, and leaves mr as it is.
 * Since: 0.9
 */
VHUSHMEM_API void memory_region_init_alias(MemoryRegion *mr, void *owner, const char *name,
                                           MemoryRegion *orig, hwaddr offset, uint64_t size);

/**
 * Tell whether the region is part of a container. For the mr of a mapping: tell whether the mapping
 * is live. Since: 0.9
 */
VHUSHMEM_API bool memory_region_is_mapped(MemoryRegion *mr);
/**
 * Tell whether it is memory. @returns false for a container, also for that of a shared memory
 * region, and for NULL. Since: 0.9
 */
VHUSHMEM_API bool memory_region_is_ram(MemoryRegion *mr);

/**
 * Show or hide a region, with all that is in it, to the listeners of the containers that it is part
 * of. They get region_add or region_del, and a commit. The memory does not change, and listeners of
 * the region itself hear nothing. A new region is enabled. This function and
 * memory_region_set_readonly do nothing for the mr of a mapping: that mr is part of no container of
 * the program.
 *
 * Since: 0.9
 */
VHUSHMEM_API void memory_region_set_enabled(MemoryRegion *mr, bool enabled);
/**
 * Tell the listeners of the containers above that all of a region is read-only, or has the access
 * of its memory again. They get region_del, region_add and a commit. This process can write to the
 * memory as before.
 *
 * Since: 0.9
 */
VHUSHMEM_API void memory_region_set_readonly(MemoryRegion *mr, bool readonly);

/** Return the region's size in bytes. @returns 0 if mr is NULL. Since: 0.9 */
VHUSHMEM_API uint64_t memory_region_size(MemoryRegion *mr);
/**
 * Return the region's address in this process.
 *
 * @returns the address; NULL: a container that stands for no shared memory region, or a mapping
 *          that is not live.
 * Since: 0.9
 */
VHUSHMEM_API void *memory_region_get_ram_ptr(MemoryRegion *mr);
/**
 * Return the region's fd. @returns the fd, owned by the region; -1: there is none, or a mapping
 * kept none. Since: 0.9
 */
VHUSHMEM_API int memory_region_get_fd(MemoryRegion *mr);

/**
 * Put a region into a container. The container references it. The function tells the listeners of
 * the container and of all that it is part of.
 *
 * A shared memory region's container takes only the mr of a mapping, at the offset that the mapping
 * was made for. This adds the mapping, as virtio_add_shmem_map does, but the caller keeps its
 * reference. It takes nothing else, because a region's window shows only files that the region
 * tracks.
 *
 * The function logs a warning and changes nothing if the region does not fit, overlaps another one,
 * is in a container already (or would be in itself), or is not of the kind that the container
 * holds.
 * Since: 0.9
 */
VHUSHMEM_API void memory_region_add_subregion(MemoryRegion *mr, hwaddr offset,
                                              MemoryRegion *subregion);
/**
 * Take a region out of its container, after telling the listeners. For a shared memory region's
 * container: undo the mapping. Since: 0.9
 */
VHUSHMEM_API void memory_region_del_subregion(MemoryRegion *mr, MemoryRegion *subregion);

/**
 * Hold back the commits of listeners until the outermost commit, for changes that the calling
 * thread makes.
 *
 * Since: 0.9
 */
VHUSHMEM_API void memory_region_transaction_begin(void);
/** End a transaction. The outermost one calls the commits that were held back. Since: 0.9 */
VHUSHMEM_API void memory_region_transaction_commit(void);

/** Take one more reference to a region. Since: 0.9 */
VHUSHMEM_API void memory_region_ref(MemoryRegion *mr);
/** Give one reference back. The last one unmaps the memory and closes the fd. Since: 0.9 */
VHUSHMEM_API void memory_region_unref(MemoryRegion *mr);

/**
 * Register a listener of a container: the library tells it what the container holds, on all levels
 * below it, now and from now on. Do not call it from inside a callback of the same container.
 *
 * The strategy of a shared memory region in the container decides what the listener sees:
 *  - VHUSHMEM_STRATEGY_SLOTS, as for the regions of virtio_new_shmem_region: a section for each
 *    live mapping, which comes and goes with it.
 *  - VHUSHMEM_STRATEGY_WINDOW: one section, the window, for good. The listener hears nothing of
 *    maps and unmaps then, because the guest has all of the window, holes too (region.h says what
 *    is in them).
 * A listener of the region's own container hears of each mapping in either case.
 *
 * @param listener  stays the caller's; must live until memory_listener_unregister.
 * @param root      the container, of memory_region_init or virtio_shmem_memory_region; referenced
 *                  until memory_listener_unregister. If root is a region of another kind, or was
 *                  not initialised, the function logs that, and does not register the listener.
 * Since: 0.9
 */
VHUSHMEM_API void memory_listener_register(MemoryListener *listener, MemoryRegion *root);
/**
 * Unregister a listener. It gets region_del for all that the container holds. When the function
 * returns, the library never calls the listener again. The function waits for calls of the listener
 * in other threads, so no callback may wait for the thread that unregisters.
 * Since: 0.9
 */
VHUSHMEM_API void memory_listener_unregister(MemoryListener *listener);

G_END_DECLS

#endif
