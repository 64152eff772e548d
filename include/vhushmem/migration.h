/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_MIGRATION_H
#define VHUSHMEM_MIGRATION_H

/**
 * @file
 * What outlives a back-end: the book of requests in flight, and the device's inner state; and
 * whether a migration is possible.
 *
 * Thread rule: that of frontend.h, one thread at a time for one front-end. The two forms of a
 * request, and the errors that every request may end with, are as request.h has them.
 */

#include <vhushmem/base.h>
#include <vhushmem/request.h>

G_BEGIN_DECLS

/** An area in a file, in which a back-end keeps book of the requests that it has begun. */
typedef struct vhushmem_inflight {
    uint64_t size;       /**< bytes */
    uint64_t offset;     /**< where it begins in the file */
    uint16_t num_queues; /**< queues that it is made for */
    uint16_t queue_size; /**< entries of each */
    int32_t fd;          /**< the file */
} vhushmem_inflight;

/**
 * Have the back-end make such an area (GET_INFLIGHT_FD; needs INFLIGHT_SHMFD). From now on it is
 * given back to the back-end at each start of the device, also after a reconnection, until the
 * device is reset.
 *
 * @param num_queues  1 to num_queues of the options.
 * @param queue_size  entries of the largest queue, not 0.
 * @param area        receives the area, for a VMM that wants to keep it beyond the front-end; its
 *                    fd is the caller's to close. May be NULL.
 * @returns 0, or -EINVAL (num_queues, queue_size), -EMFILE, or what request.h says.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_get_inflight(vhushmem_frontend *frontend, uint16_t num_queues,
                                                uint16_t queue_size, vhushmem_inflight *area,
                                                GError **errp);

/**
 * The same without waiting: the reply's payload is a vhushmem_inflight, whose fd is the reply's.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_get_inflight_async(vhushmem_frontend *frontend,
                                                      uint16_t num_queues, uint16_t queue_size,
                                                      vhushmem_reply_fn fn, void *user_data,
                                                      GDestroyNotify destroy, GError **errp);

/**
 * Give the front-end an area that was made before, by this or by another front-end: it is sent
 * (SET_INFLIGHT_FD) at each start, until the device is reset.
 *
 * @param area  its fd is duplicated; NULL: none any more.
 * @returns 0, or -EINVAL (a size of 0, a range that wraps around), -EBADF, -EMFILE, -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_set_inflight(vhushmem_frontend *frontend,
                                                const vhushmem_inflight *area, GError **errp);

/** Which way a device's state goes. */
enum {
    VHUSHMEM_STATE_SAVE = 0, /**< the back-end writes it into the pipe */
    VHUSHMEM_STATE_LOAD = 1  /**< the back-end reads it from there */
};

/**
 * Begin to transfer the inner state of a device that is stopped (SET_DEVICE_STATE_FD; needs
 * DEVICE_STATE). The other end of the pipe is the VMM's: it reads until the end of the file, or
 * writes everything and closes, and then asks vhushmem_frontend_check_device_state.
 *
 * @param direction  VHUSHMEM_STATE_*.
 * @param fd         the back-end's end of a pipe or socket; consumed on success, so that the VMM's
 *                   own end sees the end.
 * @param use_fd     receives a descriptor that the back-end would rather use: read from it or write
 *                   to it instead, and close it. -1: the pipe is used.
 * @returns 0, or -EINVAL (direction), -EBUSY (the device runs), -EBADF, or what request.h says.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_set_device_state_fd(vhushmem_frontend *frontend,
                                                       unsigned direction, int fd, int *use_fd,
                                                       GError **errp);

/** The same without waiting: the reply's fd is use_fd (dup it to keep it). Since: 0.1 */
VHUSHMEM_API int vhushmem_frontend_set_device_state_fd_async(vhushmem_frontend *frontend,
                                                             unsigned direction, int fd,
                                                             vhushmem_reply_fn fn, void *user_data,
                                                             GDestroyNotify destroy, GError **errp);

/**
 * Whether the transfer has succeeded, once the end of the pipe was seen (CHECK_DEVICE_STATE; needs
 * DEVICE_STATE).
 *
 * @returns 0: it has; -EIO: it has not; or what request.h says.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_check_device_state(vhushmem_frontend *frontend, GError **errp);

/** The same without waiting. Since: 0.1 */
VHUSHMEM_API int vhushmem_frontend_check_device_state_async(vhushmem_frontend *frontend,
                                                            vhushmem_reply_fn fn, void *user_data,
                                                            GDestroyNotify destroy, GError **errp);

/**
 * Whether the device could be migrated now. Mappings stand in the way: the files that are in them
 * are of this host, and the destination could not make them again. A driver that is asked to let go
 * of them (or a reset) makes it possible.
 *
 * @returns 0: it could; -EBUSY: mappings exist (the message says how many, and in which region);
 *          -EOPNOTSUPP: the back-end does not offer to log what it writes (VHOST_F_LOG_ALL and
 *          LOG_SHMFD), without which guest memory can't be copied while it runs, or has not agreed
 *          to DEVICE_STATE, without which nobody can take its state along (the message says which;
 *          not asked of a device that has none: VHUSHMEM_FRONTEND_STATELESS); -ENOTCONN: the
 *          front-end is not ready; -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_can_migrate(vhushmem_frontend *frontend, GError **errp);

G_END_DECLS

#endif
