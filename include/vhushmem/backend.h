/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_BACKEND_H
#define VHUSHMEM_BACKEND_H

/**
 * @file
 * The device side: a vhost-user back-end that has shared memory regions. Its virtqueues are in
 * virtqueue.h.
 *
 * Life: new, [set_callback, set_handlers, add_region], then listen (or listen_fd, connect, attach),
 * and dispatch whenever its descriptor is ready or let a GSource do that. NEGOTIATED says that the
 * front-end serves mappings; from then on vhushmem_backend_map and _unmap work.
 *
 * When to ask for mappings: from VHUSHMEM_QUEUE_STARTED on. NEGOTIATED comes with the handshake,
 * before a guest's driver is there. This library's front-end grants mappings then; but the
 * specification has a back-end send nothing while all rings are stopped, and QEMU 11.1 ends by
 * SIGSEGV when it is asked for a mapping before its guest's driver is ready. A device that may meet
 * it sets VHUSHMEM_BACKEND_FOR_QEMU, opens its files for reading and writing, and asks from
 * STARTED, from KICKED, or from outside of dispatch after that. docs/with-qemu.md says how such a
 * device finds out that its mappings are gone.
 *
 * Nothing that a front-end sends is believed. A request that can't be granted is answered with its
 * errno where the front-end wants an acknowledgement, and ends the connection where it does not,
 * since silence would be taken for success; so do messages that make no sense. One thing can't be
 * checked: who gives guest memory may truncate the file behind it, and touching it then raises
 * SIGBUS; with the guard (guard.h) that ends the connection, and not the process.
 *
 * What a front-end gives to be mapped (guest memory, the area of requests in flight, the log) takes
 * at most 32 TiB of addresses: more is refused with ENOSPC. All front-ends of the process together,
 * with the windows of its regions, take no more than 64 TiB: ENOMEM.
 *
 * A request that is refused is logged with the reason (domain "vhushmem"): about guest memory as a
 * warning, any other at the level debug. One that can't be answered with a refusal ends the
 * connection, and the message of DISCONNECT has the reason.
 *
 * Guest memory may be told again: a range with the same guest address and size takes the place of
 * the one before. QEMU tells it again for each pair of a network device's queues, and when a device
 * is plugged in behind a chardev that had one. Chains that are held keep the memory that they were
 * taken with. Every other overlap is refused with EEXIST.
 *
 * A second SET_OWNER on a connection begins a session for another device of the same front-end. The
 * queues stop, everything is forgotten but the protocol features and the channel, and RESET is
 * told. NEGOTIATED comes again.
 *
 * Thread rule of this header: one thread at a time for one back-end.
 */

#include <vhushmem/base.h>
#include <vhushmem/vhost-user.h>

G_BEGIN_DECLS

/**
 * How a back-end is to be. Set struct_size to sizeof(vhushmem_backend_options); zero means the
 * default everywhere.
 */
typedef struct vhushmem_backend_options {
    uint32_t struct_size;
    /** which protocol feature bit means SHMEM: 22 (0 means 22), 20 or 21 */
    uint32_t shmem_bit;
    /**
     * what GET_QUEUE_NUM answers, 1 to 256; 0 means 1. A network device says there how many pairs
     * of queues it has, and its queues in num_rings
     */
    uint32_t num_queues;
    /** how long the front-end may take to answer a map or unmap; 0 means 10,000 */
    uint32_t answer_timeout_ms;
    /**
     * virtio features to offer, beside VIRTIO_F_VERSION_1 and VHOST_USER_F_PROTOCOL_FEATURES: the
     * device's own, and of the ring's 28 (indirect descriptors) and 29 (event indices)
     */
    uint64_t features;
    /**
     * protocol features to offer; UINT64_MAX means all that this library serves. A bit that it does
     * not serve is EINVAL. CONFIG (9), SHARED_OBJECT (18) and DEVICE_STATE (19) take handlers too.
     * 0 means all that this library serves, but for CROSS_ENDIAN (6; of a device of VIRTIO 1 no
     * other order than little-endian is taken) and INBAND_NOTIFICATIONS (14; queues without
     * eventfds are kicked and called by messages; it counts as not chosen where the front-end does
     * not accept BACKEND_REQ and REPLY_ACK with it)
     */
    uint64_t protocol_features;
    /**
     * bytes of the configuration space, at most 65536; 0: there is none. A front-end that asks for
     * more gets no answer that it takes: QEMU 7.2 asks for its whole structure (60 bytes of a
     * vhost-user-blk), and says "Received bad msg size" of less
     */
    uint32_t config_size;
    uint32_t flags; /**< VHUSHMEM_BACKEND_*, or'ed */
    /**
     * queues that the device has, num_queues to 256; 0 means num_queues. A network device with 2
     * pairs and a control queue has num_queues 2 and num_rings 5: QEMU compares GET_QUEUE_NUM with
     * pairs. A front-end of this library is told by min_queue_num (frontend.h) that pairs are
     * counted
     */
    uint32_t num_rings;
    uint32_t reserved; /**< 0 */
} vhushmem_backend_options;

