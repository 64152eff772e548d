/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_BACKEND_H
#define VHUSHMEM_BACKEND_H

/**
 * @file
 * The device's side: a vhost-user back-end that has shared memory regions. virtqueue.h has its
 * virtqueues.
 *
 * Call new, then set_callback, set_handlers and add_region if you need them, then listen (or
 * listen_fd, connect, attach). Dispatch the back-end whenever its descriptor is ready, or let a
 * GSource do that. The event NEGOTIATED says that the front-end serves mappings. From then on
 * vhushmem_backend_map and _unmap work (backend-call.h).
 *
 * Ask for mappings from VHUSHMEM_QUEUE_STARTED on. NEGOTIATED comes with the handshake, before a
 * guest's driver is there. This library's front-end grants mappings then. But the specification
 * says that a back-end sends nothing while all rings are stopped. QEMU 11.1 ends by SIGSEGV if a
 * back-end asks for a mapping before the guest's driver is ready. A device that may meet QEMU sets
 * VHUSHMEM_BACKEND_FOR_QEMU, opens its files for reading and writing, and asks from STARTED, from
 * KICKED, or later from outside of dispatch. docs/with-qemu.md says how such a device finds out
 * that its mappings are gone.
 *
 * Nothing a front-end sends is trusted. A request that cannot be granted is answered with its errno
 * if the front-end wants an acknowledgement. If it does not, the connection ends, because the
 * front-end would take silence for success. Messages that make no sense end the connection too. One
 * thing cannot be checked: a front-end may truncate the file behind guest memory, and a touch of it
 * then raises SIGBUS. With the guard (guard.h) that ends the connection, and not the process.
 *
 * The library logs each refused request with the reason (domain "vhushmem"): about guest memory as
 * a warning, any other at the level debug. A request that cannot be answered with a refusal ends
 * the connection, and the message of DISCONNECT has the reason.
 *
 * All that one front-end gives to be mapped (guest memory, the area for requests in flight, the
 * log) takes at most 32 TiB of addresses. More is refused with ENOSPC. All front-ends of the
 * process together, with the windows of its regions, take at most 64 TiB. More is refused with
 * ENOMEM.
 *
 * A front-end may announce the same guest memory again. A range with the same guest address and
 * size replaces the older one. QEMU does that for each pair of a network device's queues, and when
 * a chardev gets another device. Chains that the device holds keep the memory that they were taken
 * with. Every other overlap is refused with EEXIST.
 *
 * A second SET_OWNER on a connection begins a session for another device of the same front-end. The
 * queues stop, the back-end forgets everything but the protocol features and the channel, and RESET
 * is reported. NEGOTIATED comes again.
 *
 * Thread rule of this header: one thread at a time for one back-end.
 */

#include <vhushmem/backend-call.h>
#include <vhushmem/backend-options.h>
#include <vhushmem/base.h>
#include <vhushmem/vhost-user.h>

G_BEGIN_DECLS

/** The type of an event. */
typedef enum vhushmem_backend_event_type {
    VHUSHMEM_BACKEND_CONNECTED = 1, /**< a front-end has connected; the handshake begins */
    /** the channel is there and SHMEM was negotiated: the device can ask for maps */
    VHUSHMEM_BACKEND_NEGOTIATED = 2,
    /**
     * The front-end reset the device (RESET_DEVICE, SET_STATUS of 0, or a second SET_OWNER), and
     * has its answer. All mappings are gone, and so is the area for requests in flight.
     */
    VHUSHMEM_BACKEND_RESET = 3,
    /** the connection is over; a listening back-end waits for the next front-end */
    VHUSHMEM_BACKEND_DISCONNECT = 4
} vhushmem_backend_event_type;

/** An event. It is valid only during the callback. */
typedef struct vhushmem_backend_event {
    uint32_t type; /**< vhushmem_backend_event_type */
    /**
     * For DISCONNECT the negative errno of the reason: -ECONNRESET (the front-end closed the
     * connection), -EPROTO (it broke the protocol), or another one, which the message explains.
     * For other events 0.
     */
    int32_t result;
    const char *message; /**< for DISCONNECT: a sentence with the reason; else NULL */
} vhushmem_backend_event;

