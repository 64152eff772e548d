/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_FRONTEND_H
#define VHUSHMEM_FRONTEND_H

/**
 * @file
 * The whole front-end: give it a socket, run it in your loop, place its regions.
 *
 * Life: new, [set_callback, add_region], then start (or the blocking connect), and dispatch
 * whenever its descriptor is ready or let a GSource do that. READY says that the device's regions
 * are there; from then on the back-end's SHMEM_MAP and SHMEM_UNMAP are served while the loop runs.
 *
 * With reconnect_ms a front-end that was ready once looks for its back-end again when it is lost:
 * it connects again, or (SERVER) listens again at its path. DISCONNECT tells of the loss, and the
 * mappings are dropped (or kept: KEEP_MAPPINGS); the regions stay where they are. Whoever comes
 * must have the same regions, else DISCONNECT tells how they differ, and the front-end looks on. A
 * device that ran is started again with the features, memory, requests in flight and queues that it
 * had, each queue going on from the index of its used ring (where that can't be read, and no area
 * of requests in flight is there to tell more, DISCONNECT says so: nothing is done twice); each
 * kick eventfd is signalled once. READY then tells that all is as before. While the back-end is
 * away, what is asked of it ends with -ENOTCONN; memory may be changed; stop_device and reset have
 * it come back to a device that does not run.
 *
 * Thread rule of this header, unless a function says otherwise: one thread at a time for one
 * front-end, as a rule the one that runs the loop. While a GSource of it is attached, that is the
 * thread that runs the source's context: from another one, use g_main_context_invoke (a call made
 * there would race with the loop, which is not woken by it). Its device, its regions and their
 * mappings may be used from any thread.
 */

#include <vhushmem/base.h>
#include <vhushmem/device.h>
#include <vhushmem/region.h>

G_BEGIN_DECLS

/** flags of a front-end. */
enum {
    /** listen at the path and take the first back-end that connects */
    VHUSHMEM_FRONTEND_SERVER = 1 << 0,
    /** leave the mappings when the back-end goes away; default: drop them */
    VHUSHMEM_FRONTEND_KEEP_MAPPINGS = 1 << 1,
    /** the device has no state but its queues': it can be migrated without DEVICE_STATE */
    VHUSHMEM_FRONTEND_STATELESS = 1 << 2,
    /**
     * flags of a SHMEM_MAP mean what they do in versions 1 to 4 of the series: 1 asks for reading,
     * 2 for writing. So they do unasked where shmem_bit is 20
     */
    VHUSHMEM_FRONTEND_FIRST_MAP_FLAGS = 1 << 3,
    /**
     * they mean what they do today, 1 asks for writing, also where shmem_bit is 20: versions 5 to
     * 11 of the series. Not both of them
     */
    VHUSHMEM_FRONTEND_CURRENT_MAP_FLAGS = 1 << 4
};

/**
 * How a front-end is to be. Set struct_size to sizeof(vhushmem_frontend_options); zero means the
 * default everywhere.
 */
typedef struct vhushmem_frontend_options {
    uint32_t struct_size;
    uint32_t flags; /**< VHUSHMEM_FRONTEND_*, or'ed */
    /** which protocol feature bit means SHMEM: 22 (0 means 22), or 20 or 21 for old back-ends */
    uint32_t shmem_bit;
    /** virtqueues that the VMM will use, 1 to 256: each gets its call and err eventfd; 0 means 1 */
    uint32_t num_queues;
    /** how long the back-end may take to answer a request; 0 means 10,000 */
    uint32_t request_timeout_ms;
    /** how long a message that has begun may take to arrive whole; 0 means 5,000 */
    uint32_t message_timeout_ms;
    /** protocol features to accept if offered; 0 means all that this library knows */
    uint64_t protocol_features;
    const vhushmem_device_options *device; /**< quotas of the device; NULL means the defaults */
    /** of each region that is made; NULL means the defaults */
    const vhushmem_region_options *region;
    /** what its back-end shares with others; referenced; NULL: nothing */
    vhushmem_shared_objects *shared_objects;
    /** bytes of configuration space that may be asked for, at most 65536; 0 means 256 */
    uint32_t max_config_size;
    /** how long after its loss, and between attempts, a back-end is looked for again; 0: never */
    uint32_t reconnect_ms;
    /**
     * how long a blocking call may take as a whole, be it many requests; what has not ended by then
     * ends the connection with -ETIMEDOUT; 0: as long as its requests may
     */
    uint32_t call_timeout_ms;
    /**
     * what the back-end must answer to GET_QUEUE_NUM at the least, or the handshake ends with
     * EPROTO; 0 means num_queues. Back-ends of network devices may count pairs of queues there:
     * with 2 pairs and a control queue, num_queues is 5 and min_queue_num 2
     */
    uint32_t min_queue_num;
} vhushmem_frontend_options;