/** flags of vhushmem_backend_options. */
enum {
    /**
     * The front-end may be QEMU 11.1, which ends by SIGSEGV, with its guest, when a device does
     * certain things (docs/with-qemu.md). What was seen to end it is not done:
     *  - a map or unmap while no queue runs is refused here with -EAGAIN, and not sent;
     *  - CONFIGURE_MEM_SLOTS (15) is not offered: with it, a mapping that is live over a reset ends
     *    QEMU at the next start.
     * And what it never grants is refused here, with a sentence: a map of a file that is open for
     * reading alone (-EACCES).
     */
    VHUSHMEM_BACKEND_FOR_QEMU = 1 << 0,
    /**
     * Flags of a SHMEM_MAP go out as versions 1 to 4 of the series have them: 1 asks for reading, 2
     * for writing. So they do unasked where shmem_bit is 20.
     */
    VHUSHMEM_BACKEND_FIRST_MAP_FLAGS = 1 << 4,
    /**
     * They go out as today, 1 asks for writing, also where shmem_bit is 20: versions 5 to 11 of the
     * series. Not both of them.
     */
    VHUSHMEM_BACKEND_CURRENT_MAP_FLAGS = 1 << 5
};

/** What an event tells. */
typedef enum vhushmem_backend_event {
    VHUSHMEM_BACKEND_CONNECTED = 1, /**< a front-end is there; the handshake begins */
    /** the channel is there and SHMEM was negotiated: maps can be asked for */
    VHUSHMEM_BACKEND_NEGOTIATED = 2,
    /**
     * the front-end reset the device (RESET_DEVICE, SET_STATUS of 0, or a second SET_OWNER), and
     * has its answer: everything that was mapped is gone, and so is the area of requests in flight
     */
    VHUSHMEM_BACKEND_RESET = 3,
    /** the front-end is gone; a listening back-end waits for the next */
    VHUSHMEM_BACKEND_DISCONNECT = 4
} vhushmem_backend_event;

/**
 * Called from dispatch, and from calls that wait for the front-end (vhushmem_backend_map), with no
 * lock held. It may call any function of the back-end, turn the main loop, and free the back-end.
 *
 * Callbacks of a back-end never nest. While one runs, events wait, in order, and so do STARTED and
 * KICKED of queues; while 1,024 events wait, nothing is read from the front-end. So a callback does
 * not wait for another event. Queues' STOPPED and BROKEN do not wait.
 *
 * @param message  for DISCONNECT: why; else NULL. Good during the call only.
 */
typedef void (*vhushmem_backend_event_fn)(vhushmem_backend *backend, vhushmem_backend_event event,
                                          const char *message, void *user_data);

/** What an event of a virtqueue tells. */
typedef enum vhushmem_queue_event {
    VHUSHMEM_QUEUE_STARTED = 1, /**< chains can be taken from now on; KICKED follows */
    /** the driver may have put something in: take chains until there are no more */
    VHUSHMEM_QUEUE_KICKED = 2,
    /**
     * no chains can be taken any more; those that are held are given back during this call, or
     * never
     */
    VHUSHMEM_QUEUE_STOPPED = 3,
    /**
     * the driver did what can't be, also where it was found while the queue is stopped by
     * SET_VRING_ENABLE: the queue is not touched until it is set up again. STOPPED does not follow;
     * chains that are held can't be given back any more (vhushmem_chain_free)
     */
    VHUSHMEM_QUEUE_BROKEN = 4
} vhushmem_queue_event;

/**
 * What a device does itself. Each may be NULL; which there are decides what is offered to the
 * front-end. They are called from dispatch, and from calls that wait for the front-end
 * (vhushmem_backend_map), with no lock held. They may call any function of the back-end, and may
 * free it; but one that waits for an answer is answered by a front-end that serves its back-end
 * while it waits itself, as this library's does and QEMU's does not: with QEMU ask from `queue`
 * with STARTED or KICKED, from an event, or from outside of dispatch.
 *
 * Those with a result return 0, or a negative errno, which refuses the front-end's request. Any
 * other number refuses it with EIO; for get_shared_object, 0 and above is a descriptor. Set
 * struct_size to sizeof(vhushmem_backend_handlers).
 */
