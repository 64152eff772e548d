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
 * vhushmem_backend_map and _unmap work (backend-request.h).
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
 * What a front-end gives to be mapped (guest memory, the area of requests in flight, the log) takes
 * at most 32 TiB of addresses. More is refused with ENOSPC. All front-ends of the process together,
 * with the windows of its regions, take at most 64 TiB. More is refused with ENOMEM.
 *
 * A front-end may tell the same guest memory again. A range with the same guest address and size
 * replaces the older one. QEMU tells it again for each pair of a network device's queues, and when
 * a device is plugged in behind a chardev that had one. Chains that the device holds keep the
 * memory that they were taken with. Every other overlap is refused with EEXIST.
 *
 * A second SET_OWNER on a connection begins a session for another device of the same front-end. The
 * queues stop, the back-end forgets everything but the protocol features and the channel, and RESET
 * is reported. NEGOTIATED comes again.
 *
 * Thread rule of this header: one thread at a time for one back-end.
 */

#include <vhushmem/base.h>
#include <vhushmem/vhost-user.h>

G_BEGIN_DECLS

/**
 * Options of a new back-end. Set struct_size to sizeof(vhushmem_backend_options). A field that is 0
 * means its default.
 */
typedef struct vhushmem_backend_options {
    uint32_t struct_size;
    /** the protocol feature bit that means SHMEM: 22 (0 means 22), 20 or 21 */
    uint32_t shmem_bit;
    /**
     * The answer to GET_QUEUE_NUM, 1 to 256; 0 means 1. A network device sets it to its number of
     * pairs of queues, and num_rings to its number of queues.
     */
    uint32_t num_queues;
    /** how long the front-end may take to answer a map or unmap; 0 means 10,000 */
    uint32_t answer_timeout_ms;
    /**
     * Virtio features to offer besides VIRTIO_F_VERSION_1 and VHOST_USER_F_PROTOCOL_FEATURES: the
     * device's own, and those of the ring: 28 (indirect descriptors) and 29 (event indices).
     */
    uint64_t features;
    /**
     * Protocol features to offer. UINT64_MAX means all that this library supports. A bit that it
     * does not support is EINVAL. CONFIG (9), SHARED_OBJECT (18) and DEVICE_STATE (19) need
     * handlers too.
     *
     * 0 means all that this library supports, except for two. CROSS_ENDIAN is 6; for a device of
     * VIRTIO 1 the back-end accepts no other order than little-endian. INBAND_NOTIFICATIONS is 14:
     * messages kick and call the queues without eventfds; it counts as not chosen if the front-end
     * does not accept BACKEND_REQ and REPLY_ACK with it.
     */
    uint64_t protocol_features;
    /**
     * Bytes of the configuration space, at most 65536; 0: there is none. A front-end that asks for
     * more rejects the answer: QEMU 7.2 asks for its whole structure (60 bytes for a
     * vhost-user-blk), and reports "Received bad msg size" if it gets less.
     */
    uint32_t config_size;
    uint32_t flags; /**< VHUSHMEM_BACKEND_*, or'ed */
    /**
     * Queues that the device has, num_queues to 256; 0 means num_queues. A network device with 2
     * pairs and a control queue has num_queues 2 and num_rings 5, because QEMU compares
     * GET_QUEUE_NUM with pairs. In a front-end of this library, set min_queue_num (frontend.h) if
     * pairs are counted.
     */
    uint32_t num_rings;
    uint32_t reserved; /**< 0 */
} vhushmem_backend_options;

/** Flags of vhushmem_backend_options. */
enum {
    /**
     * The front-end may be QEMU 11.1, which ends by SIGSEGV, with its guest, if a device does
     * certain things (docs/with-qemu.md). The library avoids the known ones:
     *  - it refuses a map or unmap while no queue runs with -EAGAIN, and does not send it;
     *  - it does not offer CONFIGURE_MEM_SLOTS (15): with it, a mapping that is live over a reset
     *    ends QEMU at the next start.
     * It also refuses what QEMU never grants: a map of a file that is open for reading alone
     * (-EACCES).
     */
    VHUSHMEM_BACKEND_FOR_QEMU = 1 << 0,
    /**
     * Send the flags of a SHMEM_MAP as versions 1 to 4 of the series have them: 1 asks for reading,
     * 2 for writing. If shmem_bit is 20, this is the default.
     */
    VHUSHMEM_BACKEND_FIRST_MAP_FLAGS = 1 << 4,
    /**
     * Send the flags as today, also if shmem_bit is 20: 1 asks for writing (versions 5 to 11 of the
     * series). Do not set both flags.
     */
    VHUSHMEM_BACKEND_CURRENT_MAP_FLAGS = 1 << 5
};

