/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_FRONTEND_H
#define VHUSHMEM_FRONTEND_H

/**
 * @file
 * A whole front-end. Give it a socket, run it in your loop, and place its regions.
 *
 * Call new, then set_callback and add_region if you need them, then start (or the blocking
 * connect). Dispatch the front-end whenever its descriptor is ready, or let a GSource do that. The
 * event READY says that the device has its regions. From then on the front-end serves the
 * back-end's SHMEM_MAP and SHMEM_UNMAP while the loop runs.
 *
 * With reconnect_ms a front-end that was ready once looks for its back-end again when it loses it.
 * It connects again, or (SERVER) listens again at its path. DISCONNECT reports the loss, and the
 * front-end undoes the mappings (or keeps them: KEEP_MAPPINGS). The regions stay where they are. A
 * back-end that returns must offer the same regions; otherwise DISCONNECT reports the difference
 * and retries continue.
 *
 * If the device ran, the front-end starts it again with the features, memory, requests in flight
 * and queues that it had. Each queue continues from the index of its used ring, and each kick
 * eventfd is signalled once. READY then reports that all is as before. With an area for requests in
 * flight (vhushmem_frontend_get_inflight) the back-end knows which requests are left. Without one,
 * a queue may be unable to continue: its index cannot be read, or the earlier back-end used
 * requests out of order and left earlier ones (-EILSEQ). Then DISCONNECT says so. So no request is
 * served twice, and none is lost without a report. The front-end keeps looking; after a reset of
 * the device the next back-end can connect.
 *
 * While the back-end is away, requests to it end with -ENOTCONN, and memory may be changed. After
 * stop_device or reset, the back-end comes back to a device that does not run.
 *
 * Thread rule of this header, unless a function says otherwise: one thread at a time for one
 * front-end, usually the one that runs the loop. While a GSource of the front-end is attached, that
 * is the thread that runs the source's context. From another thread use g_main_context_invoke: a
 * direct call would race with the loop, and would not wake it. Any thread may use its device, its
 * regions and their mappings.
 */

#include <vhushmem/base.h>
#include <vhushmem/device.h>
#include <vhushmem/event.h>
#include <vhushmem/frontend-options.h>
#include <vhushmem/region.h>

G_BEGIN_DECLS

/**
 * Called from dispatch, and from any call that causes an event, with no lock held. The callback may
 * call any function of the front-end, run the main loop, and free the front-end. If a callback
 * frees the front-end during a blocking call, that call returns -ECONNABORTED. The pointer `event`
 * and all that it points to are valid only during the call.
 *
 * Callbacks of a front-end never nest. While one runs (this one, or that of a request), events and
 * replies wait, in order, until it has returned. While 1,024 events wait, the front-end reads
 * nothing more from the back-end. So a callback must not wait for another event. It may wait for
 * the result of a function: vhushmem_frontend_is_ready, the number of mappings.
 */
typedef void (*vhushmem_event_fn)(vhushmem_frontend *frontend, const vhushmem_event *event,
                                  void *user_data);

/**
 * Make a front-end for a back-end behind a Unix socket path.
 *
 * @param socket_path  the path at which the back-end listens, or (VHUSHMEM_FRONTEND_SERVER) at
 *                     which to listen; copied. Nothing is opened yet. Any bytes: it need not be
 *                     UTF-8. A path that begins with @ is the name of an abstract socket, as in
 *                     QEMU, without its first byte; for a file of such a name write ./@name. A
 *                     server replaces a stale socket at its path, at which no process listens. If
 *                     several processes begin to listen there, one succeeds.
 * @param options      NULL for the defaults; read only during the call.
 * @param errp         receives the error.
 * @returns a front-end, owned by the caller (vhushmem_frontend_free); or NULL: EINVAL (an option is
 *          wrong, or the path is empty), ENAMETOOLONG (the path does not fit into a socket
 *          address), EFAULT.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API vhushmem_frontend *vhushmem_frontend_new(const char *socket_path,
                                                      const vhushmem_frontend_options *options,
                                                      GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Make a front-end on a connected Unix stream socket.
 *
 * @param fd  consumed on success: closed with the front-end. On failure it stays the caller's.
 * @returns a front-end, owned by the caller; or NULL: EINVAL (an option is wrong;
 *          VHUSHMEM_FRONTEND_SERVER or reconnect_ms, which need a path; the fd is no Unix stream
 *          socket), ENOTCONN (it is not connected), EBADF.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API vhushmem_frontend *vhushmem_frontend_new_fd(int fd,
                                                         const vhushmem_frontend_options *options,
                                                         GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * End the connection, if there is one, and free the front-end. The function reports no event, and
 * destroys a GSource of the front-end. It undoes the mappings unless
 * VHUSHMEM_FRONTEND_KEEP_MAPPINGS was set. The device goes too, unless another reference to it
 * exists. If the device goes with more than 256 mappings, they may go after the call has returned
 * (vhushmem_device_unref). Requests that wait end with -ECONNABORTED; their callbacks run before
 * this function returns. If a callback calls this function, they run after that callback has
 * returned, and the memory is freed then.
 *
 * Since: 0.9
 */