/** What an event tells. */
typedef enum vhushmem_event_type {
    /** the handshake is done; the regions are there; again after a reconnection */
    VHUSHMEM_EVENT_READY = 1,
    /** a SHMEM_MAP was served or refused; the answer, if one was owed, has been sent */
    VHUSHMEM_EVENT_MAP = 2,
    /**
     * a SHMEM_UNMAP was served or refused; likewise. len is that of the mapping which was undone
     */
    VHUSHMEM_EVENT_UNMAP = 3,
    /** the back-end sent another request, which was carried out or refused */
    VHUSHMEM_EVENT_OTHER_REQUEST = 4,
    /** a reset is complete: nothing is mapped and no older request will be served */
    VHUSHMEM_EVENT_RESET = 5,
    /** the back-end channel is closed; nothing can be mapped or unmapped any more */
    VHUSHMEM_EVENT_CHANNEL_LOST = 6,
    /** the connection is over (or never came to be); the last event without reconnect_ms */
    VHUSHMEM_EVENT_DISCONNECT = 7,
    /** the device's configuration space has changed: read it anew */
    VHUSHMEM_EVENT_CONFIG_CHANGE = 8,
    /**
     * the file of a mapping has lost pages that a guest (vhushmem_resolve_guest_fault) or a thread
     * (guard.h) touched, and they show zeros; or a page takes no writes, and they stay in this
     * process. result is -EIO. Once, until the mapping is HEALED
     */
    VHUSHMEM_EVENT_BROKEN = 9,
    /** the file of a mapping that was BROKEN has its pages again, and the mapping shows them */
    VHUSHMEM_EVENT_HEALED = 10
} vhushmem_event_type;

/** An event. Good during the callback only. */
typedef struct vhushmem_event {
    uint32_t type; /**< vhushmem_event_type */
    /**
     * 0, or the -errno: what a request was answered with; why the channel or the connection ended
     */
    int32_t result;
    uint32_t request;    /**< the request's id, for MAP, UNMAP and OTHER_REQUEST */
    uint8_t shmid;       /**< of a MAP, UNMAP, BROKEN or HEALED, as are those below */
    uint8_t reserved[3]; /**< 0 */
    uint64_t shm_offset;
    uint64_t len;
    uint64_t fd_offset;
    uint64_t flags;
    const char *message; /**< a sentence that says what went wrong; NULL when nothing did */
} vhushmem_event;

/**
 * Called from dispatch, and from any call that finds out about an event, with no lock held. It may
 * call any function of the front-end, turn the main loop, and free the front-end; a blocking call
 * under which it was freed returns -ECONNABORTED. The pointer `event` and what it points to are
 * good during the call only.
 *
 * Callbacks of a front-end never nest. What comes while one of them runs (this one, or that of a
 * request) waits until it has returned, in order; while 1,024 events wait, no more is taken from
 * the back-end. So a callback does not wait for another event. It may wait for what a function
 * tells: vhushmem_frontend_is_ready, the number of mappings.
 */
