/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_BACKEND_CALL_H
#define VHUSHMEM_BACKEND_CALL_H

/**
 * @file
 * Requests of a back-end to its front-end: maps and unmaps, waiting or not, one or several at once,
 * and any other request on the back-end channel. backend.h has the back-end itself, and says when
 * to ask for mappings.
 *
 * Thread rule of this header: one thread at a time for one back-end.
 */

#include <vhushmem/base.h>
#include <vhushmem/vhost-user.h>

G_BEGIN_DECLS

/**
 * Ask the front-end to map a range of a file into a region, and wait for its answer. (If REPLY_ACK
 * was not negotiated, there is no answer, and 0 means that the request was sent.) The call serves
 * the front-end while it waits: callbacks may come.
 *
 * The library refuses what no front-end can grant, and does not send it, because some front-ends
 * never answer it: no bytes, flags without a meaning, offsets that wrap around. If SHMEM is bit 20
 * (shmem_bit), the flags go out as the first versions of the series have them, unless
 * VHUSHMEM_BACKEND_CURRENT_MAP_FLAGS is set.
 *
 * @param fd     borrowed.
 * @param flags  VHOST_USER_FLAG_MAP_RW, or 0: read-only.
 * (the other parameters as for vhushmem_region_map)
 * @returns 0; or the front-end's refusal (this library's: what vhushmem_region_map lists, -ENOENT:
 *          it has no such region, -ECANCELED: it has reset the device; -EIO if its answer was no
 *          negative errno); or
 *          -ENOTCONN    not negotiated;
 *          -EINVAL      len is 0, flags has an unknown bit, or a range wraps around: nothing was
 *                       sent;
 *          -EAGAIN      with VHUSHMEM_BACKEND_FOR_QEMU, no queue runs: nothing was sent;
 *          -EACCES      with VHUSHMEM_BACKEND_FOR_QEMU, the file is not open for writing: nothing
 *                       was sent;
 *          -EBADF       fd is not open;
 *          -EBUSY       another request of this back-end is under way, and one of its callbacks
 *                       makes this call;
 *          -ECONNRESET  the front-end is gone;
 *          -ETOOMANYREFS  fd could not be sent within answer_timeout_ms: processes of this user
 *                       have more descriptors on their way than RLIMIT_NOFILE. Nothing was sent,
 *                       and the channel lives;
 *          -ETIMEDOUT   no answer came in time: the channel is closed, because the outcome is not
 *                       known;
 *          -EPROTO      a wrong answer: the channel is closed.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_map(vhushmem_backend *backend, uint8_t shmid, int fd,
                                      uint64_t fd_offset, uint64_t shm_offset, uint64_t len,
                                      uint64_t flags, GError **errp);

/**
 * Ask the front-end to undo a mapping, and wait for its answer.
 *
 * @returns as vhushmem_backend_map; the refusals are those of vhushmem_region_unmap.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_unmap(vhushmem_backend *backend, uint8_t shmid,
                                        uint64_t shm_offset, uint64_t len, GError **errp);

/**
 * Receives the outcome of an asynchronous map or unmap. The callback may call any function of the
 * back-end, and may free it.
 *
 * @param result   what vhushmem_backend_map would have returned: 0, the front-end's
 *                 refusal, -ETOOMANYREFS, -ETIMEDOUT or -EPROTO; or -ENOTCONN: the connection
 *                 ended before the answer.
 * @param message  a sentence that says what went wrong, valid only during the call; NULL when
 *                 nothing did.
 */
typedef void (*vhushmem_backend_result_fn)(vhushmem_backend *backend, int result,
                                           const char *message, void *user_data);

