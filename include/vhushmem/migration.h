/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_MIGRATION_H
#define VHUSHMEM_MIGRATION_H

/**
 * @file
 * Data that outlives a back-end: the area for requests in flight, and the device's inner state. A
 * function tells whether a migration is possible.
 *
 * Thread rule: that of frontend.h, one thread at a time for one front-end. request.h describes the
 * two forms of a request, and the errors that every request may return.
 */

#include <vhushmem/base.h>
#include <vhushmem/request.h>

G_BEGIN_DECLS

/**
 * An area in a file in which a back-end tracks the requests in flight. Set struct_size to
 * sizeof(vhushmem_inflight), also before a function fills it.
 */
typedef struct vhushmem_inflight {
    uint32_t struct_size;
    int32_t fd;          /**< the file */
    uint64_t size;       /**< bytes */
    uint64_t offset;     /**< where it begins in the file */
    uint16_t num_queues; /**< queues that the area is made for */
    uint16_t queue_size; /**< entries of each queue */
    uint32_t reserved;   /**< 0 */
} vhushmem_inflight;

/**
 * Have the back-end make an area for requests in flight (GET_INFLIGHT_FD; needs INFLIGHT_SHMFD).
 * From now on the front-end gives the area back to the back-end at each start of the device, also
 * after a reconnection, until the device is reset.
 *
 * @param num_queues  1 to num_queues of the options.
 * @param queue_size  entries of the largest queue, not 0.
 * @param area        receives the area, for a VMM that wants to keep it longer than the front-end;
 *                    the caller must close its fd. The caller sets its struct_size; the function
 *                    zeroes what lies beyond this library's struct. May be NULL.
 * @returns 0, or -EINVAL (num_queues, queue_size, struct_size), -EMFILE, or what request.h says.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_get_inflight(vhushmem_frontend *frontend, uint16_t num_queues,
                                                uint16_t queue_size, vhushmem_inflight *area,
                                                GError **errp);

/**
 * The same without waiting: the reply's payload is a vhushmem_inflight, whose fd is the reply's.
 * Its struct_size is that of this library. Copy no more than that, and no more than your own.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_get_inflight_async(vhushmem_frontend *frontend,
                                                      uint16_t num_queues, uint16_t queue_size,
                                                      vhushmem_reply_fn fn, void *user_data,
                                                      GDestroyNotify destroy, GError **errp);

/**
 * Give the front-end an area that it or another front-end made before. The front-end sends it
 * (SET_INFLIGHT_FD) at each start, until the device is reset.
 *
 * @param area  its fd is duplicated; NULL: give no area from now on.
 * @returns 0, or -EINVAL (struct_size, reserved, a size of 0, a range that wraps around), -EBADF,
 *          -EMFILE, -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_set_inflight(vhushmem_frontend *frontend,
                                                const vhushmem_inflight *area, GError **errp);

/** The direction of a transfer of a device's state. */
enum {
    VHUSHMEM_STATE_SAVE = 0, /**< the back-end writes it into the pipe */
    VHUSHMEM_STATE_LOAD = 1  /**< the back-end reads it from there */
};

/**
 * Begin to transfer the inner state of a stopped device (SET_DEVICE_STATE_FD; needs DEVICE_STATE).
 * The VMM keeps the other end of the pipe. It reads until the end of the file, or writes everything
 * and closes its end. Then it calls vhushmem_frontend_check_device_state.
 *
 * @param direction  VHUSHMEM_STATE_*.
 * @param fd         the back-end's end of a pipe or socket; consumed on success, so that the VMM's
 *                   own end sees the end of the file.
 * @param use_fd     receives a descriptor that the back-end would rather use: read from it or write
 *                   to it instead, and close it. -1: use the pipe.
 * @returns 0, or -EINVAL (direction), -EBUSY (the device runs), -EBADF, or what request.h says.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_set_device_state_fd(vhushmem_frontend *frontend,
                                                       unsigned direction, int fd, int *use_fd,
                                                       GError **errp);

/** The same without waiting: the reply's fd is use_fd (dup it to keep it). Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_set_device_state_fd_async(vhushmem_frontend *frontend,
                                                             unsigned direction, int fd,
                                                             vhushmem_reply_fn fn, void *user_data,
                                                             GDestroyNotify destroy, GError **errp);

/**
 * Check whether the transfer has succeeded (CHECK_DEVICE_STATE; needs DEVICE_STATE). Call it after
 * the end of the pipe was seen.
 *
 * @returns 0: it has; -EIO: it has not; or what request.h says.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_check_device_state(vhushmem_frontend *frontend, GError **errp);

/** The same without waiting. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_check_device_state_async(vhushmem_frontend *frontend,
                                                            vhushmem_reply_fn fn, void *user_data,
                                                            GDestroyNotify destroy, GError **errp);

/**
 * Tell whether the device could be migrated now. Mappings prevent it: their files are on this host,
 * and the destination could not make them again. To make a migration possible, ask the driver to
 * let go of the mappings, or reset the device.
 *
 * @returns 0: it could; or
 *          -EBUSY       mappings exist (the message says how many, and in which region);
 *          -EOPNOTSUPP  the back-end does not offer to log its writes (VHOST_F_LOG_ALL and
 *                       LOG_SHMFD), so that guest memory cannot be copied while it runs; or it has
 *                       not agreed to DEVICE_STATE, so that nothing can move its state (the message
 *                       says which). A device without state (VHUSHMEM_FRONTEND_STATELESS) needs no
 *                       DEVICE_STATE;
 *          -ENOTCONN    the front-end is not ready;
 *          -EFAULT      frontend is NULL.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_can_migrate(vhushmem_frontend *frontend, GError **errp);

G_END_DECLS

#endif
