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
 * Fetches the packet's first line for writing. The driver has a copy of it. Without this, a store
 * waits until the other processor's copy is gone. That takes some hundred nanoseconds if the two
 * processors share no cache.
 */
static inline void fetch_to_write(const struct iovec *target)
{
    if (target->iov_len > sizeof(plain_header)) {
        char *line = (char *)target->iov_base + sizeof(plain_header);
#if defined(__x86_64__)
        __asm__ volatile("prefetchw %0"
                         :
                         : "m"(*line)); /* a compiler for all of them fetches to read */
#else
        __builtin_prefetch(line, 1);
#endif
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
