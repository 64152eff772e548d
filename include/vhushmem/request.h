/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_REQUEST_H
#define VHUSHMEM_REQUEST_H

/**
 * @file
 * Requests of a ready front-end to its back-end: configuration space, device status, requests in
 * flight, the device's state, and by one generic call everything else in the specification.
 *
 * Each request has two forms. The blocking form dispatches the front-end until the answer has come:
 * the front-end serves maps and reports events meanwhile. The asynchronous form (`_async`) returns
 * at once. Its callback runs from a later dispatch, or from the call itself when there is nothing
 * to wait for. If the back-end does not answer in time (request_timeout_ms), the connection ends,
 * because the next request would take a late answer for its own. Requests go in the order of the
 * calls, one under way at a time.
 *
 * Besides the errors listed for each function, all may return
 *          -ENOTCONN    the front-end is not ready;
 *          -ECONNRESET  the back-end went away before the answer; any other end of the connection
 *                       has its own errno, as in the result of DISCONNECT;
 *          -ECONNABORTED  a callback that ran meanwhile freed the front-end, or it was freed before
 *                         the answer;
 *          -EOPNOTSUPP  the back-end has not agreed to the protocol feature that the request needs
 *                       (the message names it);
 *          -EDEADLK     the call came from region_add or region_del of a MemoryListener, while the
 *                       back-end waits (blocking form only);
 *          -EIO         the back-end refused;
 *          -EPROTO      the answer makes no sense;
 *          -ENOBUFS     1,024 requests wait already (only the `_async` functions);
 *          -ETIMEDOUT   no answer came in time, and the connection is over;
 *          -ETOOMANYREFS  a descriptor could not be sent within request_timeout_ms: processes of
 *                       this user have more descriptors on their way than RLIMIT_NOFILE. The
 *                       request was not sent, and the connection lives: try again later;
 *          -EFAULT      a pointer that must not be NULL is.
 *
 * Thread rule: that of frontend.h, one thread at a time for one front-end.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

/** The outcome of an `_async` call. It is valid only during the callback. */
typedef struct vhushmem_reply {
    int32_t result; /**< 0, or -errno: then, of the other fields, only message is set */
    /**
     * The descriptor that came with the reply; -1: none. The library closes it after the callback
     * (dup it to keep it).
     */
    int32_t fd;
    const char *message; /**< a sentence with the reason of a failure; NULL: there was none */
    uint64_t value;      /**< the number, if the reply is a number */
    const void *payload; /**< the reply's payload; of get_config: only the bytes */
    size_t payload_size; /**< bytes */
} vhushmem_reply;

/**
 * Called once: from a later dispatch, from vhushmem_frontend_free, or from the call itself if the
 * outcome is known at once. If the connection ends in the call itself, DISCONNECT comes from the
 * call too, and the call returns 0. The callback may call any function of the front-end and may
 * free it. After a call that returned 0, the program itself must know whether the callback freed
 * it. The callback never runs inside another callback of the front-end: it waits until that has
 * returned.
 */
typedef void (*vhushmem_reply_fn)(vhushmem_frontend *frontend, const vhushmem_reply *reply,
                                  void *user_data);

/** Flags of the generic request. */
enum {
    /** the request has a reply of its own, not just an acknowledgement */
    VHUSHMEM_REQUEST_HAS_REPLY = 1 << 0,
    VHUSHMEM_REQUEST_REPLY_FD = 1 << 1 /**< a descriptor may come with the reply */
};

