/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TRACE_H
#define VHUSHMEM_TRACE_H

/**
 * @file
 * Traces: what the library does, request by request.
 *
 * The environment variable VHUSHMEM_DEBUG turns traces on for any program. Its value is a list of
 * `wire`, `maps` and `all`, with commas in between. The traces then go to GLib's log, in the domain
 * "vhushmem" at the level MESSAGE, which GLib prints on standard error. Besides MESSAGE each trace
 * has structured fields: VHUSHMEM_CATEGORY (wire or maps), VHUSHMEM_REQUEST (the name) and
 * VHUSHMEM_RESULT (0 or a negative errno). The trace of a map or unmap also has VHUSHMEM_SHMID,
 * VHUSHMEM_OFFSET and VHUSHMEM_LENGTH. A program reads them with g_log_set_writer_func.
 *
 * Traces also cover objects that existed before the traces were turned on. While traces are off,
 * they cost a map or unmap no instruction.
 *
 * The domain "vhushmem" has these other levels:
 *  - CRITICAL: the program made a mistake, and the library goes on.
 *  - WARNING: a peer did something wrong; at most ten a second.
 *  - MESSAGE: something worth knowing that is no fault.
 *  - DEBUG: something that a peer can cause at will. GLib shows it if G_MESSAGES_DEBUG has the
 *    domain.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

/** What the library traces, or'ed. */
enum {
    /** each message of a main socket and of a back-end channel, at either end */
    VHUSHMEM_TRACE_WIRE = 1 << 0,
    /**
     * Each request on a front-end's end of the channel, and each map and unmap of the program
     * itself, with its result.
     */
    VHUSHMEM_TRACE_MAPS = 1 << 1,
    VHUSHMEM_TRACE_ALL = VHUSHMEM_TRACE_WIRE | VHUSHMEM_TRACE_MAPS
};

/** One trace. It is valid only during the callback. */
typedef struct vhushmem_trace {
    uint32_t category;   /**< VHUSHMEM_TRACE_WIRE or VHUSHMEM_TRACE_MAPS */
    uint32_t request;    /**< the request's id */
    const char *name;    /**< its name, as vhushmem_request_name returns it; "?": it has none */
    const char *message; /**< a sentence */
    /** of MAPS: 0, or the negative errno of the answer or of the program's call */
    int32_t result;
    uint8_t is_channel;  /**< of WIRE: 1, the channel; 0, a main socket */
    uint8_t is_sent;     /**< of WIRE: 1, this process sent it; 0, it was received */
    uint8_t shmid;       /**< of MAPS: the region */
    uint8_t reserved;    /**< 0 */
    uint32_t flags;      /**< of WIRE: flags of the header */
    uint32_t size;       /**< of WIRE: bytes of payload */
    uint64_t shm_offset; /**< of MAPS, bytes */
    uint64_t len;        /**< of MAPS, bytes */
} vhushmem_trace;

/**
 * Called for each trace, in the thread that causes it, with no lock held. The callback must not
 * wait. It must not call functions of the object that the trace is about (and the trace does not
 * name that object).
 */
typedef void (*vhushmem_trace_fn)(const vhushmem_trace *trace, void *user_data);

/**
 * Turn traces on or off for the whole process. The call overrides VHUSHMEM_DEBUG.
 *
 * @param categories  VHUSHMEM_TRACE_*, or'ed; 0: off.
 * @param fn          receives the traces; NULL: they go to GLib's log.
 * @param user_data   handed to fn.
 * @param destroy     called once with user_data: when another call replaces this one and no call of
 *                    fn is under way any more, or before this call returns if it fails or fn is
 *                    NULL; may be NULL.
 * @returns 0, or -EINVAL (an unknown category).
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API int vhushmem_set_debug(uint32_t categories, vhushmem_trace_fn fn, void *user_data,
                                    GDestroyNotify destroy);

/**
 * Return the specification's name of a request ("SET_MEM_TABLE"), without its prefix.
 *
 * @param is_channel  true: a request of the back-end channel, where ids have another meaning.
 * @returns a constant string; NULL: this library knows no name.
 * Thread rule: any thread.  Since: 0.9
 */
VHUSHMEM_API const char *vhushmem_request_name(bool is_channel, uint32_t request);

G_END_DECLS

#endif
