/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TRACE_H
#define VHUSHMEM_TRACE_H

/**
 * @file
 * Traces: what the library does, request by request.
 *
 * The environment variable VHUSHMEM_DEBUG turns them on for any program: a list of `wire`, `maps`
 * and `all`, with commas in between. They go to GLib's log then, in the domain "vhushmem" at the
 * level MESSAGE, which GLib prints on standard error. Each has structured fields besides MESSAGE:
 * VHUSHMEM_CATEGORY (wire or maps), VHUSHMEM_REQUEST (the name), VHUSHMEM_RESULT (0 or a negative
 * errno), and of a map or unmap VHUSHMEM_SHMID, VHUSHMEM_OFFSET and VHUSHMEM_LENGTH. A program sees
 * them with g_log_set_writer_func.
 *
 * Traces that are turned on tell of what is there already, too. While they are off, a map or unmap
 * costs no instruction for them.
 *
 * The other levels of the domain "vhushmem": CRITICAL, a program's mistake that the library goes on
 * after; WARNING, something that a peer did wrong, at most ten in a second; MESSAGE, something
 * worth knowing that is nobody's fault; DEBUG, what a peer can cause at will. GLib shows DEBUG if
 * G_MESSAGES_DEBUG has the domain.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

/** What is traced, or'ed. */
enum {
    /** each message of a main socket and of a back-end channel, at either end */
    VHUSHMEM_TRACE_WIRE = 1 << 0,
    /**
     * each request on a front-end's end of the channel, and what a program maps and unmaps itself,
     * with what came of it
     */
    VHUSHMEM_TRACE_MAPS = 1 << 1,
    VHUSHMEM_TRACE_ALL = VHUSHMEM_TRACE_WIRE | VHUSHMEM_TRACE_MAPS
};

/** One trace. Good during the callback only. */
typedef struct vhushmem_trace {
    uint32_t category;   /**< VHUSHMEM_TRACE_WIRE or VHUSHMEM_TRACE_MAPS */
    uint32_t request;    /**< the request's id */
    const char *name;    /**< its name, as vhushmem_request_name has it; "?": it has none */
    const char *message; /**< a sentence */
    /**
     * of MAPS: 0, or the negative errno that it was answered with, or that the program's call
     * returned
     */
    int32_t result;
    uint8_t is_channel;  /**< of WIRE: 1, the channel; 0, a main socket */
    uint8_t is_sent;     /**< of WIRE: 1, this process sent it; 0, it was received */
    uint8_t shmid;       /**< of MAPS: the region */
    uint8_t reserved;    /**< 0 */
    uint32_t flags;      /**< of WIRE: those of the header */
    uint32_t size;       /**< of WIRE: bytes of payload */
    uint64_t shm_offset; /**< of MAPS, bytes */
    uint64_t len;        /**< of MAPS, bytes */
} vhushmem_trace;

/**
 * Called for each trace, in the thread that it comes from, with no lock held. It must not call
 * functions of the object that it tells of (it does not know which that is), and must not wait.
 */
typedef void (*vhushmem_trace_fn)(const vhushmem_trace *trace, void *user_data);

/**
 * Turn traces on or off for the whole process. What VHUSHMEM_DEBUG said does not count any more.
 *
 * @param categories  VHUSHMEM_TRACE_*, or'ed; 0: off.
 * @param fn          is told; NULL: GLib's log is.
 * @param user_data   handed to fn.
 * @param destroy     called once with user_data: when another call takes its place and no call of
 *                    fn is under way any more, or before this call returns if it fails or fn is
 *                    NULL; may be NULL.
 * @returns 0, or -EINVAL (a category that there is none of).
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API int vhushmem_set_debug(uint32_t categories, vhushmem_trace_fn fn, void *user_data,
                                    GDestroyNotify destroy);

/**
 * The specification's name of a request ("SET_MEM_TABLE"), without its prefix.
 *
 * @param is_channel  the request is one of the back-end channel, where ids mean something else.
 * @returns a constant string; NULL: this library knows none.
 * Thread rule: any thread.  Since: 0.1
 */
VHUSHMEM_API const char *vhushmem_request_name(bool is_channel, uint32_t request);

G_END_DECLS

#endif