/**
 * Send any request that this library has no function for (SEND_RARP, NET_SET_MTU, IOTLB_MSG ...),
 * and wait for its answer. The caller must negotiate any feature that the request needs.
 *
 * @param id            the request's id. -EINVAL for the requests that the library sends itself:
 *                      those of the handshake that set something, those of memory and queues, and
 *                      RESET_DEVICE. A request that is known to have a reply of its own needs
 *                      HAS_REPLY (-EINVAL).
 * @param payload       `size` bytes; may be NULL when size is 0.
 * @param size          bytes, at most 4096.
 * @param fds           `nfds` descriptors to send along; duplicated.
 * @param nfds          at most 8.
 * @param flags         VHUSHMEM_REQUEST_*, or'ed.
 * @param reply         receives the reply's payload; NULL only without VHUSHMEM_REQUEST_HAS_REPLY.
 * @param reply_size    in: how much room there is, of which 4096 bytes are used (a longer reply
 *                      is -EPROTO and ends the connection); out: how much came.
 * @param reply_fd      with VHUSHMEM_REQUEST_REPLY_FD receives a descriptor that the caller must
 *                      close, or -1.
 * @returns 0, or -EINVAL (id, size, nfds, flags), -EBADF, -EMFILE, or what every function of
 *          request.h may return.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_request(vhushmem_frontend *frontend, uint32_t id,
                                           const void *payload, size_t size, const int *fds,
                                           unsigned nfds, unsigned flags, void *reply,
                                           size_t *reply_size, int *reply_fd, GError **errp);

/**
 * The same without waiting; the reply may have up to 4096 bytes.
 *
 * @param fn       called once if the call returned 0.
 * @param destroy  called once with user_data, after fn or at once when the call fails; may be NULL.
 * @returns 0: the callback will tell; or as above.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_request_async(vhushmem_frontend *frontend, uint32_t id,
                                                 const void *payload, size_t size, const int *fds,
                                                 unsigned nfds, unsigned flags,
                                                 vhushmem_reply_fn fn, void *user_data,
                                                 GDestroyNotify destroy, GError **errp);

/**
 * Read the device's configuration space (GET_CONFIG; needs CONFIG).
 *
 * @param offset  first byte.
 * @param buf     receives len bytes.
 * @param len     bytes, not 0; offset + len within max_config_size of the options.
 * @returns 0, or -EINVAL (the range), or what every function of request.h may return.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_get_config(vhushmem_frontend *frontend, uint32_t offset,
                                              void *buf, uint32_t len, GError **errp);

/** The same without waiting: the bytes are the reply's payload. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_get_config_async(vhushmem_frontend *frontend, uint32_t offset,
                                                    uint32_t len, vhushmem_reply_fn fn,
                                                    void *user_data, GDestroyNotify destroy,
                                                    GError **errp);

/** Flags of vhushmem_frontend_set_config. */
enum {
    /** a migration restores the bytes; without it, the driver writes them */
    VHUSHMEM_CONFIG_MIGRATION = 1 << 0
};

