/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_EVENT_H
#define VHUSHMEM_EVENT_H

/**
 * @file
 * The events of a front-end and of a channel, and the requests that their callbacks receive. The
 * callbacks themselves are in frontend.h and channel.h.
 */

#include <vhushmem/base.h>

G_BEGIN_DECLS

/** The type of an event. */
typedef enum vhushmem_event_type {
    /** The handshake is done and the regions are there. It comes again after each reconnection. */
    VHUSHMEM_EVENT_READY = 1,
    /**
     * A SHMEM_MAP was served or refused; the answer, if the back-end asked for one, has been sent.
     */
    VHUSHMEM_EVENT_MAP = 2,
    /**
     * A SHMEM_UNMAP was served or refused; likewise. len is that of the mapping that was undone.
     */
    VHUSHMEM_EVENT_UNMAP = 3,
    /** the back-end sent another request, which was served or refused */
    VHUSHMEM_EVENT_OTHER_REQUEST = 4,
    /** a reset is complete: nothing is mapped and no older request will be served */
    VHUSHMEM_EVENT_RESET = 5,
    /**
     * The back-end channel is closed; nothing can be mapped or unmapped any more. It comes after
     * the mappings are undone, which takes several turns of the loop if there are more than 256.
     */
    VHUSHMEM_EVENT_CHANNEL_LOST = 6,
    /**
     * The connection is over, or there never was one. Without reconnect_ms this is the last event.
     * It comes after the mappings are undone, likewise; the front-end looks for the next back-end
     * only after it.
     */
    VHUSHMEM_EVENT_DISCONNECT = 7,
    /** the device's configuration space has changed: read it again */
    VHUSHMEM_EVENT_CONFIG_CHANGE = 8,
    /**
     * The file of a mapping has lost pages that a guest (vhushmem_resolve_guest_fault) or a thread
     * (guard.h) touched, and they show zeros. Or a page takes no writes, and what is written stays
     * in this process. result is -EIO. The event comes once, until the mapping is HEALED.
     */
    VHUSHMEM_EVENT_BROKEN = 9,
    /** the file of a BROKEN mapping has its pages again, and the mapping shows them */
    VHUSHMEM_EVENT_HEALED = 10
} vhushmem_event_type;

/** An event. It is valid only during the callback. */
typedef struct vhushmem_event {
    uint32_t type; /**< vhushmem_event_type */
    /** 0, or -errno: the answer to a request; the reason why the channel or the connection ended */
    int32_t result;
    uint32_t request; /**< the request's id, for MAP, UNMAP and OTHER_REQUEST */
    /** the region of a MAP, UNMAP, BROKEN or HEALED; the fields below concern the same events */
    uint8_t shmid;
    uint8_t reserved[3]; /**< 0 */
    uint64_t shm_offset;
    uint64_t len;
    uint64_t fd_offset;
    uint64_t flags;
    const char *message; /**< a sentence that says what went wrong; NULL when nothing did */
} vhushmem_event;

/** A request of the back-end besides maps and unmaps. It is valid only during the callback. */
typedef struct vhushmem_other_request {
    uint32_t request;    /**< its id */
    uint32_t flags;      /**< flags of its header: 8 asks for an answer */
    const void *payload; /**< what the back-end sent: do not trust it */
    size_t size;         /**< bytes of payload */
    const int *fds;      /**< closed after the callback: dup those that you keep */
    unsigned nfds;       /**< 0 to 8 */
    /**
     * Holds -1. Store a descriptor here that goes with the answer (SHARED_OBJECT_LOOKUP). It is
     * taken over.
     */
    int *reply_fd;
} vhushmem_other_request;

G_END_DECLS

#endif