/**
 * Ask the front-end to map a range of a file into a region, and do not wait: `fn` reports the
 * outcome. Many requests may be under way, and each has its own outcome. They reach the front-end
 * in the order of the calls, those of vhushmem_backend_map, _unmap and _perform included: these
 * wait for the answers to all earlier requests. At most 32 are sent before the first answer is
 * here; the others wait.
 *
 * A later dispatch reports the outcomes, in the order of the answers, and never inside the callback
 * of another one. When the connection ends, they are reported before the event DISCONNECT; when the
 * back-end goes, vhushmem_backend_free reports them. In these cases the library does not know what
 * the front-end did, but a front-end whose back-end is gone undoes its mappings. If REPLY_ACK was
 * not negotiated there are no answers, and 0 means that the request was sent. The descriptor from
 * get_fd and a GSource become ready for outcomes.
 *
 * @param fd       borrowed; duplicated until it was sent.
 * @param fn       called exactly once if the call returned 0, otherwise never.
 * @param destroy  called once with user_data, after fn, or before this call returns if it fails;
 *                 may be NULL.
 * (the other parameters as for vhushmem_backend_map)
 * @returns 0: fn will report; or -EINVAL (len is 0, flags has an unknown bit, or a range wraps
 *          around), -ENOTCONN (not negotiated), -EAGAIN and -EACCES as for
 *          vhushmem_backend_map, -ENOBUFS (1,024 have no outcome yet), -EBADF, -EMFILE, -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_map_async(vhushmem_backend *backend, uint8_t shmid, int fd,
                                            uint64_t fd_offset, uint64_t shm_offset, uint64_t len,
                                            uint64_t flags, vhushmem_backend_result_fn fn,
                                            void *user_data, GDestroyNotify destroy, GError **errp);

/** The same for vhushmem_backend_unmap. Since: 0.9 */
VHUSHMEM_API int vhushmem_backend_unmap_async(vhushmem_backend *backend, uint8_t shmid,
                                              uint64_t shm_offset, uint64_t len,
                                              vhushmem_backend_result_fn fn, void *user_data,
                                              GDestroyNotify destroy, GError **errp);

/** As a region's id: all regions of the device. */
#define VHUSHMEM_ALL_REGIONS (-1)

/**
 * Ask the front-end to undo all live mappings that this back-end has asked for, and wait for the
 * answers. A guest that unmounts a file system, or reboots, may leave its mappings behind: Linux's
 * virtiofs client does.
 *
 * The front-end's answers tell which mappings are live. A mapping that the front-end does not know
 * any more (-ENOENT; with VHUSHMEM_BACKEND_FOR_QEMU -EIO too) counts as undone. If the front-end
 * does not answer maps, all maps that were sent count as live. Mappings that callbacks ask for
 * during the call stay.
 *
 * @param shmid  the region, 0 to 255; VHUSHMEM_ALL_REGIONS: all.
 * @returns how many were undone, 0 and more; or -EINVAL (shmid), or what vhushmem_backend_map
 *          returns. After a refusal the call asks for the others all the same, and returns the
 *          first refusal.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_unmap_all(vhushmem_backend *backend, int shmid, GError **errp);

/**
 * The same without waiting: `fn` reports the outcome once, 0 or the first refusal, when all have an
 * answer. It also undoes maps of vhushmem_backend_map_async that have no outcome yet. At most 32 of
 * the unmaps are under way at a time; other requests may come between them.
 *
 * @param fn         called like that of vhushmem_backend_map_async.
 * @param user_data  handed to fn.
 * @param destroy    called once with user_data, after fn, or before this call returns if it fails;
 *                   may be NULL.
 * @returns 0: fn will report; or -EINVAL (shmid), -ENOTCONN (not negotiated), -ENOBUFS (1,024 have
 *          no outcome yet), -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_unmap_all_async(vhushmem_backend *backend, int shmid,
                                                  vhushmem_backend_result_fn fn, void *user_data,
                                                  GDestroyNotify destroy, GError **errp);

/**
 * One of several maps and unmaps of a vhushmem_backend_perform. Set struct_size to
 * sizeof(vhushmem_shmem_request), in each element of an array.
 */
