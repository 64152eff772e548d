/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_CHANNEL_H
#define VHUSHMEM_CHANNEL_H

/**
 * @file
 * The back-end channel, or single messages, for a VMM that already has its own vhost-user
 * front-end.
 *
 * The VMM makes a socket pair and sends one end to the back-end with SET_BACKEND_REQ_FD. Give the
 * other end to a channel, with a device that has the regions. The channel serves SHMEM_MAP and
 * SHMEM_UNMAP, and passes every other request to a callback. A VMM that reads the messages itself
 * calls vhushmem_handle_map and vhushmem_handle_unmap.
 *
 * Thread rule of the channel, unless a function says otherwise: one thread at a time for one
 * channel, as a rule the one that runs the loop. While a GSource of the channel is attached, that
 * is the thread that runs the source's context. Any thread may use its device, its regions and
 * their mappings.
 */

#include <vhushmem/base.h>
#include <vhushmem/event.h>
#include <vhushmem/vhost-user.h>

G_BEGIN_DECLS

/** The VMM's end of a back-end channel. */
typedef struct vhushmem_channel vhushmem_channel;

/** Flags of a channel. */
enum {
    /** keep the mappings when the channel is lost or freed; default: drop them */
    VHUSHMEM_CHANNEL_KEEP_MAPPINGS = 1 << 0,
    /**
     * The back-end follows one of versions 1 to 4 of the series: in the flags of a map, 1 asks for
     * reading and 2 for writing.
     */
    VHUSHMEM_CHANNEL_FIRST_MAP_FLAGS = 1 << 1
};

/**
 * Options of a new channel. Set struct_size to sizeof(vhushmem_channel_options). A field that is 0
 * means its default.
 */
typedef struct vhushmem_channel_options {
    uint32_t struct_size;
    uint32_t flags; /**< VHUSHMEM_CHANNEL_*, or'ed */
    /** how long a message may take from its first byte to its last; 0 means 5,000 */
    uint32_t message_timeout_ms;
    uint32_t reserved; /**< 0 */
} vhushmem_channel_options;

/**
 * Make a channel that serves the requests of a back-end. SHMEM counts as negotiated.
 *
 * @param fd       a connected Unix stream socket; consumed on success, else it stays the caller's.
 * @param device   gets the mappings; referenced.
 * @param options  NULL for the defaults; read only during the call.
 * @param errp     receives the error.
 * @returns a channel, owned by the caller (vhushmem_channel_free); or NULL: EINVAL (an option is
 *          wrong; the fd is no Unix stream socket), ENOTCONN (it is not connected), EBADF, EFAULT.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API vhushmem_channel *vhushmem_channel_new(int fd, vhushmem_device *device,
                                                    const vhushmem_channel_options *options,
                                                    GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Close the channel and free it. The function reports no event, and destroys a GSource of the
 * channel. If the channel was open, the function drops the device's mappings, unless
 * VHUSHMEM_CHANNEL_KEEP_MAPPINGS was set. If the channel was lost before, its mappings went at that
 * time; the function leaves those that were made since. If a callback calls it, the memory is freed
 * after the callback has returned.
 *
 * The mappings are undone when the call returns. If there are many, and others on the loop must not
 * wait for that, give the device's last reference back first, so that the device goes with the
 * channel (vhushmem_device_unref); or shut the socket down, and free the channel at CHANNEL_LOST.
 *
 * Since: 0.9
 */
VHUSHMEM_API void vhushmem_channel_free(vhushmem_channel *channel);

/**
 * Called from dispatch, with no lock held: MAP, UNMAP and OTHER_REQUEST after their answer, BROKEN
 * and HEALED, and CHANNEL_LOST at the end, after the mappings are undone. If there are more than
 * 256, that takes several turns of the loop; vhushmem_channel_is_open returns false meanwhile. The
 * callback may call any function of the channel, run the main loop, and free the channel. Callbacks
 * never nest: an event that comes while a callback runs waits until the callback has returned, as
 * in frontend.h.
 */
typedef void (*vhushmem_channel_event_fn)(vhushmem_channel *channel, const vhushmem_event *event,
                                          void *user_data);

/**
 * Report events to a callback. It also receives the events that came before the first callback was
 * set, up to 1,024.
 *
 * @param fn         NULL: stop reporting.
 * @param user_data  handed to fn.
 * @param destroy    called once with user_data: when another callback replaces this one or the
 *                   channel goes, or at once if fn is NULL or the call fails; may be NULL.
 * @returns 0, or -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_channel_set_callback(vhushmem_channel *channel,
                                               vhushmem_channel_event_fn fn, void *user_data,
                                               GDestroyNotify destroy);

/**
 * Performs a request. Called from dispatch, with no lock held and before the answer. The callback
 * may call any function of the channel (a dispatch then takes no message) and may free it. It may
 * run while the callback of an event dispatches. No event is reported inside it.
 *
 * @returns 0 or a negative errno: the answer, if the back-end asked for one; anything else counts
 *          as -EIO. An answer with a descriptor, and the refusal of a SHARED_OBJECT_LOOKUP, are
 *          sent in any case: they are replies of the request's own.
 */