typedef struct vhushmem_backend_handlers {
    uint32_t struct_size;
    uint32_t reserved; /**< 0 */

    /**
     * Something happened to a virtqueue. `message`: for BROKEN, why; else NULL. Good during the
     * call only.
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
     * SET_STATUS: the driver set the device status. A refusal leaves the status as it was. 0 is a
     * reset of the device, which can't be refused: the queues were stopped before, the result does
     * not count, and RESET follows when the front-end has its answer.
     */
    int (*set_status)(vhushmem_backend *backend, uint8_t status, void *user_data);

    /**
     * GET_SHARED_OBJECT: a descriptor of the object with these 16 bytes for its name, which the
     * library closes; negative: none.
     */
    int (*get_shared_object)(vhushmem_backend *backend, const uint8_t *uuid, void *user_data);

    /**
     * SET_DEVICE_STATE_FD: begin to write the device's state to `fd` (direction 0,
     * VHUSHMEM_STATE_SAVE) or to read it from there (1, VHUSHMEM_STATE_LOAD), up to the end of the
     * file. `fd` is the handler's to close in any case. To wait for the other end here would be to
     * wait for somebody who waits for the answer: do the transfer later, or in a thread.
     */
    int (*transfer_state)(vhushmem_backend *backend, int direction, int fd, void *user_data);

    /** CHECK_DEVICE_STATE: whether all of the state has been transferred well. */
    int (*check_state)(vhushmem_backend *backend, void *user_data);
} vhushmem_backend_handlers;

/**
 * Make a back-end that has no region and no connection yet.
 *
 * @param options  NULL for the defaults; read during the call only.
 * @param errp     receives the error.
 * @returns a back-end, owned by the caller (vhushmem_backend_free); or NULL: EINVAL (an option is
 *          wrong; a feature or a protocol feature is asked for that is not served here, or that is
 *          the library's to offer: 26, logging, which goes with LOG_SHMFD; 33, an IOMMU; 34, packed
 *          virtqueues; 35, use in order; 38, kicks with data; 40, queues that are reset by
 *          themselves).
 * Since: 0.1
 */