typedef struct vhushmem_shmem_request {
    uint32_t struct_size;
    uint32_t request;    /**< VHOST_USER_BACKEND_SHMEM_MAP or VHOST_USER_BACKEND_SHMEM_UNMAP */
    int32_t fd;          /**< of a map: the file, borrowed */
    int32_t result;      /**< out: 0 or a negative errno, as vhushmem_backend_map returns it */
    uint64_t fd_offset;  /**< of a map: first byte in the file */
    uint64_t shm_offset; /**< first byte in the region */
    uint64_t len;        /**< bytes */
    uint64_t flags;      /**< of a map: VHOST_USER_FLAG_MAP_RW or 0 */
    uint8_t shmid;       /**< the region */
    uint8_t reserved[7]; /**< 0 */
} vhushmem_shmem_request;

/** Flags of vhushmem_backend_perform. */
enum {
    /**
     * The front-end answers only the last request: cheapest, but the other results stay unknown.
     */
    VHUSHMEM_PERFORM_ONE_ANSWER = 1 << 0
};

/**
 * Ask for several maps and unmaps, in their order, and wait at the end. Up to 32 are under way
 * before the function waits for the first answer, and with ONE_ANSWER all of them. A refusal of one
 * does not stop the next.
 *
 * Each request has its own outcome in `result`, and none depends on another: a refusal, by the
 * library or by the front-end, undoes nothing.
 *
 * With ONE_ANSWER the front-end has dealt with all of them when this function returns, because it
 * works in their order. But `result` is only that of the last. 0 in the others says that they were
 * sent. Nothing reports a refusal of one of them, not even the answer to the last. The flag suits
 * unmaps, and maps that the front-end is known to grant. If you need each outcome, leave it out,
 * which costs one answer each, or use vhushmem_backend_map_async.
 *
 * @param requests  `count` requests; the function sets `result` in each, also when it fails, unless
 *                  the struct_size of the first is wrong.
 * @returns how many were refused, 0 if none; or
 *          -EINVAL  struct_size, `request`, the flags of this call or a reserved field is wrong, or
 *                   with ONE_ANSWER the last request makes no sense: nothing was sent;
 *          -EBADF       with ONE_ANSWER, the last request cannot be sent: nothing was sent. So
 *                       also -EAGAIN and -EACCES;
 *          -ENOTCONN    as for vhushmem_backend_map. The requests whose answer did not come have
 *                       the same result. So also -EBUSY, -ECONNRESET, -ETIMEDOUT, -EPROTO
 *                       and -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_perform(vhushmem_backend *backend,
                                          vhushmem_shmem_request *requests, size_t count,
                                          unsigned flags, GError **errp);

/**
 * Tell the front-end that the device has changed its configuration space (CONFIG_CHANGE_MSG). The
 * front-end interrupts the driver. The call waits for the acknowledgement, if there is one.
 *
 * @returns 0, or -ENOTCONN (there is no channel, or CONFIG was not negotiated), or what
 *          vhushmem_backend_map returns.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_config_changed(vhushmem_backend *backend, GError **errp);

/**
 * Send any other request to the front-end (IOTLB_MSG, VRING_HOST_NOTIFIER, VRING_CALL, VRING_ERR,
 * SHARED_OBJECT_ADD, _REMOVE, _LOOKUP, or what is newer than this library), and wait for its answer
 * as vhushmem_backend_map does.
 *
 * @param request   its id; not that of a map or unmap.
 * @param payload   `size` bytes, at most 4096.
 * @param fd        a descriptor that goes along, borrowed; -1: none.
 * @param reply     NULL: the request has no reply of its own, and is acknowledged if REPLY_ACK was
 *                  negotiated. Otherwise the request has a reply (SHARED_OBJECT_LOOKUP) of 8 bytes,
 *                  which the function stores here.
 * @param reply_fd  receives the descriptor that came with the reply, which the caller must close,
 *                  or -1; may be NULL.
 * @returns 0, or -EINVAL (request or size), the front-end's refusal if the answer is an
 *          acknowledgement, or what vhushmem_backend_map returns.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_request(vhushmem_backend *backend, uint32_t request,
                                          const void *payload, size_t size, int fd, uint64_t *reply,
                                          int *reply_fd, GError **errp);

G_END_DECLS

#endif
