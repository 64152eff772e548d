/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_DEVICE_H
#define VHUSHMEM_DEVICE_H

#include <vhushmem/base.h>

G_BEGIN_DECLS

/**
 * What a new device is allowed. Set struct_size to sizeof(vhushmem_device_options); zero means the
 * default everywhere.
 */
typedef struct vhushmem_device_options {
    uint32_t struct_size;
    uint32_t reserved; /**< 0 */
    /** live mappings of all regions together; 0: no limit but the process's own (see region.h) */
    uint64_t max_mappings;
    /** mapped bytes (whole pages) of all regions together; 0: no limit but the regions' sizes */
    uint64_t max_bytes;
    /**
     * descriptors that regions with VHUSHMEM_REGION_KEEP_FDS keep, and one for each large memfd
     * (more than 16 MiB) that is mapped, so that undoing the last mapping does not free it (up to
     * 62); 0: 256. All devices of the process together keep no more than half of what it may have
     * open (RLIMIT_NOFILE)
     */
    uint64_t max_kept_fds;
    /**
     * bytes of addresses that the windows of all regions take; 0: 8 TiB. All devices of the process
     * together, with what front-ends give to its back-ends, take no more than 64 TiB, which is half
     * of what there is
     */
    uint64_t max_address_space;
} vhushmem_device_options;

/**
 * Make a device that has no region yet.
 *
 * @param options  NULL for the defaults; read during the call only.
 * @param errp     receives the error.
 * @returns a device with one reference, owned by the caller; or NULL: EINVAL (struct_size or
 *          reserved is wrong).
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API vhushmem_device *vhushmem_device_new(const vhushmem_device_options *options,
                                                  GError **errp) VHUSHMEM_CHECK_RESULT;

/** Take one more reference. @returns the device. Thread rule: any thread.  Since: 0.1 */
VHUSHMEM_API vhushmem_device *vhushmem_device_ref(vhushmem_device *device);

/**
 * Give one reference back. With the last one every mapping is undone and every region that nobody
 * else references goes.
 *
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API void vhushmem_device_unref(vhushmem_device *device);

struct vhushmem_region_options;

/**
 * Make the regions that a back-end says it has, of its reply to GET_SHMEM_CONFIG: for a VMM that
 * speaks vhost-user itself. The payload is checked as a front-end of this library checks it. A
 * device that has regions already must have the same ones, since the guest has seen them: so it is
 * called again for a back-end that comes back.
 *
 * @param payload  as it came, 2056 bytes: a count, and the size of each of 256 regions; read during
 *                 the call only.
 * @param size     how many bytes came.
 * @param options  of each region; NULL for the defaults.
 * @param errp     receives the error.
 * @returns how many regions the device has; or -EPROTO (another length; more than 256 regions; a
 *          size that is no multiple of the page size, or that finds no room; other regions than the
 *          device has), -EINVAL (options), -EFAULT (device or payload is NULL). Then a device
 *          without regions has none.
 * Thread rule: one thread at a time for one device.  Since: 0.1
 */
VHUSHMEM_API int vhushmem_device_add_config(vhushmem_device *device, const void *payload,
                                            size_t size,
                                            const struct vhushmem_region_options *options,
                                            GError **errp);

/** What has become of a range of a region. */
typedef enum vhushmem_change_type {
    VHUSHMEM_CHANGE_MAPPED = 0,   /**< a mapping is there */
    VHUSHMEM_CHANGE_UNMAPPED = 1, /**< a mapping has gone, and a hole is there */
    VHUSHMEM_CHANGE_REPLACED = 2, /**< another mapping is there, and there was no hole in between */
    /** the mapping's file lacks a page that it had: zeros are seen there */
    VHUSHMEM_CHANGE_BROKEN = 3,
    VHUSHMEM_CHANGE_HEALED = 4 /**< the file has all its pages again */
} vhushmem_change_type;

/** A change, as it is told. */
typedef struct vhushmem_change {
    uint32_t type; /**< vhushmem_change_type */
    uint8_t shmid;
    uint8_t reserved[3]; /**< 0 */
    uint64_t shm_offset;
    uint64_t len; /**< bytes, whole pages */
    uint64_t fd_offset;
    uint64_t flags; /**< of the mapping: VHOST_USER_FLAG_MAP_RW or 0 */
} vhushmem_change;

