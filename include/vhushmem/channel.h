/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_CHANNEL_H
#define VHUSHMEM_CHANNEL_H

/**
 * @file
 * For a VMM that has a vhost-user front-end of its own: the back-end channel alone, or single
 * messages.
 *
 * A channel is given the VMM's end of the socket pair whose other end went to the back-end with
 * SET_BACKEND_REQ_FD, and a device with its regions. It serves SHMEM_MAP and SHMEM_UNMAP, and
 * passes every other request to a callback. A VMM that reads the messages itself calls
 * vhushmem_handle_map and vhushmem_handle_unmap.
 *
 * Thread rule of the channel, unless a function says otherwise: one thread at a time for one
 * channel, as a rule the one that runs the loop (while a GSource of it is attached, the one that
 * runs the source's context). Its device, its regions and their mappings may be used from any
 * thread.
 */

#include <vhushmem/base.h>
#include <vhushmem/frontend.h>
#include <vhushmem/vhost-user.h>

G_BEGIN_DECLS

/** The VMM's end of a back-end channel. */
typedef struct vhushmem_channel vhushmem_channel;

/** flags of a channel. */
enum {
    /** leave the mappings when the channel is lost or freed; default: drop them */
    VHUSHMEM_CHANNEL_KEEP_MAPPINGS = 1 << 0,
    /**
     * the back-end is one of versions 1 to 4 of the series: 1 in a map's flags asks for reading, 2
     * for writing
     */
    VHUSHMEM_CHANNEL_FIRST_MAP_FLAGS = 1 << 1
};

/**
 * How a channel is to be. Set struct_size to sizeof(vhushmem_channel_options); zero means the
 * default everywhere.
 */
typedef struct vhushmem_channel_options {
    uint32_t struct_size;
    uint32_t flags; /**< VHUSHMEM_CHANNEL_*, or'ed */
    /** how long a message that has begun may take to arrive whole; 0 means 5,000 */
    uint32_t message_timeout_ms;
    uint32_t reserved; /**< 0 */
} vhushmem_channel_options;

/**
 * Serve a back-end channel. SHMEM counts as negotiated.
 *
 * @param fd       a connected Unix stream socket; consumed on success, else it stays the caller's.
 * @param device   where mappings are made; referenced.
 * @param options  NULL for the defaults; read during the call only.
 * @param errp     receives the error.
 * @returns a channel, owned by the caller (vhushmem_channel_free); or NULL: EINVAL (an option is
 *          wrong; the fd is no Unix stream socket), ENOTCONN (it is not connected), EBADF, EFAULT.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API vhushmem_channel *vhushmem_channel_new(int fd, vhushmem_device *device,
                                                    const vhushmem_channel_options *options,
                                                    GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Close the channel and give it back. No event is sent. If it was open, the device's mappings are
 * dropped unless VHUSHMEM_CHANNEL_KEEP_MAPPINGS was set; those of a channel that was lost went when
 * it was, and what was mapped since is not its own. Inside a callback the memory goes after the
 * callback has returned. A GSource of the channel is destroyed.
 *
 * Since: 0.1
 */
VHUSHMEM_API void vhushmem_channel_free(vhushmem_channel *channel);

/**
 * Called from dispatch, with no lock held: MAP, UNMAP and OTHER_REQUEST after their answer, BROKEN
 * and HEALED, and CHANNEL_LOST at the end. It may call any function of the channel, turn the main
 * loop, and free the channel. Callbacks never nest: what comes while one runs waits until it has
 * returned, as in frontend.h.
 */
typedef void (*vhushmem_channel_event_fn)(vhushmem_channel *channel, const vhushmem_event *event,
                                          void *user_data);

/**
 * Have events reported. Events that came before the first callback was set are told to it, up to
 * 1,024.
 *
 * @param fn         NULL: no more.
 * @param user_data  handed to fn.
 * @param destroy    called once with user_data: when the callback is replaced or the channel goes,
 *                   or at once if fn is NULL or the call fails; may be NULL.
 * @returns 0, or -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_channel_set_callback(vhushmem_channel *channel,
                                               vhushmem_channel_event_fn fn, void *user_data,
                                               GDestroyNotify destroy);

/**
 * Carries out a request. Called from dispatch, with no lock held and before the answer; it may call
 * any function of the channel (a dispatch takes nothing there) and may free it. It may be called
 * while the callback of an event dispatches; no event is told inside it.
 *
 * @returns 0 or a negative errno: what the back-end is answered with, if it asked for an answer;
 *          anything else counts as -EIO. An answer with a descriptor, and a refused
 *          SHARED_OBJECT_LOOKUP, are sent in any case: they are replies of the request's own.
 */
typedef int (*vhushmem_channel_request_fn)(vhushmem_channel *channel,
                                           const vhushmem_other_request *request, void *user_data);

