/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_BACKEND_OPTIONS_H
#define VHUSHMEM_BACKEND_OPTIONS_H

/**
 * @file
 * The options of a back-end.
 */

#include <vhushmem/base.h>

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
     * messages kick and call the queues without eventfds; it counts as not accepted if the
     * front-end does not also accept BACKEND_REQ and REPLY_ACK.
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
     * It also refuses what QEMU never grants: a map of a file that is open only for reading
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

G_END_DECLS

#endif