VHUSHMEM_API void vhushmem_frontend_free(vhushmem_frontend *frontend);

/**
 * Report events to a callback. It also receives the events that came before the first callback was
 * set. If there are more than 1,024, the oldest are dropped; vhushmem_region_next_mapping lists all
 * mappings.
 *
 * @param fn         NULL: stop reporting.
 * @param user_data  handed to fn.
 * @param destroy    called once with user_data: when another callback replaces this one or the
 *                   front-end goes, or at once if fn is NULL or the call fails; may be NULL.
 * @returns 0, or -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_set_callback(vhushmem_frontend *frontend, vhushmem_event_fn fn,
                                                void *user_data, GDestroyNotify destroy);

/**
 * Performs a request. Called from dispatch, with no lock held and before the answer. The callback
 * may free the front-end. The blocking forms of request.h are refused inside it (-EDEADLK), because
 * the back-end may wait for this answer first. The request cannot wait, so the callback may run
 * while the callback of an event dispatches or waits. No event is reported inside it.
 *
 * @returns 0 or a negative errno: the answer, if the back-end asked for one; anything else counts
 *          as -EIO. An answer with a descriptor is sent in any case.
 */
typedef int (*vhushmem_request_fn)(vhushmem_frontend *frontend,
                                   const vhushmem_other_request *request, void *user_data);

/**
 * Set the callback that performs IOTLB_MSG, VRING_HOST_NOTIFIER, VRING_CALL, VRING_ERR, and
 * requests that this library does not know. The front-end itself serves mappings, changes of the
 * configuration and shared objects. Without a callback it refuses the others with -EOPNOTSUPP.
 *
 * @param fn         NULL: no callback.
 * @param user_data  handed to fn.
 * @param destroy    as for vhushmem_frontend_set_callback.
 * @returns 0, or -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_set_request_callback(vhushmem_frontend *frontend,
                                                        vhushmem_request_fn fn, void *user_data,
                                                        GDestroyNotify destroy);

/**
 * Give the device a region, for a back-end that cannot tell its regions. Once the program has given
 * one, the front-end does not send GET_SHMEM_CONFIG.
 *
 * @param shmid  the region's id.
 * @param size   bytes; a multiple of the page size, not 0.
 * @returns 0, or -EINVAL, -EEXIST (given twice), -EBUSY (started already), -ENOMEM (the address
 *          space cannot hold it).
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_add_region(vhushmem_frontend *frontend, uint8_t shmid,
                                              uint64_t size, GError **errp);

/**
 * Begin to connect or listen. The call returns at once. The handshake goes on in the loop, and
 * READY or DISCONNECT reports its outcome. If the call itself fails, there is no event, and it may
 * be called again.
 *
 * @returns 0, or -EBUSY (started already), or the errno of connect, bind or listen (-ENOENT
 *          and -ECONNREFUSED: no process listens at the path; -EADDRINUSE: another one does),
 *          or -EMFILE.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_start(vhushmem_frontend *frontend, GError **errp);

/**
 * Start, and dispatch until the handshake is done or has failed. While no process listens at the
 * path, the function tries again: the device process may start a moment later.
 *
 * If the handshake fails, or no back-end connects (SERVER), DISCONNECT comes too, and the front-end
 * is over: another call returns -EBUSY. After a failure to begin (an error of start) the function
 * may be called again.
 *
 * @param timeout_ms  the longest time to wait; negative: no limit (each request still has its own).
 * @returns 0, or what start returns, or -ETIMEDOUT, -EPROTO (the back-end broke the protocol, or
 *          its answer cannot be used: the message says how), -ECONNRESET (it went
 *          away), -ETOOMANYREFS (no descriptor could be sent within request_timeout_ms: see
 *          request.h), -ECONNABORTED (a callback freed the front-end).
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_connect(vhushmem_frontend *frontend, int timeout_ms,
                                           GError **errp);

/**
 * Return the descriptor to wait on. It stays the same for the front-end's life. It is readable when
 * there is something to do, also when a time limit has passed. After DISCONNECT it never is again:
 * the caller's own loop ends with that event.
 *
 * @returns the descriptor, owned by the front-end; or -EMFILE, -ENFILE, -ENOMEM, -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_get_fd(vhushmem_frontend *frontend);

/**
 * Return the poll(2) events to wait for at the descriptor of get_fd (POLLIN), or -EFAULT. Since:
 * 0.9
 */
VHUSHMEM_API int vhushmem_frontend_get_events(vhushmem_frontend *frontend);