/**
 * Say who carries out requests that are not about mappings. Without anybody they are refused with
 * -EOPNOTSUPP.
 *
 * @param fn         NULL: nobody.
 * @param user_data  handed to fn.
 * @param destroy    as for vhushmem_channel_set_callback.
 * @returns 0, or -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_channel_set_request_callback(vhushmem_channel *channel,
                                                       vhushmem_channel_request_fn fn,
                                                       void *user_data, GDestroyNotify destroy);

/**
 * The descriptor to wait on. It stays the same for the channel's life and becomes readable when
 * there is something to do.
 *
 * @returns the descriptor, owned by the channel; or -EMFILE, -ENFILE, -ENOMEM, -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_channel_get_fd(vhushmem_channel *channel);

/** What to wait for at get_fd's descriptor: poll(2) events (POLLIN), or -EFAULT. Since: 0.1 */
VHUSHMEM_API int vhushmem_channel_get_events(vhushmem_channel *channel);

/**
 * Do what can be done now, without waiting: read, serve, answer. A bounded amount of work; what is
 * left makes the descriptor readable again.
 *
 * @returns how many requests were taken (0: nothing was to do), or -ENOTCONN (the channel is lost),
 *          -EFAULT.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_channel_dispatch(vhushmem_channel *channel);

/**
 * A GSource that dispatches the channel. Attach it with g_source_attach; it removes itself when the
 * channel is lost.
 *
 * A function of g_source_set_callback is called after each dispatch, as a GSourceFunc;
 * G_SOURCE_REMOVE removes the source.
 *
 * @returns a source with one reference, owned by the caller; NULL: channel is NULL.
 * Since: 0.1
 */
VHUSHMEM_API GSource *vhushmem_channel_source_new(vhushmem_channel *channel) VHUSHMEM_CHECK_RESULT;

/** True until the channel is lost. Since: 0.1 */
VHUSHMEM_API bool vhushmem_channel_is_open(vhushmem_channel *channel);

/**
 * To be called before the VMM resets the device (RESET_DEVICE, or a stop that counts as one): every
 * mapping is undone, and SHMEM_MAP and SHMEM_UNMAP are refused with -ECANCELED until
 * vhushmem_channel_end_reset, so that none that is under way lands afterwards. Other requests are
 * passed on as ever.
 *
 * Go on dispatching the channel while the acknowledgement is awaited: the back-end may be waiting
 * there for an answer, and would not come to the reset.
 *
 * @returns 0, or -EFAULT (channel is NULL). Of a channel that is lost too the mappings are undone.
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_channel_begin_reset(vhushmem_channel *channel);

/**
 * To be called when the back-end has acknowledged the reset, or at once where it has no
 * acknowledgement to give. What has arrived until now is still refused; what arrives later is
 * served. Each begin_reset has its end_reset; one without does nothing.
 *
 * @returns 0, or -EFAULT (channel is NULL).
 * Since: 0.1
 */
VHUSHMEM_API int vhushmem_channel_end_reset(vhushmem_channel *channel);

/* ---- single messages ---- */

/**
 * Carry out one SHMEM_MAP that the VMM has read itself: the same checks, in the same order, as a
 * channel makes. The guest sees the mapping when the call returns; then answer the back-end with
 * what was returned, as a u64, and call vhushmem_device_commit if listeners are registered
 * (series.h). What only the message's header tells (its length, its flags, how many descriptors
 * came) is the VMM's to check.
 *
 * @param map   the payload: the 40 bytes of a VhostUserMMap, this library's or the program's own
 *              type of that name. They need not be aligned.
 * @param fd    the descriptor that came along; borrowed, so close it afterwards. -1: none came.
 * @param errp  receives the error.
 * @returns 0, or -EINVAL (no descriptor came), -ENOENT (the device has no such region), or what
 *          vhushmem_region_map returns; -EFAULT.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API int vhushmem_handle_map(vhushmem_device *device, const void *map, int fd,
                                     GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Carry out one SHMEM_UNMAP in the same way; fd_offset and flags mean nothing.
 *
 * @param map   as for vhushmem_handle_map.
 * @param errp  receives the error.
 * @returns 0, or -ENOENT (no such region, or nothing is mapped there), or what
 *          vhushmem_region_unmap returns; -EFAULT.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API int vhushmem_handle_unmap(vhushmem_device *device, const void *map,
                                       GError **errp) VHUSHMEM_CHECK_RESULT;

/**
 * Tell the listeners of the device's regions that what changed is complete: after the answer to
 * what vhushmem_handle_map and vhushmem_handle_unmap did. A region that nothing was changed in is
 * passed over.
 *
 * @returns 0, or -EFAULT.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API int vhushmem_device_commit(vhushmem_device *device);

/* g_autoptr(vhushmem_channel) */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(vhushmem_channel, vhushmem_channel_free)

G_END_DECLS

#endif
