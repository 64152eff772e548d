/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_DEVICE_H
#define VHUSHMEM_DEVICE_H

#include <vhushmem/base.h>

G_BEGIN_DECLS

/**
 * Options of a new device. Set struct_size to sizeof(vhushmem_device_options). A field that is 0
 * means its default.
 */
typedef struct vhushmem_device_options {
    uint32_t struct_size;
    uint32_t reserved; /**< 0 */
    /** live mappings of all regions together; 0: no limit but the process's own (see region.h) */
    uint64_t max_mappings;
    /** mapped bytes (whole pages) of all regions together; 0: no limit but the regions' sizes */
    uint64_t max_bytes;
    /**
     * Descriptors that the device may keep; 0: 256. Regions with VHUSHMEM_REGION_KEEP_FDS keep one
     * for each mapping. The device also keeps one for each large mapped memfd (more than 16 MiB, up
     * to 62 memfds), so that the undoing of its last mapping does not free the memfd. All devices
     * of the process together keep at most half of the descriptors that the process may have open
     * (RLIMIT_NOFILE).
     */
    uint64_t max_kept_fds;
    /**
     * Bytes of addresses that the windows of all regions may take; 0: 8 TiB. All devices of the
     * process, together with what front-ends give to its back-ends, take at most 64 TiB, which is
     * half of the address space.
     */
    uint64_t max_address_space;
} vhushmem_device_options;

/**
 * Make a device without regions.
 *
 * @param options  NULL for the defaults; read only during the call.
 * @param errp     receives the error.
 * @returns a device with one reference, owned by the caller; or NULL: EINVAL (struct_size or
 *          reserved is wrong).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API vhushmem_device *vhushmem_device_new(const vhushmem_device_options *options,
                                                  GError **errp) VHUSHMEM_CHECK_RESULT;

/** Take one more reference. @returns the device. Thread rule: any thread.  Since: 0.9 */
VHUSHMEM_API vhushmem_device *vhushmem_device_ref(vhushmem_device *device);

/**
 * Give one reference back. The last one undoes every mapping and frees every region that has no
 * other reference. If such regions have more than 256 mappings, a thread of the library undoes
 * them, some 30,000 in 20 ms, and the call does not wait. So take the windows out of the guest
 * before. A region that has another reference, its place in a guest by kvm.h, or listeners is empty
 * when the call returns.
 *
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API void vhushmem_device_unref(vhushmem_device *device);

struct vhushmem_region_options;

/**
 * Make the regions of a back-end from its reply to GET_SHMEM_CONFIG, for a VMM that speaks
 * vhost-user itself. The function checks the payload as a front-end of this library does. Call it
 * again for a back-end that comes back. The device then has regions already, and the reply must
 * name the same ones, because the guest has seen them.
 *
 * @param payload  the payload as it came, 2056 bytes: a count, and the size of each of 256 regions;
 *                 read only during the call.
 * @param size     how many bytes came.
 * @param options  for each region; NULL for the defaults.
 * @param errp     receives the error.
 * @returns how many regions the device has; or -EPROTO (another length; more than 256 regions; a
 *          size that is no multiple of the page size, or that finds no room; other regions than the
 *          device has), -EINVAL (options), -EFAULT (device or payload is NULL). After a failure a
 *          device that had no regions still has none.
 * Thread rule: one thread at a time for one device.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_device_add_config(vhushmem_device *device, const void *payload,
                                            size_t size,
                                            const struct vhushmem_region_options *options,
                                            GError **errp);

/** What happened to a range of a region. */
typedef enum vhushmem_change_type {
    VHUSHMEM_CHANGE_MAPPED = 0,   /**< a mapping was made */
    VHUSHMEM_CHANGE_UNMAPPED = 1, /**< a mapping was undone and left a hole */
    VHUSHMEM_CHANGE_REPLACED = 2, /**< another mapping took the place, with no hole in between */
    /** the mapping's file lacks a page that it had; readers see zeros there */
    VHUSHMEM_CHANGE_BROKEN = 3,
    VHUSHMEM_CHANGE_HEALED = 4 /**< the file has all its pages again */
} vhushmem_change_type;