/**
 * Read, serve and answer all that is possible without waiting. One call does a limited amount of
 * work. If more is left, the descriptor is readable again.
 *
 * @returns how many messages were taken (0: there was nothing to do), or -ENOTCONN (the connection
 *          is over, or not started).
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_dispatch(vhushmem_frontend *frontend);

/**
 * Make a GSource that dispatches the front-end, before or after start. Attach it with
 * g_source_attach. It removes itself when the connection is over.
 *
 * A function set with g_source_set_callback is called after each dispatch, as a GSourceFunc;
 * G_SOURCE_REMOVE removes the source.
 *
 * @returns a source with one reference, owned by the caller; NULL: frontend is NULL.
 * Since: 0.9
 */
VHUSHMEM_API GSource *vhushmem_frontend_source_new(vhushmem_frontend *frontend)
    VHUSHMEM_CHECK_RESULT;

/**
 * Return the device. It exists as long as the front-end, and has its regions from READY on.
 *
 * @returns the device, borrowed: take a reference to keep it longer than the front-end.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API vhushmem_device *vhushmem_frontend_device(vhushmem_frontend *frontend);

/**
 * Tell whether the front-end is ready. @returns true from READY until the connection ends. Since:
 * 0.9
 */
VHUSHMEM_API bool vhushmem_frontend_is_ready(vhushmem_frontend *frontend);

/**
 * Return the virtio features that the back-end offers; 0 before the front-end has them. While the
 * back-end is away, and until a new one has sent its own, they are those of the last connection.
 * The same holds for the next two functions. Since: 0.9
 */
VHUSHMEM_API uint64_t vhushmem_frontend_features(vhushmem_frontend *frontend);

/** Return the protocol features that both sides agreed on; 0 before they did. Since: 0.9 */
VHUSHMEM_API uint64_t vhushmem_frontend_protocol_features(vhushmem_frontend *frontend);

/**
 * Return the back-end's answer to GET_QUEUE_NUM (1 if it cannot tell): how many queues, or pairs of
 * queues, it can have. Since: 0.9
 */
VHUSHMEM_API uint64_t vhushmem_frontend_max_queues(vhushmem_frontend *frontend);

/**
 * Return the eventfd that the back-end signals when it has used buffers of a queue
 * (SET_VRING_CALL), for a queue that is started without a call_fd of its own. The first call for
 * the queue makes it, or the start of the queue; it stays the same from then on. The back-end has
 * it too: it may read it, and may clear its O_NONBLOCK. So a program that must not wait reads it by
 * preadv2 with RWF_NOWAIT, or gives it to KVM.
 *
 * @param queue  0 to num_queues - 1.
 * @returns the descriptor, owned by the front-end; or -EINVAL (no such queue), -ENOTCONN (the
 *          front-end was not started), -EMFILE, -ENFILE, -ENOMEM (no eventfd can be made), -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_call_fd(vhushmem_frontend *frontend, unsigned queue);

/**
 * Return the name of a protocol feature bit ("SHMEM"), as in the specification and without its
 * prefix. Bits 20 and 21 have today's names, even if shmem_bit makes one of them mean SHMEM.
 *
 * @returns a constant string; NULL: the bit has no name.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API const char *vhushmem_protocol_feature_name(unsigned bit);

/**
 * Reset the device. The function undoes 256 mappings, and more for up to 2 ms. The following turns
 * of the loop undo the rest, so that other devices on the loop need not wait. A device with at most
 * 256 mappings has none left when the call returns.
 *
 * The front-end sends RESET_DEVICE if it was negotiated. It refuses with -ECANCELED the requests
 * that the back-end sent before it answered, so that none takes effect afterwards. If the back-end
 * sends a request right after its answer, and the request has come when the front-end reads the
 * answer, it may be refused too: a back-end that gets -ECANCELED asks again. The event RESET
 * reports the end of all this. The device then does not run, and the front-end has forgotten the
 * area for requests in flight: a driver that begins again has none (vhushmem_frontend_get_inflight
 * makes another area).
 *
 * If the back-end does not know RESET_DEVICE, the front-end stops it instead, as
 * vhushmem_frontend_stop_device does. This call waits for neither. Until the event RESET the
 * back-end may read and write the rings, so do not change them or the buffers in them before. If
 * the connection ends first, DISCONNECT comes. With reconnect_ms the front-end resets the back-end
 * that comes back when it is ready, and RESET comes then.
 *
 * @returns 0, or -ENOTCONN (not ready; with reconnect_ms, a back-end that comes back is reset when
 *          it is ready), -EALREADY (a reset is under way; its mappings are gone).
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_frontend_reset(vhushmem_frontend *frontend, GError **errp);

/* g_autoptr(vhushmem_frontend) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_frontend, vhushmem_frontend_free)

G_END_DECLS

#endif