/**
 * Called from dispatch, and from calls that wait for the front-end (vhushmem_backend_map), with no
 * lock held. The callback may call any function of the back-end, run the main loop, and free the
 * back-end.
 *
 * Callbacks of a back-end never nest. While one runs, events wait, in order, and so do STARTED and
 * KICKED of queues. While 1,024 events wait, the back-end reads nothing from the front-end. So a
 * callback must not wait for another event. STOPPED and BROKEN of queues do not wait.
 *
 * @param event  valid only during the call, and so is the message.
 */
typedef void (*vhushmem_backend_event_fn)(vhushmem_backend *backend,
                                          const vhushmem_backend_event *event, void *user_data);

/** The type of an event of a virtqueue. */
typedef enum vhushmem_queue_event {
    VHUSHMEM_QUEUE_STARTED = 1, /**< chains can be taken from now on; KICKED follows */
    /** the driver may have put something in: take chains until there are no more */
    VHUSHMEM_QUEUE_KICKED = 2,
    /**
     * No chains can be taken any more. Give back the chains that you hold during this call: later
     * calls are refused.
     */
    VHUSHMEM_QUEUE_STOPPED = 3,
    /**
     * The driver wrote an impossible value. (The library may find it while SET_VRING_ENABLE has
     * stopped the queue.) The library ignores the queue until the front-end sets it up again.
     * STOPPED does not follow. Chains that are held cannot be given back any more
     * (vhushmem_chain_free).
     */
    VHUSHMEM_QUEUE_BROKEN = 4
} vhushmem_queue_event;

/**
 * Functions of the device. Each may be NULL. The library offers the front-end only features that
 * have a handler. It calls the handlers from dispatch, and from calls that wait for the front-end
 * (vhushmem_backend_map), with no lock held. They may call any function of the back-end, and may
 * free it.
 *
 * A handler may wait for an answer of the front-end only if the front-end also serves its back-end
 * while it waits. This library's front-end does that, QEMU does not. With QEMU, ask from `queue`
 * with STARTED or KICKED, from an event, or from outside of dispatch.
 *
 * A handler with a result returns 0, or a negative errno, which refuses the front-end's request.
 * Any other number refuses it with EIO. For get_shared_object, 0 and above is a descriptor. Set
 * struct_size to sizeof(vhushmem_backend_handlers).
 */
typedef struct vhushmem_backend_handlers {
    uint32_t struct_size;
    uint32_t reserved; /**< 0 */

    /**
     * Receives the events of virtqueues. `message`: for BROKEN, the reason; else NULL. It is valid
     * during the call only.
     */
    void (*queue)(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event,
                  const char *message, void *user_data);

    /**
     * GET_CONFIG: fill in `len` bytes of the configuration space, from `offset` on; both lie inside
     * config_size.
     */
    int (*get_config)(vhushmem_backend *backend, uint32_t offset, void *buf, uint32_t len,
                      void *user_data);

    /** SET_CONFIG: the driver wrote these bytes; or (flags: 1) a migration restores them. */
    int (*set_config)(vhushmem_backend *backend, uint32_t offset, const void *buf, uint32_t len,
                      unsigned flags, void *user_data);

    /**
     * SET_STATUS: the driver set the device status. A refusal leaves the status as it was. A status
     * of 0 is a reset of the device, which cannot be refused. The library has already stopped the
     * queues, and ignores the result. RESET follows when the front-end has its answer.
     */
    int (*set_status)(vhushmem_backend *backend, uint8_t status, void *user_data);

    /**
     * GET_SHARED_OBJECT: return a descriptor of the object with this name of 16 bytes. The library
     * closes it. Negative: there is none.
     */
    int (*get_shared_object)(vhushmem_backend *backend, const uint8_t *uuid, void *user_data);

    /**
     * SET_DEVICE_STATE_FD: begin to write the device's state to `fd` (direction 0,
     * VHUSHMEM_STATE_SAVE), or to read it from there up to the end of the file (1,
     * VHUSHMEM_STATE_LOAD). The handler must close `fd` in any case. Do the transfer later, or in a
     * thread: the other end waits for the answer to this request, so it would be a deadlock to wait
     * here for the other end.
     */
    int (*transfer_state)(vhushmem_backend *backend, int direction, int fd, void *user_data);

    /** CHECK_DEVICE_STATE: tell whether all of the state has been transferred well. */
    int (*check_state)(vhushmem_backend *backend, void *user_data);
} vhushmem_backend_handlers;