VHUSHMEM_API vhushmem_backend *vhushmem_backend_new(const vhushmem_backend_options *options,
                                                    GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Close everything and give the back-end back. Inside a callback the memory goes after the callback
 * has returned. Since: 0.1
 */
VHUSHMEM_API void vhushmem_backend_free(vhushmem_backend *backend);

/**
 * Have events reported. Parameters, `destroy` and result as for vhushmem_frontend_set_callback.
 * What came before a callback was first set is told to it by the next dispatch: the last 1,024
 * events.
 *
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_set_callback(vhushmem_backend *backend,
                                               vhushmem_backend_event_fn fn, void *user_data,
                                               GDestroyNotify destroy);

/**
 * Say what the device does itself. CONFIG is offered if there are get_config and config_size,
 * SHARED_OBJECT if there is get_shared_object, DEVICE_STATE if there are transfer_state and
 * check_state.
 *
 * @param handlers  copied; NULL: none.
 * @param destroy   called once with user_data when the handlers are replaced or the back-end goes,
 *                  or before this call returns if it fails; may be NULL.
 * @returns 0, or -EBUSY (a front-end is connected: what is offered is constant for a connection),
 *          -EINVAL (struct_size or a field of a newer library), -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_set_handlers(vhushmem_backend *backend,
                                               const vhushmem_backend_handlers *handlers,
                                               void *user_data, GDestroyNotify destroy,
                                               GError **errp);

/**
 * Say that the device has a shared memory region: what GET_SHMEM_CONFIG answers.
 *
 * @param size  bytes; a multiple of the page size, not 0.
 * @returns 0, or -EINVAL, -EEXIST (given twice), -EBUSY (a front-end is connected: the answer is
 *          constant for a connection).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_add_region(vhushmem_backend *backend, uint8_t shmid,
                                             uint64_t size, GError **errp);

/**
 * Listen at a Unix socket path; one front-end at a time is served. A stale socket at the path, one
 * that nobody listens at, is replaced; of several processes that begin to listen there, one does.
 * That takes a lock of the folder (flock), which is waited for for a tenth of a second.
 *
 * @param socket_path  as for vhushmem_frontend_new: any bytes; an abstract socket's name begins
 *                     with @.
 * @returns 0, or -EBUSY (there is a connection or a listener), -EINVAL (the path is empty),
 *          -ENAMETOOLONG, -EADDRINUSE (somebody listens there or begins to, or the path is no
 *          socket), or what bind and listen answered.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_listen(vhushmem_backend *backend, const char *socket_path,
                                         GError **errp);

/**
 * Take front-ends from a Unix stream socket that listens already: from systemd (sd_listen_fds), or
 * by the `--fd` of a device program. One front-end at a time is served.
 *
 * The socket may be shared with other processes. Its O_NONBLOCK is set, which all of them see, and
 * FD_CLOEXEC of this descriptor. When the back-end goes, the descriptor is closed and nothing else:
 * peers that wait are left to who has the socket too.
 *
 * @param fd  consumed on success; on failure it stays the caller's.
 * @returns 0, or -EBUSY (there is a connection or a listener), -EINVAL (no Unix stream socket, or
 *          it does not listen), -EBADF.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_listen_fd(vhushmem_backend *backend, int fd, GError **errp);

/**
 * Connect to a front-end that listens at a Unix socket path. The next dispatch tells CONNECTED.
 *
 * @param socket_path  as for vhushmem_frontend_new.
 * @returns 0, or -EBUSY, -EINVAL (the path is empty), -ENAMETOOLONG, -ENOENT or -ECONNREFUSED
 *          (nobody listens), -EAGAIN (its queue of connections is full).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_connect(vhushmem_backend *backend, const char *socket_path,
                                          GError **errp);

/**
 * Use a connected Unix stream socket. The next dispatch tells CONNECTED.
 *
 * @param fd  consumed on success; on failure it stays the caller's.
 * @returns 0, or -EBUSY, -EINVAL (no Unix stream socket), -ENOTCONN (it is not connected), -EBADF.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_attach(vhushmem_backend *backend, int fd, GError **errp);

/**
 * The descriptor to wait on; constant for the back-end's life. @returns it, or a negative errno.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_get_fd(vhushmem_backend *backend);

/** What to wait for at get_fd's descriptor: poll(2) events (POLLIN), or -EFAULT. Since: 0.1 */
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
 * A GSource that dispatches the back-end. It may be made before or after listen, connect or attach,
 * and stays until the back-end is freed: a back-end may be given another connection.
 *
 * A function of g_source_set_callback is called after each dispatch, as a GSourceFunc;
 * G_SOURCE_REMOVE removes the source.
 *
 * @returns a source with one reference, owned by the caller; NULL: backend is NULL.
 * Since: 0.1
 */
VHUSHMEM_API GSource *vhushmem_backend_source_new(vhushmem_backend *backend) VHUSHMEM_CHECK_RESULT;

/** True while maps can be asked for. Since: 0.1 */
VHUSHMEM_API bool vhushmem_backend_is_negotiated(vhushmem_backend *backend);

/** The virtio features that the front-end accepted; 0 before it did. Since: 0.1 */
VHUSHMEM_API uint64_t vhushmem_backend_features(vhushmem_backend *backend);

/** The protocol features that both sides agreed on; 0 before they did. Since: 0.1 */
VHUSHMEM_API uint64_t vhushmem_backend_protocol_features(vhushmem_backend *backend);

/**
 * The virtio device status, 0 to 255, as the driver or the library (DEVICE_NEEDS_RESET) set it; or
 * -EFAULT. Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_device_status(vhushmem_backend *backend);

/**
 * Ask the front-end to map a range of a file into a region, and wait for its answer (where
 * REPLY_ACK was negotiated; else there is none, and 0 means that the request was sent). While it
 * waits the front-end is served: callbacks may come.
 *
 * What no front-end can grant is refused here and not sent, since some never answer it: no bytes,
 * flags without a meaning, offsets that wrap around. Where SHMEM is bit 20 (shmem_bit), the flags
 * go out as the first versions of the series have them, unless VHUSHMEM_BACKEND_CURRENT_MAP_FLAGS
 * is set.
 *
 * @param fd     borrowed.
 * @param flags  VHOST_USER_FLAG_MAP_RW, or 0: read-only.
 * (the other parameters as for vhushmem_region_map)
 * @returns 0; the front-end's refusal (this library's: what vhushmem_region_map lists, -ENOENT: it
 *          has no such region, -ECANCELED: it has reset the device; -EIO where its answer was no
 *          negative errno); or -ENOTCONN (not negotiated),
 *          -EINVAL (len is 0, flags has an unknown bit, or a range wraps around: nothing was sent),
 *                  with VHUSHMEM_BACKEND_FOR_QEMU
 *          -EAGAIN (no queue runs) and -EACCES (the file is not open for writing; nothing was sent
 *                  either), -EBADF, -EBUSY (another request of ours is under way: this is one of
 *                  the callbacks that came meanwhile), -ECONNRESET (the front-end is gone),
 *                  -ETIMEDOUT (no answer in time: the channel is closed, since what happened is not
 *                  known), -EPROTO (a wrong answer; the channel is closed).
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
 * What has become of a map or unmap that was not waited for. It may call any function of the
 * back-end, and may free it.
 *
 * @param result   what vhushmem_backend_map would have returned: 0, the front-end's refusal,
 *                 -ETIMEDOUT or -EPROTO; or -ENOTCONN: the connection ended before the answer.
 * @param message  a sentence that says what went wrong, good during the call only; NULL when
 *                 nothing did.
 */
typedef void (*vhushmem_backend_result_fn)(vhushmem_backend *backend, int result,
                                           const char *message, void *user_data);

/**
 * Ask the front-end to map a range of a file into a region, and do not wait: `fn` tells the
 * outcome. Many may be under way, and each has its own outcome. They reach the front-end in the
 * order of the calls, those of vhushmem_backend_map, _unmap and _perform among them: these wait for
 * the answers to what was asked before. At most 32 are sent before the first answer is here; the
 * others wait.
 *
 * Outcomes are told from a later dispatch, in the order of the answers, and never inside the
 * callback of another one. When the connection ends they are told before the event DISCONNECT, and
 * from vhushmem_backend_free when the back-end goes; what happened at the front-end is then not
 * known, but that a front-end whose back-end is gone undoes its mappings. Where REPLY_ACK was not
 * negotiated there are no answers, and 0 means that the request was sent. The descriptor from
 * get_fd and a GSource become ready for outcomes.
 *
 * @param fd       borrowed; duplicated until it was sent.
 * @param fn       called exactly once if the call returned 0, and else never.
 * @param destroy  called once with user_data, after fn, or before this call returns if it fails;
 *                 may be NULL.
 * (the other parameters as for vhushmem_backend_map)
 * @returns 0: fn will tell; or -EINVAL (len is 0, flags has an unknown bit, or a range wraps
 *          around), -ENOTCONN (not negotiated), -EAGAIN and -EACCES as for vhushmem_backend_map,
 *          -ENOBUFS (1,024 have no outcome yet), -EBADF, -EMFILE, -EFAULT.
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

/** In the place of a region's id: all regions of the device. */
#define VHUSHMEM_ALL_REGIONS (-1)

/**
 * Ask the front-end to undo all mappings that this back-end has asked for and that are live, and
 * wait for the answers. A guest that unmounts a file system, or reboots, may leave its mappings
 * behind: Linux's virtiofs client does.
 *
 * Which mappings are live is known by the front-end's answers. A mapping that the front-end does
 * not know any more (-ENOENT; with VHUSHMEM_BACKEND_FOR_QEMU -EIO too) counts as undone. Where maps
 * are not answered, all that were sent count as live. What callbacks ask for while this waits
 * stays.
 *
 * @param shmid  the region, 0 to 255; VHUSHMEM_ALL_REGIONS: all.
 * @returns how many were undone, 0 and more; or -EINVAL (shmid), or what vhushmem_backend_map
 *          returns. After a refusal the others were asked for all the same; the first refusal is
 *          told.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_unmap_all(vhushmem_backend *backend, int shmid, GError **errp);

/**
 * The same without waiting: `fn` tells the outcome once, 0 or the first refusal, when all have an
 * answer. Maps of vhushmem_backend_map_async that have no outcome yet are undone too. At most 32 of
 * the unmaps are under way at a time; what is asked for meanwhile may come between them.
 *
 * @param fn         is called as that of vhushmem_backend_map_async.
 * @param user_data  handed to fn.
 * @param destroy    called once with user_data, after fn, or before this call returns if it fails;
 *                   may be NULL.
 * @returns 0: fn will tell; or -EINVAL (shmid), -ENOTCONN (not negotiated), -ENOBUFS (1,024 have no
 *          outcome yet), -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_unmap_all_async(vhushmem_backend *backend, int shmid,
                                                  vhushmem_backend_result_fn fn, void *user_data,
                                                  GDestroyNotify destroy, GError **errp);

/** One of several maps and unmaps that are asked for at once. */
typedef struct vhushmem_shmem_request {
    uint32_t id;         /**< VHOST_USER_BACKEND_SHMEM_MAP or VHOST_USER_BACKEND_SHMEM_UNMAP */
    int32_t fd;          /**< of a map: the file, borrowed */
    uint64_t fd_offset;  /**< of a map: where to begin in the file, bytes */
    uint64_t shm_offset; /**< where in the region, bytes */
    uint64_t len;        /**< bytes */
    uint64_t flags;      /**< of a map: VHOST_USER_FLAG_MAP_RW or 0 */
    uint8_t shmid;       /**< the region */
    uint8_t reserved[3]; /**< 0 */
    int32_t result;      /**< out: 0 or a negative errno, as vhushmem_backend_map returns it */
} vhushmem_shmem_request;

/** flags of vhushmem_backend_perform. */
enum {
    /** the last request alone is answered: cheapest, and what became of the others is not told */
    VHUSHMEM_PERFORM_ONE_ANSWER = 1 << 0
};

/**
 * Ask for several maps and unmaps, in their order, and wait at the end: up to 32 are under way
 * before the first answer is awaited, and with ONE_ANSWER all of them. A refusal of one does not
 * keep the next from being asked for.
 *
 * Each request has its own outcome in `result`, and none depends on another: one that is refused,
 * here or there, undoes nothing.
 *
 * With ONE_ANSWER the front-end has dealt with all of them when this returns, since it works in
 * their order. But `result` tells of the last alone; 0 in the others says that they were sent, and
 * a refusal of one of them is told nowhere: not here, and not by the answer to the last. It suits
 * unmaps, and maps of which the device knows that they can be granted. Who needs each outcome
 * leaves it out, which costs one answer each, or uses vhushmem_backend_map_async.
 *
 * @param requests  `count` requests; `result` is set in each, also when the call fails.
 * @returns how many were refused, 0 when all is well; or -EINVAL (an id, the flags of this call or
 *          a reserved field, or with ONE_ANSWER the last request makes no sense: nothing was sent),
 *          -EBADF, -EAGAIN, -EACCES (with ONE_ANSWER, the last one can't be sent: nothing was), or
 *          -ENOTCONN, -EBUSY, -ECONNRESET, -ETIMEDOUT, -EPROTO, -EFAULT as for
 *          vhushmem_backend_map: those whose answer did not come have the same result.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_perform(vhushmem_backend *backend,
                                          vhushmem_shmem_request *requests, size_t count,
                                          unsigned flags, GError **errp);

/**
 * Tell the front-end that the device has changed its configuration space (CONFIG_CHANGE_MSG): the
 * driver is interrupted. It waits for the acknowledgement, where there is one.
 *
 * @returns 0, or -ENOTCONN (there is no channel, or CONFIG was not negotiated), or what
 *          vhushmem_backend_map returns.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_config_changed(vhushmem_backend *backend, GError **errp);

/**
 * Ask the front-end for something besides mappings (IOTLB_MSG, VRING_HOST_NOTIFIER, VRING_CALL,
 * VRING_ERR, SHARED_OBJECT_ADD, _REMOVE, _LOOKUP, or what is newer than this library), and wait for
 * its answer as vhushmem_backend_map does.
 *
 * @param request   its id; not that of a map or unmap.
 * @param payload   `size` bytes, at most 4096.
 * @param fd        a descriptor that goes along, borrowed; -1: none.
 * @param reply     NULL: the request has no reply of its own, and is acknowledged where REPLY_ACK
 *                  was negotiated. Else it has one (SHARED_OBJECT_LOOKUP), of 8 bytes, which are
 *                  stored here.
 * @param reply_fd  receives the descriptor that came with the reply, to be closed by the caller, or
 *                  -1; may be NULL.
 * @returns 0, or -EINVAL (request or size), the front-end's refusal where it is an acknowledgement,
 *          or what vhushmem_backend_map returns.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_backend_request(vhushmem_backend *backend, uint32_t request,
                                          const void *payload, size_t size, int fd, uint64_t *reply,
                                          int *reply_fd, GError **errp);

/* g_autoptr(vhushmem_backend) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_backend, vhushmem_backend_free)

G_END_DECLS

#endif