/** A change, as the callback receives it. */
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
 * Called after each change, before the back-end gets its answer, by the thread that makes the
 * change, with no lock held. The callback may read the windows and look mappings up. It must not
 * map, unmap or reset.
 */
typedef void (*vhushmem_change_fn)(vhushmem_device *device, const vhushmem_change *change,
                                   void *user_data);

/**
 * Report every change of a mapping to a callback, in all present and future regions of the device.
 * A VMM that translates guest code, or has its own page tables, needs this: it must forget its
 * translations of a changed range. The callback gets every change, whether a front-end, a channel,
 * vhushmem_handle_map or a reset makes it. It does not get the end of the device.
 *
 * The library reports BROKEN and HEALED when it dispatches a front-end or a channel of the device,
 * and in vhushmem_device_check.
 *
 * @param fn         NULL: stop reporting.
 * @param user_data  handed to fn.
 * @param destroy    called once with user_data: when another callback replaces this one or the
 *                   device goes, or at once if fn is NULL or the call fails; may be NULL.
 * @param errp       receives the error.
 * @returns 0, or -EBUSY (something is mapped: set the callback before the first mapping, so that it
 *          gets all changes), -EFAULT.
 * Thread rule: one thread at a time for one device, while no thread maps.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_device_set_callback(vhushmem_device *device, vhushmem_change_fn fn,
                                              void *user_data, GDestroyNotify destroy,
                                              GError **errp);

/**
 * Check the mappings whose files lack pages. The function shows pages that the file has again (as
 * vhushmem_region_heal does, in all regions), and reports each broken or healed mapping to the
 * callback of vhushmem_device_set_callback. It is for a VMM that handles single messages
 * (channel.h). A front-end and a channel do the same when they are dispatched. The call may wait
 * for the storage or the server of a file.
 *
 * @returns how many mappings are broken, or -EFAULT (device is NULL). Thread rule: any thread.
 * Since: 0.9
 */
VHUSHMEM_API int64_t vhushmem_device_check(vhushmem_device *device);

/**
 * Begin a reset of the device, for a VMM that handles single messages. The function undoes every
 * mapping. Until vhushmem_device_end_reset, vhushmem_handle_map and vhushmem_handle_unmap refuse
 * with -ECANCELED: a request that the back-end sent before it knew of the reset must not take
 * effect after it. Call this function before you send the reset to the back-end.
 *
 * @param errp  receives the error.
 * @returns how many mappings were undone, or -EALREADY (a reset is under way), -EFAULT.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_device_begin_reset(vhushmem_device *device, GError **errp);

/**
 * End a reset of the device. Call it when the back-end has answered the reset, and when you have
 * handled (and so refused) all that it sent before its answer.
 *
 * @param errp  receives the error.
 * @returns 0, or -EINVAL (no reset is under way), -EFAULT.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_device_end_reset(vhushmem_device *device, GError **errp);

/**
 * Find the region with this id.
 *
 * @returns the region, borrowed. It lives as long as the device. If a front-end got its regions
 *          from the back-end, it lives until a handshake fails. Take a reference to keep it longer.
 *          NULL: there is none.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API vhushmem_region *vhushmem_device_find_region(vhushmem_device *device, uint8_t shmid);

/**
 * List the ids of all regions, in ascending order.
 *
 * @param ids       room for `capacity` ids; may be NULL when capacity is 0.
 * @param capacity  how many ids fit.
 * @returns how many regions there are (which may be more than capacity), or -EFAULT.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_device_region_ids(vhushmem_device *device, uint8_t *ids, size_t capacity);

/** Count the live mappings of all regions together. Thread rule: any thread.  Since: 0.9 */
VHUSHMEM_API uint64_t vhushmem_device_mapping_count(vhushmem_device *device);

/**
 * Count the mapped bytes (whole pages) of all regions together. Thread rule: any thread.  Since:
 * 0.9
 */
VHUSHMEM_API uint64_t vhushmem_device_mapped_bytes(vhushmem_device *device);

/**
 * Undo every mapping of every region, as the reset of a device demands. The regions stay.
 *
 * @returns how many mappings were undone, or -EFAULT (device is NULL).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_device_unmap_all(vhushmem_device *device);

/* g_autoptr(vhushmem_device) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_device, vhushmem_device_unref)

G_END_DECLS

#endif