/**
 * Called after each change and before the back-end is answered, by the thread that makes it, with
 * no lock held. It may read the windows and look mappings up; it does not map, unmap or reset.
 */
typedef void (*vhushmem_change_fn)(vhushmem_device *device, const vhushmem_change *change,
                                   void *user_data);

/**
 * Have every change of a mapping told, in all regions that the device has and will have: a VMM that
 * translates guest code, or that keeps page tables of its own, must forget what it made of a range.
 * Whoever makes the change: a front-end, a channel, vhushmem_handle_map, a reset. The end of the
 * device itself is not told.
 *
 * BROKEN and HEALED are told where a front-end or a channel of the device is dispatched, and by
 * vhushmem_device_check.
 *
 * @param fn         NULL: nobody is told any more.
 * @param user_data  handed to fn.
 * @param destroy    called once with user_data: when the callback is replaced or the device goes,
 *                   or at once if fn is NULL or the call fails; may be NULL.
 * @param errp       receives the error.
 * @returns 0, or -EBUSY (something is mapped: who is to know of all changes must be there from the
 *          beginning), -EFAULT.
 * Thread rule: one thread at a time for one device, while nobody maps.  Since: 0.1
 */
VHUSHMEM_API int vhushmem_device_set_callback(vhushmem_device *device, vhushmem_change_fn fn,
                                              void *user_data, GDestroyNotify destroy,
                                              GError **errp);

/**
 * Look after mappings whose files lack pages: what has come back is the file's again
 * (vhushmem_region_heal, in all regions), and the callback of vhushmem_device_set_callback is told
 * what has broken or healed. For a VMM that carries out single messages (request.h); a front-end
 * and a channel do so when they are dispatched.
 *
 * @returns how many mappings are broken, or -EFAULT (device is NULL). It may wait for whoever keeps
 *          the files.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API int64_t vhushmem_device_check(vhushmem_device *device);

/**
 * Begin a reset of the device, for a VMM that carries out single messages: every mapping is undone,
 * and vhushmem_handle_map and vhushmem_handle_unmap refuse with -ECANCELED until
 * vhushmem_device_end_reset. What the back-end asked for before it knew of the reset must not
 * appear in the device's next life. Call it before the reset is sent to the back-end.
 *
 * @param errp  receives the error.
 * @returns how many mappings were undone, or -EALREADY (a reset is under way), -EFAULT.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API int vhushmem_device_begin_reset(vhushmem_device *device, GError **errp);

/**
 * End a reset of the device: once the back-end has answered the reset, and what it had sent before
 * its answer was carried out (that is, refused).
 *
 * @param errp  receives the error.
 * @returns 0, or -EINVAL (no reset is under way), -EFAULT.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API int vhushmem_device_end_reset(vhushmem_device *device, GError **errp);

/**
 * The region with the given id.
 *
 * @returns the region, borrowed: it lives as long as the device, or, where a front-end got its
 *          regions from the back-end, until a handshake fails (take a reference to keep it longer);
 *          NULL: there is none.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API vhushmem_region *vhushmem_device_find_region(vhushmem_device *device, uint8_t shmid);

/**
 * The ids of all regions, in ascending order.
 *
 * @param ids       room for `capacity` ids; may be NULL when capacity is 0.
 * @param capacity  how many ids fit.
 * @returns how many regions there are (which may be more than fitted), or -EFAULT.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API int vhushmem_device_region_ids(vhushmem_device *device, uint8_t *ids, size_t capacity);

/** How many mappings are live in all regions together. Thread rule: any thread.  Since: 0.1 */
VHUSHMEM_API uint64_t vhushmem_device_mapping_count(vhushmem_device *device);

/**
 * How many bytes (whole pages) are mapped in all regions together. Thread rule: any thread.  Since:
 * 0.1
 */
VHUSHMEM_API uint64_t vhushmem_device_mapped_bytes(vhushmem_device *device);

/**
 * Undo every mapping of every region, as a device reset demands. The regions stay.
 *
 * @returns how many mappings were undone, or -EFAULT (device is NULL).
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API int vhushmem_device_unmap_all(vhushmem_device *device);

/* g_autoptr(vhushmem_device) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_device, vhushmem_device_unref)

G_END_DECLS

#endif