typedef void (*vhushmem_event_fn)(vhushmem_frontend *frontend, const vhushmem_event *event,
                                  void *user_data);

/**
 * Make a front-end for a back-end behind a Unix socket path.
 *
 * @param socket_path  where the back-end listens, or (VHUSHMEM_FRONTEND_SERVER) where to listen;
 *                     copied. Nothing is opened yet. Any bytes: it need be no UTF-8. One that
 *                     begins with @ is the name of an abstract socket, as in QEMU, without its
 *                     first byte; a file of such a name is ./@name. A stale socket at the path of a
 *                     server, one that nobody listens at, is replaced; of several processes that
 *                     begin to listen there, one does.
 * @param options      NULL for the defaults; read during the call only.
 * @param errp         receives the error.
 * @returns a front-end, owned by the caller (vhushmem_frontend_free); or NULL: EINVAL (an option is
 *          wrong, or the path is empty), ENAMETOOLONG (the path doesn't fit into a socket address),
 *          EFAULT.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API vhushmem_frontend *vhushmem_frontend_new(const char *socket_path,
                                                      const vhushmem_frontend_options *options,
                                                      GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Make a front-end on a connected Unix stream socket.
 *
 * @param fd  consumed on success: closed with the front-end. On failure it stays the caller's.
 * @returns a front-end, owned by the caller; or NULL: EINVAL (an option is wrong;
 *          VHUSHMEM_FRONTEND_SERVER or reconnect_ms, which take a path; the fd is no Unix stream
 *          socket), ENOTCONN (it is not connected), EBADF.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API vhushmem_frontend *vhushmem_frontend_new_fd(int fd,
                                                         const vhushmem_frontend_options *options,
                                                         GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * End the connection, if there is one, and give the front-end back. The device goes with it, unless
 * somebody else references it; its mappings are dropped unless VHUSHMEM_FRONTEND_KEEP_MAPPINGS was
 * set. No event is sent; the requests that wait end with -ECONNABORTED, and their callbacks are
 * called before this returns (inside a callback: after that has returned, as the memory goes then).
 * A GSource of the front-end is destroyed.
 *
 * Since: 0.1
 */
VHUSHMEM_API void vhushmem_frontend_free(vhushmem_frontend *frontend);

/**
 * Have events reported. Events that came before the first callback was set are told to it; of more
 * than 1,024 the oldest are dropped, and vhushmem_region_next_mapping lists what is mapped.
 *
 * @param fn         NULL: no more.
 * @param user_data  handed to fn.
 * @param destroy    called once with user_data: when the callback is replaced or the front-end
 *                   goes, or at once if fn is NULL or the call fails; may be NULL.
 * @returns 0, or -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_set_callback(vhushmem_frontend *frontend, vhushmem_event_fn fn,
                                                void *user_data, GDestroyNotify destroy);

/** A request of the back-end that is not about mappings. Good during the callback only. */
typedef struct vhushmem_other_request {
    uint32_t request;    /**< its id */
    uint32_t flags;      /**< of its header: 8 asks for an answer */
    const void *payload; /**< whatever the back-end sent: check it like anything from outside */
    size_t size;         /**< bytes of payload */
    const int *fds;      /**< closed after the callback: dup what is to be kept */
    unsigned nfds;       /**< 0 to 8 */
    /**
     * holds -1; put a descriptor there that is to go with the answer (SHARED_OBJECT_LOOKUP): taken
     * over
     */
    int *reply_fd;
} vhushmem_other_request;

/**
 * Carries out a request. Called from dispatch, with no lock held and before the answer; it may free
 * the front-end. The blocking forms of request.h are refused inside it (-EDEADLK), since the
 * back-end may wait for this answer first. It can't wait, so it may be called while the callback of
 * an event dispatches, or waits; no event is told inside it.
 *
 * @returns 0 or a negative errno: what the back-end is answered with, if it asked for an answer;
 *          anything else counts as -EIO. An answer with a descriptor is sent in any case.
 */
