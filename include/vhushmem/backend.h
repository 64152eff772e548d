/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_BACKEND_H
#define VHUSHMEM_BACKEND_H

/**
 * @file
 * The device side: enough to write a vhost-user back-end that has shared memory regions.
 *
 * Life: new, [set_callback, add_region], then listen (or connect, or attach), and dispatch whenever its descriptor is ready or let
 * a GSource do that. NEGOTIATED says that the front-end serves mappings; from then on vhushmem_backend_map and _unmap work.
 *
 * Thread rule of this header: one thread at a time for one back-end.
 */

#include <vhushmem/base.h>
#include <vhushmem/vhost-user.h>

G_BEGIN_DECLS

/** How a back-end is to be. Set struct_size to sizeof(vhushmem_backend_options); zero means the default everywhere. */
typedef struct vhushmem_backend_options {
    uint32_t struct_size;
    uint32_t shmem_bit;         /**< which protocol feature bit means SHMEM: 22 (0 means 22), 20 or 21 */
    uint32_t num_queues;        /**< what GET_QUEUE_NUM answers; 0 means 1 */
    uint32_t answer_timeout_ms; /**< how long the front-end may take to answer a map or unmap; 0 means 10,000 */
    uint64_t features;          /**< virtio features to offer, beside VIRTIO_F_VERSION_1 and VHOST_USER_F_PROTOCOL_FEATURES */
    uint64_t protocol_features; /**< protocol features to offer; 0 means all that this library knows */
} vhushmem_backend_options;

/** What an event tells. */
typedef enum vhushmem_backend_event {
    VHUSHMEM_BACKEND_CONNECTED = 1,  /**< a front-end is there; the handshake begins */
    VHUSHMEM_BACKEND_NEGOTIATED = 2, /**< the channel is there and SHMEM was negotiated: maps can be asked for */
    VHUSHMEM_BACKEND_RESET = 3,      /**< the front-end reset the device: everything that was mapped is gone */
    VHUSHMEM_BACKEND_DISCONNECT = 4  /**< the front-end is gone; a listening back-end waits for the next */
} vhushmem_backend_event;

/**
 * Called from dispatch, with no lock held. It may call any function of the back-end, and may free it.
 *
 * @param message  for DISCONNECT: why; else NULL. Good during the call only.
 */
typedef void (*vhushmem_backend_event_fn)(vhushmem_backend *backend, vhushmem_backend_event event, const char *message,
                                          void *user_data);

/**
 * Make a back-end that has no region and no connection yet.
 *
 * @param options  NULL for the defaults; read during the call only.
 * @param errp     receives the error.
 * @returns a back-end, owned by the caller (vhushmem_backend_free); or NULL: EINVAL (an option is wrong).
 * Since: 0.1
 */
VHUSHMEM_API vhushmem_backend *vhushmem_backend_new(const vhushmem_backend_options *options, GError **errp);

/** Close everything and give the back-end back. Inside a callback the memory goes after the callback has returned. Since: 0.1 */
VHUSHMEM_API void vhushmem_backend_free(vhushmem_backend *backend);

/**
 * Have events reported. Parameters, `destroy` and result as for vhushmem_frontend_set_callback.
 *
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_set_callback(vhushmem_backend *backend, vhushmem_backend_event_fn fn, void *user_data,
                                               GDestroyNotify destroy);

/**
 * Say that the device has a shared memory region: what GET_SHMEM_CONFIG answers.
 *
 * @param size  bytes; a multiple of the page size, not 0.
 * @returns 0, or -EINVAL, -EEXIST (given twice), -EBUSY (a front-end is connected: the answer is constant for a connection).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_add_region(vhushmem_backend *backend, uint8_t shmid, uint64_t size, GError **errp);

/**
 * Listen at a Unix socket path; one front-end at a time is served. A stale socket at the path, one that nobody listens at, is
 * replaced.
 *
 * @returns 0, or -EBUSY (there is a connection or a listener), -ENAMETOOLONG, -EADDRINUSE (somebody listens there, or the path
 *          is no socket), or what bind and listen answered.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_listen(vhushmem_backend *backend, const char *socket_path, GError **errp);

/**
 * Connect to a front-end that listens at a Unix socket path.
 *
 * @returns 0, or -EBUSY, -ENAMETOOLONG, -ENOENT or -ECONNREFUSED (nobody listens), -EAGAIN (its queue of connections is full).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_connect(vhushmem_backend *backend, const char *socket_path, GError **errp);

/**
 * Use a connected Unix stream socket.
 *
 * @param fd  consumed on success; on failure it stays the caller's.
 * @returns 0, or -EBUSY, -EINVAL (no Unix stream socket), -EBADF.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_attach(vhushmem_backend *backend, int fd, GError **errp);

/** The descriptor to wait on; constant for the back-end's life. @returns it, or a negative errno. Since: 0.1 */
VHUSHMEM_API int vhushmem_backend_get_fd(vhushmem_backend *backend);

/** What to wait for at get_fd's descriptor: poll(2) events (POLLIN), or -EFAULT. Since: 0.1 */
VHUSHMEM_API int vhushmem_backend_get_events(vhushmem_backend *backend);

/**
 * Do what can be done now, without waiting.
 *
 * @returns how many messages were taken, or -ENOTCONN (there is neither a connection nor a listener).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_dispatch(vhushmem_backend *backend);

/**
 * A GSource that dispatches the back-end. It may be made before or after listen, connect or attach, and stays until the back-end is
 * freed: a back-end may be given another connection.
 *
 * @returns a source with one reference, owned by the caller; NULL: backend is NULL.
 * Since: 0.1
 */
VHUSHMEM_API GSource *vhushmem_backend_source_new(vhushmem_backend *backend);

/** True while maps can be asked for. Since: 0.1 */
VHUSHMEM_API bool vhushmem_backend_is_negotiated(vhushmem_backend *backend);

/** The virtio features that the front-end accepted; 0 before it did. Since: 0.1 */
VHUSHMEM_API uint64_t vhushmem_backend_features(vhushmem_backend *backend);

/** The protocol features that both sides agreed on; 0 before they did. Since: 0.1 */
VHUSHMEM_API uint64_t vhushmem_backend_protocol_features(vhushmem_backend *backend);

/**
 * Ask the front-end to map a range of a file into a region, and wait for its answer (where REPLY_ACK was negotiated; else there
 * is none, and 0 means that the request was sent).
 *
 * @param fd  borrowed.
 * (the other parameters as for vhushmem_region_map)
 * @returns 0; the front-end's refusal (this library's: what vhushmem_region_map lists, -ENOENT: it has no such region,
 *          -ECANCELED: it has reset the device; -EIO where its answer was no negative errno); or -ENOTCONN (not negotiated), -EBADF, -ECONNRESET (the front-end is gone), -ETIMEDOUT (no answer in
 *          time: the channel is closed, since what happened is not known), -EPROTO (a wrong answer; the channel is closed).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_map(vhushmem_backend *backend, uint8_t shmid, int fd, uint64_t fd_offset, uint64_t shm_offset,
                                      uint64_t len, uint64_t flags, GError **errp);

/**
 * Ask the front-end to undo a mapping, and wait for its answer.
 *
 * @returns as vhushmem_backend_map; the refusals are those of vhushmem_region_unmap.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_unmap(vhushmem_backend *backend, uint8_t shmid, uint64_t shm_offset, uint64_t len,
                                        GError **errp);

G_END_DECLS

#endif