/**
 * Write to the device's configuration space (SET_CONFIG; needs CONFIG).
 *
 * @param flags  VHUSHMEM_CONFIG_*, or'ed.
 * @returns 0, or -EINVAL (the range, the flags), or what every function of request.h may return.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_set_config(vhushmem_frontend *frontend, uint32_t offset,
                                              const void *buf, uint32_t len, unsigned flags,
                                              GError **errp);

/** The same without waiting: the reply has only the result. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_set_config_async(vhushmem_frontend *frontend, uint32_t offset,
                                                    const void *buf, uint32_t len, unsigned flags,
                                                    vhushmem_reply_fn fn, void *user_data,
                                                    GDestroyNotify destroy, GError **errp);

/**
 * Get the virtio device status (GET_STATUS; needs STATUS). @returns the status, 0 to 255; or what
 * every function of request.h may return. Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_get_device_status(vhushmem_frontend *frontend, GError **errp);

/** The same without waiting: the reply's value is the status. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_get_device_status_async(vhushmem_frontend *frontend,
                                                           vhushmem_reply_fn fn, void *user_data,
                                                           GDestroyNotify destroy, GError **errp);

/**
 * Set the virtio device status (SET_STATUS; needs STATUS). start_device sets it by itself. A status
 * of 0 is a reset: the device stops, the front-end undoes its mappings, and the event RESET comes
 * when the back-end has answered.
 *
 * @returns 0, or -EALREADY (status is 0, and a reset is under way), or what every function of
 *          request.h may return.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_set_device_status(vhushmem_frontend *frontend, uint8_t status,
                                                     GError **errp);

/** The same without waiting: the reply has only the result. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_set_device_status_async(vhushmem_frontend *frontend,
                                                           uint8_t status, vhushmem_reply_fn fn,
                                                           void *user_data, GDestroyNotify destroy,
                                                           GError **errp);

/**
 * Ask the back-end for a file that it shares under a name (GET_SHARED_OBJECT; needs SHARED_OBJECT).
 *
 * @param uuid  16 bytes.
 * @returns a descriptor, which the caller must close; or -ENOENT (the back-end shares no file with
 *          this name), or what every function of request.h may return.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_get_shared_object(vhushmem_frontend *frontend,
                                                     const uint8_t *uuid,
                                                     GError **errp) VHUSHMEM_CHECK_RESULT;

/** The same without waiting: the reply's fd is the file (dup it to keep it). Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_get_shared_object_async(vhushmem_frontend *frontend,
                                                           const uint8_t *uuid,
                                                           vhushmem_reply_fn fn, void *user_data,
                                                           GDestroyNotify destroy, GError **errp);

/**
 * Give the back-end a log in which it marks the pages of guest memory that it has written
 * (SET_LOG_BASE; needs LOG_SHMFD): a bit for each 4096 bytes. It does so if VHOST_F_LOG_ALL (bit
 * 26) is among the features that the device is started with. The log does not cover writes to used
 * rings: the VMM knows its queues, and can mark those itself.
 *
 * @param fd      the file with the bits; duplicated until it was sent.
 * @param offset  offset of the bits in the file, bytes.
 * @param size    bytes.
 * @returns 0, or -EBADF, -EMFILE, or what every function of request.h may return.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_set_log(vhushmem_frontend *frontend, int fd, uint64_t offset,
                                           uint64_t size, GError **errp);

/** The same without waiting: the reply has only the result. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_set_log_async(vhushmem_frontend *frontend, int fd,
                                                 uint64_t offset, uint64_t size,
                                                 vhushmem_reply_fn fn, void *user_data,
                                                 GDestroyNotify destroy, GError **errp);

/**
 * Set the eventfd that the back-end signals when it has marked pages (SET_LOG_FD). @returns as
 * set_log. Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_set_log_fd(vhushmem_frontend *frontend, int fd, GError **errp);

/** The same without waiting: the reply has only the result. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_set_log_fd_async(vhushmem_frontend *frontend, int fd,
                                                    vhushmem_reply_fn fn, void *user_data,
                                                    GDestroyNotify destroy, GError **errp);

/**
 * Set the byte order of a queue's rings (SET_VRING_ENDIAN; needs CROSS_ENDIAN, which
 * protocol_features of the options must ask for).
 *
 * @returns 0, or -EINVAL (queue), or what every function of request.h may return.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_set_queue_endian(vhushmem_frontend *frontend, unsigned queue,
                                                    bool big_endian, GError **errp);

/** The same without waiting: the reply has only the result. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_set_queue_endian_async(vhushmem_frontend *frontend,
                                                          unsigned queue, bool big_endian,
                                                          vhushmem_reply_fn fn, void *user_data,
                                                          GDestroyNotify destroy, GError **errp);

/**
 * Kick a queue by a message (VRING_KICK; needs INBAND_NOTIFICATIONS, which protocol_features of the
 * options must ask for).
 *
 * @returns 0, or -EINVAL (queue), or what every function of request.h may return.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_kick_queue(vhushmem_frontend *frontend, unsigned queue,
                                              GError **errp);

/** The same without waiting: the reply has only the result. Since: 0.9 */
VHUSHMEM_API int vhushmem_frontend_kick_queue_async(vhushmem_frontend *frontend, unsigned queue,
                                                    vhushmem_reply_fn fn, void *user_data,
                                                    GDestroyNotify destroy, GError **errp);

G_END_DECLS

#endif