typedef int (*vhushmem_request_fn)(vhushmem_frontend *frontend,
                                   const vhushmem_other_request *request, void *user_data);

/**
 * Say who carries out what the back-end asks besides mappings, changes of its configuration and
 * shared objects: IOTLB_MSG, VRING_HOST_NOTIFIER, VRING_CALL, VRING_ERR, and what this library does
 * not know. Without anybody they are refused with -EOPNOTSUPP.
 *
 * @param fn         NULL: nobody.
 * @param user_data  handed to fn.
 * @param destroy    as for vhushmem_frontend_set_callback.
 * @returns 0, or -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_set_request_callback(vhushmem_frontend *frontend,
                                                        vhushmem_request_fn fn, void *user_data,
                                                        GDestroyNotify destroy);

/**
 * Say what regions the device has, for a back-end that can't tell: once one was given,
 * GET_SHMEM_CONFIG is not sent.
 *
 * @param shmid  the region's id.
 * @param size   bytes; a multiple of the page size, not 0.
 * @returns 0, or -EINVAL, -EEXIST (given twice), -EBUSY (started already), -ENOMEM (the address
 *          space can't hold it).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_add_region(vhushmem_frontend *frontend, uint8_t shmid,
                                              uint64_t size, GError **errp);

/**
 * Begin to connect or listen, and shake hands as readiness allows. Returns at once; READY or
 * DISCONNECT tells the outcome. When it fails itself there is no event, and it may be called again.
 *
 * @returns 0, or -EBUSY (started already), or what connect, bind or listen answered (-ENOENT and
 *          -ECONNREFUSED: nobody listens at the path; -EADDRINUSE: somebody does), or -EMFILE.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_start(vhushmem_frontend *frontend, GError **errp);

/**
 * start, and dispatch until the handshake is done or has failed. While nobody listens at the path
 * it is tried again: the device process may start a moment later.
 *
 * A handshake that has begun and fails, or that nobody came to (SERVER), sends DISCONNECT as well,
 * and the front-end is over: another call is -EBUSY. After a failure to begin (what start returns)
 * it may be called again.
 *
 * @param timeout_ms  how long at most; negative: as long as it takes (each request still has its
 *                    own limit).
 * @returns 0, or what start returns, or -ETIMEDOUT, -EPROTO (the back-end broke the protocol, or
 *          its answer can't be used: the message says how), -ECONNRESET (it went away),
 *          -ECONNABORTED (a callback freed the front-end).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_connect(vhushmem_frontend *frontend, int timeout_ms,
                                           GError **errp);

/**
 * The descriptor to wait on. It stays the same for the front-end's life and becomes readable when
 * there is something to do, also when a time limit has passed. After DISCONNECT it never does
 * again: a loop of the caller's own ends with that event.
 *
 * @returns the descriptor, owned by the front-end; or -EMFILE, -ENFILE, -ENOMEM, -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_get_fd(vhushmem_frontend *frontend);

/** What to wait for at get_fd's descriptor: poll(2) events (POLLIN), or -EFAULT. Since: 0.1 */
VHUSHMEM_API int vhushmem_frontend_get_events(vhushmem_frontend *frontend);

/**
 * Do what can be done now, without waiting: read, serve, answer. A bounded amount of work; what is
 * left makes the descriptor readable again.
 *
 * @returns how many messages were taken (0: nothing was to do), or -ENOTCONN (the connection is
 *          over, or not started).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_dispatch(vhushmem_frontend *frontend);

/**
 * A GSource that dispatches the front-end. It may be made before or after start. Attach it with
 * g_source_attach; it removes itself when the connection is over.
 *
 * A function of g_source_set_callback is called after each dispatch, as a GSourceFunc;
 * G_SOURCE_REMOVE removes the source.
 *
 * @returns a source with one reference, owned by the caller; NULL: frontend is NULL.
 * Since: 0.1
 */