/** The type of an event. */
typedef enum vhushmem_backend_event {
    VHUSHMEM_BACKEND_CONNECTED = 1, /**< a front-end has connected; the handshake begins */
    /** the channel is there and SHMEM was negotiated: the device can ask for maps */
    VHUSHMEM_BACKEND_NEGOTIATED = 2,
    /**
     * The front-end reset the device (RESET_DEVICE, SET_STATUS of 0, or a second SET_OWNER), and
     * has its answer. All mappings are gone, and so is the area of requests in flight.
     */
    VHUSHMEM_BACKEND_RESET = 3,
    /** the connection is over; a listening back-end waits for the next front-end */
    VHUSHMEM_BACKEND_DISCONNECT = 4
} vhushmem_backend_event;

/**
 * Called from dispatch, and from calls that wait for the front-end (vhushmem_backend_map), with no
 * lock held. The callback may call any function of the back-end, turn the main loop, and free the
 * back-end.
 *
 * Callbacks of a back-end never nest. While one runs, events wait, in order, and so do STARTED and
 * KICKED of queues. While 1,024 events wait, the back-end reads nothing from the front-end. So a
 * callback must not wait for another event. STOPPED and BROKEN of queues do not wait.
 *
 * @param message  for DISCONNECT: the reason; else NULL. It is valid during the call only.
 */
typedef void (*vhushmem_backend_event_fn)(vhushmem_backend *backend, vhushmem_backend_event event,
                                          const char *message, void *user_data);