typedef int (*vhushmem_channel_request_fn)(vhushmem_channel *channel,
                                           const vhushmem_other_request *request, void *user_data);

/**
 * Set the callback that performs all requests except maps and unmaps. Without a callback the
 * channel refuses them with -EOPNOTSUPP.
 *
 * @param fn         NULL: no callback.
 * @param user_data  handed to fn.
 * @param destroy    as for vhushmem_channel_set_callback.
 * @returns 0, or -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_channel_set_request_callback(vhushmem_channel *channel,
                                                       vhushmem_channel_request_fn fn,
                                                       void *user_data, GDestroyNotify destroy);

/**
 * Return the descriptor to wait on. It stays the same for the channel's life. It is readable when
 * there is something to do.
 *
 * @returns the descriptor, owned by the channel; or -EMFILE, -ENFILE, -ENOMEM, -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_channel_get_fd(vhushmem_channel *channel);

/**
 * Return the poll(2) events to wait for at the descriptor of get_fd (POLLIN), or -EFAULT. Since:
 * 0.9
 */
VHUSHMEM_API int vhushmem_channel_get_events(vhushmem_channel *channel);

/**
 * Do what can be done now, without waiting: read, serve, answer. One call does a bounded amount of
 * work. If more is left, the descriptor is readable again.
 *
 * @returns how many requests were taken (0: there was nothing to do), or -ENOTCONN (the channel is
 *          lost), -EFAULT.
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_channel_dispatch(vhushmem_channel *channel);

/**
 * Make a GSource that dispatches the channel. Attach it with g_source_attach. It removes itself
 * when the channel is lost.
 *
 * A function set with g_source_set_callback is called after each dispatch, as a GSourceFunc;
 * G_SOURCE_REMOVE removes the source.
 *
 * @returns a source with one reference, owned by the caller; NULL: channel is NULL.
 * Since: 0.9
 */
VHUSHMEM_API GSource *vhushmem_channel_source_new(vhushmem_channel *channel) VHUSHMEM_CHECK_RESULT;

/** Tell whether the channel is open. @returns true until the channel is lost. Since: 0.9 */
VHUSHMEM_API bool vhushmem_channel_is_open(vhushmem_channel *channel);

/**
 * Begin a reset of the device. Call this function before the VMM sends the reset (RESET_DEVICE, or
 * a stop that counts as one). It undoes every mapping, also if the channel is lost. Until
 * vhushmem_channel_end_reset the channel refuses SHMEM_MAP and SHMEM_UNMAP with -ECANCELED, so that
 * no older request takes effect after the reset. It passes other requests on as before.
 *
 * Dispatch the channel while you wait for the acknowledgement. Otherwise a back-end that waits for
 * an answer on the channel never comes to the reset.
 *
 * @returns 0, or -EFAULT (channel is NULL).
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_channel_begin_reset(vhushmem_channel *channel);

/**
 * End a reset of the device. Call this function when the back-end has acknowledged the reset, or at
 * once if it acknowledges none. The channel still refuses the requests that have arrived until now,
 * and serves those that arrive later. Each begin_reset needs one end_reset; an end_reset without a
 * begin_reset does nothing.
 *
 * @returns 0, or -EFAULT (channel is NULL).
 * Since: 0.9
 */
VHUSHMEM_API int vhushmem_channel_end_reset(vhushmem_channel *channel);

/* ---- single messages ---- */

/**
 * Handle one SHMEM_MAP that the VMM has read itself. The function makes the same checks, in the
 * same order, as a channel. The guest sees the mapping when the call returns. Then answer the
 * back-end with the result, as a u64, and call vhushmem_device_commit if listeners are registered
 * (series.h). The VMM must check the message's header itself: its length, its flags, and how many
 * descriptors came.
 *
 * @param map   the payload: the 40 bytes of a VhostUserMMap, of this library's type or of the
 *              program's own type with that name. They need not be aligned.
 * @param fd    the descriptor that came with the message; borrowed, so close it afterwards. -1:
 *              none came.
 * @param errp  receives the error.
 * @returns 0, or -EINVAL (no descriptor came), -ENOENT (the device has no such region), or what
 *          vhushmem_region_map returns; -EFAULT.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_handle_map(vhushmem_device *device, const void *map, int fd,
                                     GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Handle one SHMEM_UNMAP in the same way. The function ignores fd_offset and flags.
 *
 * @param map   as for vhushmem_handle_map.
 * @param errp  receives the error.
 * @returns 0, or -ENOENT (no such region, or nothing is mapped there), or what
 *          vhushmem_region_unmap returns; -EFAULT.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_handle_unmap(vhushmem_device *device, const void *map,
                                       GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Tell the listeners of the device's regions that a change is complete. Call this function after
 * you have sent the answer to what vhushmem_handle_map or vhushmem_handle_unmap did. It leaves out
 * regions without a change.
 *
 * @returns 0, or -EFAULT.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_device_commit(vhushmem_device *device);

/* g_autoptr(vhushmem_channel) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_channel, vhushmem_channel_free)

G_END_DECLS

#endif
