/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_DEVICE_H
#define VHUSHMEM_DEVICE_H

#include <vhushmem/base.h>

G_BEGIN_DECLS

/** What a new device is allowed. Set struct_size to sizeof(vhushmem_device_options); zero means the default everywhere. */
typedef struct vhushmem_device_options {
    uint32_t struct_size;
    uint32_t reserved;     /**< 0 */
    uint64_t max_mappings; /**< live mappings of all regions together; 0: no limit but the process's own (see region.h) */
    uint64_t max_bytes;    /**< mapped bytes (whole pages) of all regions together; 0: no limit but the regions' sizes */
    uint64_t
        max_kept_fds; /**< descriptors that regions with VHUSHMEM_REGION_KEEP_FDS keep; 0: 256. All devices of the process together
                                keep no more than half of what it may have open (RLIMIT_NOFILE) */
    uint64_t
        max_address_space; /**< bytes of addresses that the windows of all regions take; 0: 8 TiB. All devices of the process
                                     together take no more than 64 TiB, which is half of what there is */
} vhushmem_device_options;

/**
 * Make a device that has no region yet.
 *
 * @param options  NULL for the defaults; read during the call only.
 * @param errp     receives the error.
 * @returns a device with one reference, owned by the caller; or NULL: EINVAL (struct_size or reserved is wrong).
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API vhushmem_device *vhushmem_device_new(const vhushmem_device_options *options, GError **errp);

/** Take one more reference. @returns the device. Thread rule: any thread.  Since: 0.1 */
VHUSHMEM_API vhushmem_device *vhushmem_device_ref(vhushmem_device *device);

/**
 * Give one reference back. With the last one every mapping is undone and every region that nobody else references goes.
 *
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API void vhushmem_device_unref(vhushmem_device *device);

/**
 * The region with the given id.
 *
 * @returns the region, borrowed: it lives as long as the device, or, where a front-end got its regions from the back-end, until a
 *          handshake fails (take a reference to keep it longer); NULL: there is none.
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

/** How many bytes (whole pages) are mapped in all regions together. Thread rule: any thread.  Since: 0.1 */
VHUSHMEM_API uint64_t vhushmem_device_mapped_bytes(vhushmem_device *device);

/**
 * Undo every mapping of every region, as a device reset demands. The regions stay.
 *
 * @returns how many mappings were undone, or -EFAULT (device is NULL).
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API int vhushmem_device_unmap_all(vhushmem_device *device);

G_END_DECLS

#endif