VHUSHMEM_API GSource *vhushmem_frontend_source_new(vhushmem_frontend *frontend)
    VHUSHMEM_CHECK_RESULT;

/**
 * The device: it exists from the front-end's making on, and has its regions from READY on.
 *
 * @returns the device, borrowed: take a reference to keep it longer than the front-end.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API vhushmem_device *vhushmem_frontend_device(vhushmem_frontend *frontend);

/** True from READY until the connection ends. Since: 0.1 */
VHUSHMEM_API bool vhushmem_frontend_is_ready(vhushmem_frontend *frontend);

/**
 * The virtio features that the back-end offers; 0 before it told. While it is away, and until one
 * that came back has told, those of the
 *  last connection; so for the next two. Since: 0.1
 */
VHUSHMEM_API uint64_t vhushmem_frontend_features(vhushmem_frontend *frontend);

/** The protocol features that both sides agreed on; 0 before they did. Since: 0.1 */
VHUSHMEM_API uint64_t vhushmem_frontend_protocol_features(vhushmem_frontend *frontend);

/**
 * What the back-end answered to GET_QUEUE_NUM (1 where it can't tell): how many queues it can have,
 * or pairs of them. Since: 0.1
 */
VHUSHMEM_API uint64_t vhushmem_frontend_max_queues(vhushmem_frontend *frontend);

/**
 * The eventfd that the back-end signals when it has used buffers of a queue (SET_VRING_CALL) that
 * is started without a call_fd of its own. It is made by the first call for the queue, or when the
 * queue is started, and the same from then on. The back-end has it too. It may read it, and make it
 * one that waits: a program that must not wait reads it by preadv2 with RWF_NOWAIT, or hands it to
 * KVM.
 *
 * @param queue  0 to num_queues - 1.
 * @returns the descriptor, owned by the front-end; or -EINVAL (no such queue), -ENOTCONN (the
 *          front-end was not started), -EMFILE, -ENFILE,
 *          -ENOMEM (no eventfd can be made), -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_call_fd(vhushmem_frontend *frontend, unsigned queue);

/**
 * The name of a protocol feature bit ("SHMEM"), as the specification has it today and without its
 * prefix. Bits 20 and 21 have the names that they have today, also where shmem_bit makes one of
 * them mean SHMEM.
 *
 * @returns a constant string; NULL: the bit has no name.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API const char *vhushmem_protocol_feature_name(unsigned bit);

/**
 * Reset the device: every mapping is undone before the call returns. Of a region with more than 256
 * that is so of 256, and of what goes in 2 ms; the rest goes in the turns of the loop that follow,
 * so that other devices on it need not wait. RESET_DEVICE is sent where it was negotiated; requests
 * that the back-end sent before it answered are refused with -ECANCELED, so that none lands
 * afterwards. What it sends right after its answer may be taken for one of those, if it is here
 * when the answer is read: a back-end that gets -ECANCELED asks again. The event RESET tells when
 * all this is over. The device does not run any more, and the area of requests in flight is
 * forgotten: what was in flight is nothing to a driver that begins anew
 * (vhushmem_frontend_get_inflight has another one made).
 *
 * A back-end that does not know RESET_DEVICE is stopped instead, as by
 * vhushmem_frontend_stop_device. This call waits for neither: until the event RESET the back-end
 * may read and write the rings, so they and the buffers in them must stay as they are till then. If
 * the connection ends before the reset is over, DISCONNECT tells; with reconnect_ms the back-end
 * that comes back is reset when it is ready, and then RESET tells.
 *
 * @returns 0, or -ENOTCONN (not ready; with reconnect_ms, a back-end that comes back is reset when
 *          it is ready), -EALREADY (a reset is under way; its mappings are gone).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_frontend_reset(vhushmem_frontend *frontend, GError **errp);

/* g_autoptr(vhushmem_frontend) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_frontend, vhushmem_frontend_free)

G_END_DECLS

#endif