/**
 * Make a back-end without regions and without a connection.
 *
 * @param options  NULL for the defaults; read only during the call.
 * @param errp     receives the error.
 * @returns a back-end, owned by the caller (vhushmem_backend_free); or NULL: EINVAL (an option is
 *          wrong; or it asks for a feature or protocol feature that this library does not support,
 *          or that the library offers by itself: 26, logging, which goes with LOG_SHMFD; 33, an
 *          IOMMU; 34, packed virtqueues; 35, use in order; 38, kicks with data; 40, queues that are
 *          reset by themselves).
 * Since: 0.9
 */
VHUSHMEM_API vhushmem_backend *vhushmem_backend_new(const vhushmem_backend_options *options,
                                                    GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Close everything and free the back-end. If a callback calls it, the memory is freed after the
 * callback has returned. Since: 0.9
 */
VHUSHMEM_API void vhushmem_backend_free(vhushmem_backend *backend);

/**
 * Report events to a callback. Parameters, `destroy` and result are as for
 * vhushmem_frontend_set_callback. The next dispatch reports the events that came before the first
 * callback was set: the last 1,024.
 *
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_set_callback(vhushmem_backend *backend,
                                               vhushmem_backend_event_fn fn, void *user_data,
                                               GDestroyNotify destroy);

/**
 * Set the functions of the device. The library offers CONFIG if there are get_config and
 * config_size, SHARED_OBJECT if there is get_shared_object, and DEVICE_STATE if there are
 * transfer_state and check_state.
 *
 * @param handlers  copied; NULL: none.
 * @param destroy   called once with user_data when other handlers replace these or the back-end
 *                  goes, or before this call returns if it fails; may be NULL.
 * @returns 0, or -EBUSY (a front-end is connected: the offer is constant for a connection), -EINVAL
 *          (struct_size or a field of a newer library), -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_set_handlers(vhushmem_backend *backend,
                                               const vhushmem_backend_handlers *handlers,
                                               void *user_data, GDestroyNotify destroy,
                                               GError **errp);

/**
 * Give the device a shared memory region, which GET_SHMEM_CONFIG reports.
 *
 * @param size  bytes; a multiple of the page size, not 0.
 * @returns 0, or -EINVAL, -EEXIST (given twice), -EBUSY (a front-end is connected: the answer is
 *          constant for a connection).
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_add_region(vhushmem_backend *backend, uint8_t shmid,
                                             uint64_t size, GError **errp);

/**
 * Listen at a Unix socket path, and serve one front-end at a time. The function replaces a stale
 * socket at the path, at which no process listens. If several processes begin to listen there, one
 * succeeds. To this end the function takes a lock of the folder (flock); it waits a tenth of a
 * second for it.
 *
 * @param socket_path  as for vhushmem_frontend_new: any bytes; an abstract socket's name begins
 *                     with @.
 * @returns 0, or -EBUSY (there is a connection or a listener), -EINVAL (the path is
 *          empty), -ENAMETOOLONG, -EADDRINUSE (another process listens there or begins to, or the
 *          path is no socket), or the errno of bind or listen.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_listen(vhushmem_backend *backend, const char *socket_path,
                                         GError **errp);

/**
 * Take front-ends from a Unix stream socket that listens already: from systemd (sd_listen_fds), or
 * from the `--fd` of a device program. The back-end serves one front-end at a time.
 *
 * Other processes may share the socket. The function sets O_NONBLOCK, which all of them see, and
 * FD_CLOEXEC of this descriptor. When the back-end goes, it only closes the descriptor: another
 * process that has the socket gets the peers that wait.
 *
 * @param fd  consumed on success; on failure it stays the caller's.
 * @returns 0, or -EBUSY (there is a connection or a listener), -EINVAL (no Unix stream socket, or
 *          it does not listen), -EBADF.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_listen_fd(vhushmem_backend *backend, int fd, GError **errp);

/**
 * Connect to a front-end that listens at a Unix socket path. The next dispatch reports CONNECTED.
 *
 * @param socket_path  as for vhushmem_frontend_new.
 * @returns 0, or -EBUSY, -EINVAL (the path is empty), -ENAMETOOLONG, -ENOENT or -ECONNREFUSED (no
 *          process listens), -EAGAIN (its queue of connections is full).
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_connect(vhushmem_backend *backend, const char *socket_path,
                                          GError **errp);

/**
 * Use a connected Unix stream socket. The next dispatch reports CONNECTED.
 *
 * @param fd  consumed on success; on failure it stays the caller's.
 * @returns 0, or -EBUSY, -EINVAL (no Unix stream socket), -ENOTCONN (it is not connected), -EBADF.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_attach(vhushmem_backend *backend, int fd, GError **errp);

/**
 * Return the descriptor to wait on; it is constant for the back-end's life. @returns it, or a
 * negative errno. Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_get_fd(vhushmem_backend *backend);

/**
 * Return the poll(2) events to wait for at the descriptor of get_fd (POLLIN), or -EFAULT. Since:
 * 0.9
 */
VHUSHMEM_API int vhushmem_backend_get_events(vhushmem_backend *backend);

/**
 * Read, serve and answer all that is possible without waiting.
 *
 * @returns how many messages were taken, or -ENOTCONN (there is neither a connection nor a
 *          listener).
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_dispatch(vhushmem_backend *backend);

/**
 * Wait until there is something to dispatch, and dispatch it. This is for a device that has no
 * other loop. It is also the fastest way: one call of the kernel waits and finds what is ready.
 *
 * @param timeout_ms  the longest time to wait; 0: do not wait; negative: no limit.
 * @returns what dispatch returns; 0 also if the time is up or a signal came; -ENOMEM, -EMFILE,
 *          -ENFILE (there is no descriptor to wait on, see get_fd).
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_poll(vhushmem_backend *backend, int timeout_ms);

/**
 * Make a GSource that dispatches the back-end, before or after listen, connect or attach. It stays
 * until the back-end is freed, because a back-end may get another connection.
 *
 * A function set with g_source_set_callback is called after each dispatch, as a GSourceFunc;
 * G_SOURCE_REMOVE removes the source.
 *
 * @returns a source with one reference, owned by the caller; NULL: backend is NULL.
 * Since: 0.9
 */
VHUSHMEM_API GSource *vhushmem_backend_source_new(vhushmem_backend *backend) VHUSHMEM_CHECK_RESULT;

/** Tell whether the device can ask for maps. Since: 0.9 */
VHUSHMEM_API bool vhushmem_backend_is_negotiated(vhushmem_backend *backend);

/** Return the virtio features that the front-end accepted; 0 before it did. Since: 0.9 */
VHUSHMEM_API uint64_t vhushmem_backend_features(vhushmem_backend *backend);

/** Return the protocol features that both sides agreed on; 0 before they did. Since: 0.9 */
VHUSHMEM_API uint64_t vhushmem_backend_protocol_features(vhushmem_backend *backend);

/**
 * Return the virtio device status, 0 to 255, as the driver or the library (DEVICE_NEEDS_RESET) set
 * it; or -EFAULT. Since: 0.9
 */
VHUSHMEM_API int vhushmem_backend_device_status(vhushmem_backend *backend);

/* g_autoptr(vhushmem_backend) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_backend, vhushmem_backend_free)

G_END_DECLS

#endif