/** The type of an event of a virtqueue. */
typedef enum vhushmem_queue_event {
    VHUSHMEM_QUEUE_STARTED = 1, /**< chains can be taken from now on; KICKED follows */
    /** the driver may have put something in: take chains until there are no more */
    VHUSHMEM_QUEUE_KICKED = 2,
    /**
     * No chains can be taken any more. Give the chains that you hold back during this call; later
     * it is too late.
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
 * Functions of the device. Each may be NULL; the library offers the front-end what there are
 * handlers for. It calls them from dispatch, and from calls that wait for the front-end
 * (vhushmem_backend_map), with no lock held. They may call any function of the back-end, and may
 * free it.
 *
 * A handler may wait for an answer of the front-end only if the front-end serves its back-end while
 * it waits itself. This library's front-end does so, QEMU does not. With QEMU, ask from `queue`
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
     * of 0 is a reset of the device, which cannot be refused. The library has stopped the queues
     * before and ignores the result, and RESET follows when the front-end has its answer.
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
 * @param options  NULL for the defaults; read during the call only.
 * @param errp     receives the error.
 * @returns a back-end, owned by the caller (vhushmem_backend_free); or NULL: EINVAL (an option is
 *          wrong; or it asks for a feature or protocol feature that this library does not support,
 *          or that the library offers by itself: 26, logging, which goes with LOG_SHMFD; 33, an
 *          IOMMU; 34, packed virtqueues; 35, use in order; 38, kicks with data; 40, queues that are
 *          reset by themselves).
 * Since: 0.1
 */
VHUSHMEM_API vhushmem_backend *vhushmem_backend_new(const vhushmem_backend_options *options,
                                                    GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Close everything and free the back-end. If a callback calls it, the memory is freed after the
 * callback has returned. Since: 0.1
 */
VHUSHMEM_API void vhushmem_backend_free(vhushmem_backend *backend);

/**
 * Report events to a callback. Parameters, `destroy` and result are as for
 * vhushmem_frontend_set_callback. The next dispatch reports the events that came before the first
 * callback was set: the last 1,024.
 *
 * Since: 0.1
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
 * Since: 0.1
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
 * Since: 0.1
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
 * Since: 0.1
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
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_listen_fd(vhushmem_backend *backend, int fd, GError **errp);

/**
 * Connect to a front-end that listens at a Unix socket path. The next dispatch reports CONNECTED.
 *
 * @param socket_path  as for vhushmem_frontend_new.
 * @returns 0, or -EBUSY, -EINVAL (the path is empty), -ENAMETOOLONG, -ENOENT or -ECONNREFUSED (no
 *          process listens), -EAGAIN (its queue of connections is full).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_connect(vhushmem_backend *backend, const char *socket_path,
                                          GError **errp);

/**
 * Use a connected Unix stream socket. The next dispatch reports CONNECTED.
 *
 * @param fd  consumed on success; on failure it stays the caller's.
 * @returns 0, or -EBUSY, -EINVAL (no Unix stream socket), -ENOTCONN (it is not connected), -EBADF.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_attach(vhushmem_backend *backend, int fd, GError **errp);

/**
 * Return the descriptor to wait on; it is constant for the back-end's life. @returns it, or a
 * negative errno. Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_get_fd(vhushmem_backend *backend);

/**
 * Return the poll(2) events to wait for at the descriptor of get_fd (POLLIN), or -EFAULT. Since:
 * 0.1
 */
VHUSHMEM_API int vhushmem_backend_get_events(vhushmem_backend *backend);

/**
 * Do what can be done now, without waiting.
 *
 * @returns how many messages were taken, or -ENOTCONN (there is neither a connection nor a
 *          listener).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_dispatch(vhushmem_backend *backend);

/**
 * Make a GSource that dispatches the back-end, before or after listen, connect or attach. It stays
 * until the back-end is freed, because a back-end may get another connection.
 *
 * A function set with g_source_set_callback is called after each dispatch, as a GSourceFunc;
 * G_SOURCE_REMOVE removes the source.
 *
 * @returns a source with one reference, owned by the caller; NULL: backend is NULL.
 * Since: 0.1
 */
VHUSHMEM_API GSource *vhushmem_backend_source_new(vhushmem_backend *backend) VHUSHMEM_CHECK_RESULT;

/** Tell whether the device can ask for maps. Since: 0.1 */
VHUSHMEM_API bool vhushmem_backend_is_negotiated(vhushmem_backend *backend);

/** Return the virtio features that the front-end accepted; 0 before it did. Since: 0.1 */
VHUSHMEM_API uint64_t vhushmem_backend_features(vhushmem_backend *backend);

/** Return the protocol features that both sides agreed on; 0 before they did. Since: 0.1 */
VHUSHMEM_API uint64_t vhushmem_backend_protocol_features(vhushmem_backend *backend);

/**
 * Return the virtio device status, 0 to 255, as the driver or the library (DEVICE_NEEDS_RESET) set
 * it; or -EFAULT. Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_device_status(vhushmem_backend *backend);

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
 *          -ETIMEDOUT   no answer came in time: the channel is closed, because the outcome is not
 *                       known;
 *          -EPROTO      a wrong answer: the channel is closed.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_map(vhushmem_backend *backend, uint8_t shmid, int fd,
                                      uint64_t fd_offset, uint64_t shm_offset, uint64_t len,
                                      uint64_t flags, GError **errp);

/**
 * Ask the front-end to undo a mapping, and wait for its answer.
 *
 * @returns as vhushmem_backend_map; the refusals are those of vhushmem_region_unmap.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_unmap(vhushmem_backend *backend, uint8_t shmid,
                                        uint64_t shm_offset, uint64_t len, GError **errp);

/**
 * Receives the outcome of an asynchronous map or unmap. The callback may call any function of the
 * back-end, and may free it.
 *
 * @param result   what vhushmem_backend_map would have returned: 0, the front-end's
 *                 refusal, -ETIMEDOUT or -EPROTO; or -ENOTCONN: the connection ended before the
 *                 answer.
 * @param message  a sentence that says what went wrong, valid during the call only; NULL when
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
 * back-end goes, vhushmem_backend_free reports them. Then it is not known what the front-end did,
 * but a front-end whose back-end is gone undoes its mappings. If REPLY_ACK was not negotiated there
 * are no answers, and 0 means that the request was sent. The descriptor from get_fd and a GSource
 * become ready for outcomes.
 *
 * @param fd       borrowed; duplicated until it was sent.
 * @param fn       called exactly once if the call returned 0, and else never.
 * @param destroy  called once with user_data, after fn, or before this call returns if it fails;
 *                 may be NULL.
 * (the other parameters as for vhushmem_backend_map)
 * @returns 0: fn will report; or -EINVAL (len is 0, flags has an unknown bit, or a range wraps
 *          around), -ENOTCONN (not negotiated), -EAGAIN and -EACCES as for
 *          vhushmem_backend_map, -ENOBUFS (1,024 have no outcome yet), -EBADF, -EMFILE, -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_map_async(vhushmem_backend *backend, uint8_t shmid, int fd,
                                            uint64_t fd_offset, uint64_t shm_offset, uint64_t len,
                                            uint64_t flags, vhushmem_backend_result_fn fn,
                                            void *user_data, GDestroyNotify destroy, GError **errp);

/** The same for vhushmem_backend_unmap. Since: 0.1 */
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
 * Since: 0.1
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
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_unmap_all_async(vhushmem_backend *backend, int shmid,
                                                  vhushmem_backend_result_fn fn, void *user_data,
                                                  GDestroyNotify destroy, GError **errp);

/** One of several maps and unmaps of a vhushmem_backend_perform. */
typedef struct vhushmem_shmem_request {
    uint32_t id;         /**< VHOST_USER_BACKEND_SHMEM_MAP or VHOST_USER_BACKEND_SHMEM_UNMAP */
    int32_t fd;          /**< of a map: the file, borrowed */
    uint64_t fd_offset;  /**< of a map: first byte in the file */
    uint64_t shm_offset; /**< first byte in the region */
    uint64_t len;        /**< bytes */
    uint64_t flags;      /**< of a map: VHOST_USER_FLAG_MAP_RW or 0 */
    uint8_t shmid;       /**< the region */
    uint8_t reserved[3]; /**< 0 */
    int32_t result;      /**< out: 0 or a negative errno, as vhushmem_backend_map returns it */
} vhushmem_shmem_request;

/** Flags of vhushmem_backend_perform. */
enum {
    /**
     * the front-end answers the last request alone: cheapest, but the other outcomes stay unknown
     */
    VHUSHMEM_PERFORM_ONE_ANSWER = 1 << 0
};

/**
 * Ask for several maps and unmaps, in their order, and wait at the end. Up to 32 are under way
 * before the function waits for the first answer, and with ONE_ANSWER all of them. A refusal of one
 * does not stop the next.
 *
 * Each request has its own outcome in `result`, and none depends on another: a refusal, here or
 * there, undoes nothing.
 *
 * With ONE_ANSWER the front-end has dealt with all of them when this function returns, because it
 * works in their order. But `result` tells of the last alone. 0 in the others says that they were
 * sent. Nothing reports a refusal of one of them, not even the answer to the last. The flag suits
 * unmaps, and maps that the front-end is known to grant. If you need each outcome, leave it out,
 * which costs one answer each, or use vhushmem_backend_map_async.
 *
 * @param requests  `count` requests; the function sets `result` in each, also when it fails.
 * @returns how many were refused, 0 if none; or
 *          -EINVAL  an id, the flags of this call or a reserved field is wrong, or with ONE_ANSWER
 *                   the last request makes no sense: nothing was sent;
 *          -EBADF       with ONE_ANSWER, the last request cannot be sent: nothing was sent. So
 *                       also -EAGAIN and -EACCES;
 *          -ENOTCONN    as for vhushmem_backend_map. The requests whose answer did not come have
 *                       the same result. So also -EBUSY, -ECONNRESET, -ETIMEDOUT, -EPROTO
 *                       and -EFAULT.
 * Since: 0.1
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
 * Since: 0.1
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
 *                  negotiated. Else it has one (SHARED_OBJECT_LOOKUP), of 8 bytes, which are stored
 *                  here.
 * @param reply_fd  receives the descriptor that came with the reply, which the caller must close,
 *                  or -1; may be NULL.
 * @returns 0, or -EINVAL (request or size), the front-end's refusal if the answer is an
 *          acknowledgement, or what vhushmem_backend_map returns.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_request(vhushmem_backend *backend, uint32_t request,
                                          const void *payload, size_t size, int fd, uint64_t *reply,
                                          int *reply_fd, GError **errp);

/* g_autoptr(vhushmem_backend) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_backend, vhushmem_backend_free)

G_END_DECLS

#endif
