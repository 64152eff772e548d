/* SPDX-License-Identifier: BSD-3-Clause */
/* The work of a device that sends packets back, with any library. */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include "measure.h"

#include <sys/uio.h>

#define BURST 32
#define IDLE 256 /* the sockets are served after so many turns */

enum { RECEIVE = 0, SEND = 1 };

/* VIRTIO 1.2, 5.1.6: it asks for nothing, and the packet has one buffer. */
static const struct {
    uint8_t flags, gso_type;
    uint16_t lengths[4], num_buffers;
} plain_header = {.num_buffers = 1};

/*
 * Writes a byte to the packet's first line. The driver has a copy of that line, and a store waits
 * until the other processor's copy is gone: 30 ns, or 160 if the two share no cache. Stores to
 * several lines, one after the other, wait together. The copies of whole packets do not: each has
 * several stores, and the processor holds back only 64.
 */
static inline void touch(const struct iovec *target)
{
    if (target->iov_len > sizeof(plain_header)) {
        ((volatile char *)target->iov_base)[sizeof(plain_header)] = 0;
    }
}

/*
 * Copies a packet from one buffer of the driver to another. It reads no header, since none asks for
 * anything. It writes a header only where another one is. So both processors keep the lines of the
 * headers in their caches. Returns how many bytes the target has then; 0: the packet does not fit.
 */
static inline uint32_t copy_packet(const struct iovec *source, const struct iovec *target)
{
    if (source->iov_len > target->iov_len || source->iov_len < sizeof(plain_header)) {
        return 0;
    }
    if (memcmp(target->iov_base, &plain_header, sizeof(plain_header)) != 0) {
        memcpy(target->iov_base, &plain_header, sizeof(plain_header));
    }
    memcpy((char *)target->iov_base + sizeof(plain_header),
           (const char *)source->iov_base + sizeof(plain_header),
           source->iov_len - sizeof(plain_header));
    return (uint32_t)source->iov_len;
}

#endif
