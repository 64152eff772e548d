/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_FRONTEND_OPTIONS_H
#define VHUSHMEM_FRONTEND_OPTIONS_H

/**
 * @file
 * The options of a front-end.
 */

#include <vhushmem/base.h>
#include <vhushmem/device.h>
#include <vhushmem/region-options.h>

G_BEGIN_DECLS

/** Flags of a front-end. */
enum {
    /** listen at the path and take the first back-end that connects */
    VHUSHMEM_FRONTEND_SERVER = 1 << 0,
    /** keep the mappings when the back-end goes away; default: drop them */
    VHUSHMEM_FRONTEND_KEEP_MAPPINGS = 1 << 1,
    /** the device has no state besides its queues: it can migrate without DEVICE_STATE */
    VHUSHMEM_FRONTEND_STATELESS = 1 << 2,
    /**
     * The flags of a SHMEM_MAP have their meaning of versions 1 to 4 of the series: 1 asks for
     * reading, 2 for writing. If shmem_bit is 20, this is the default.
     */
    VHUSHMEM_FRONTEND_FIRST_MAP_FLAGS = 1 << 3,
    /**
     * The flags of a SHMEM_MAP have today's meaning, also if shmem_bit is 20: 1 asks for writing
     * (versions 5 to 11 of the series). Do not set both flags.
     */
    VHUSHMEM_FRONTEND_CURRENT_MAP_FLAGS = 1 << 4
};

/**
 * Options of a new front-end. Set struct_size to sizeof(vhushmem_frontend_options). A field that is
 * 0 means its default.
 */
typedef struct vhushmem_frontend_options {
    uint32_t struct_size;
    uint32_t flags; /**< VHUSHMEM_FRONTEND_*, or'ed */
    /** the protocol feature bit that means SHMEM: 22 (0 means 22), or 20 or 21 for old back-ends */
    uint32_t shmem_bit;
    /** virtqueues that the VMM will use, 1 to 256: each gets its call and err eventfd; 0 means 1 */
    uint32_t num_queues;
    /** how long the back-end may take to answer a request; 0 means 10,000 */
    uint32_t request_timeout_ms;
    /** how long a message may take from its first byte to its last; 0 means 5,000 */
    uint32_t message_timeout_ms;
    /** protocol features to accept if offered; 0 means all that this library knows */
    uint64_t protocol_features;
    const vhushmem_device_options *device; /**< quotas of the device; NULL means the defaults */
    const vhushmem_region_options *region; /**< options of each region; NULL means the defaults */
    /**
     * the table of objects that its back-end shares with others; referenced; NULL: it shares none
     */
    vhushmem_shared_objects *shared_objects;
    /** bytes of configuration space that the program may ask for, at most 65536; 0 means 256 */
    uint32_t max_config_size;
    /** how long to wait before each attempt to find a lost back-end again; 0: never try */
    uint32_t reconnect_ms;
    /**
     * How long a blocking call may take as a whole, however many requests it makes. A call that
     * takes longer ends the connection with -ETIMEDOUT. (If a descriptor cannot be sent, only the
     * call fails, with -ETOOMANYREFS: see request.h.) 0: as long as its requests may take.
     */
    uint32_t call_timeout_ms;
    /**
     * The least answer to GET_QUEUE_NUM; with a smaller one the handshake ends with EPROTO. 0 means
     * num_queues. Back-ends of network devices may count pairs of queues there: with 2 pairs and a
     * control queue, set num_queues to 5 and min_queue_num to 2.
     */
    uint32_t min_queue_num;
} vhushmem_frontend_options;

G_END_DECLS

#endif
