/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_PROBE_RINGS_H
#define VHUSHMEM_PROBE_RINGS_H

/**
 * @file
 * Internals of the driver: probe-driver.c starts and stops it, probe-rings.c makes its requests.
 */

#include "probe-driver.h"

#define PAGE 4096u

struct descriptor {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

/** A request that the device has. */
struct request {
    returned_fn fn;
    void *user_data;
    uint64_t at;       /* where its buffers are in guest memory */
    uint64_t len, out; /* bytes of the buffers, and of those that the device reads */
    uint16_t count;    /* descriptors */
    bool in_use;
};

struct queue {
    uint16_t size, asked, seen;
    uint16_t *free; /* a stack of free descriptors */
    uint16_t nfree;
    int kick, call;
    guint watch;
    struct probe *probe;
    unsigned index;
    uint64_t rings;           /* where the rings begin in guest memory */
    struct request *requests; /* indexed by head */
    bool broken;
};

struct driver {
    uint8_t *ram;
    uint64_t ram_size, buffers; /* the size of guest memory in bytes; where the buffers begin */
    int ram_fd;
    uint64_t features;
    bool features_set, started;
    struct queue *queues;
    unsigned count;
    void (*on_started)(struct probe *, const char *);
    void (*on_stopped)(struct probe *, const uint16_t *, unsigned, const char *);
};

/** Bytes of guest memory that the rings of a queue take. */
uint64_t rings_size(unsigned size);
uint64_t desc_at(const struct queue *q);
uint64_t avail_at(const struct queue *q);
uint64_t used_at(const struct queue *q);
/** Look at the used ring, and give each returned request to its owner. */
void reap_queue(struct probe *probe, struct queue *q);
/** Each request that the device has comes back with an error. */
void fail_requests(struct probe *probe, struct queue *q, const char *message);

#endif
