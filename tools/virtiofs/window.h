/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_WINDOW_H
#define VHUSHMEM_VIRTIOFS_WINDOW_H

/*
 * The DAX window: SETUPMAPPING and REMOVEMAPPING become SHMEM_MAP and SHMEM_UNMAP, without waiting.
 * Requests for ranges that do not touch run at the same time. A request that touches a range under
 * way waits, and all later requests wait too.
 */

#include <vhushmem/virtqueue.h>

#include "fs.h"
#include "mappings.h"

/* VIRTIO_FS_SHMCAP_ID_CACHE */
#define WINDOW_SHMID 0

struct request;

struct window {
    vhushmem_backend *backend;
    struct fs *fs;
    uint64_t size, page;
    bool for_qemu;
    bool never_replaces; /* the front-end has refused to replace a mapping */
    bool said_why;       /* a refusal was logged */
    bool is_starting;    /* jobs_start is running */
    struct mappings mappings;
    GQueue active, waiting; /* of struct job */
    unsigned outstanding;   /* maps and unmaps without a result */
    uint64_t generation;    /* changes with each reset */
    uint64_t order;         /* the number of chains that were held so far */
};

void window_init(struct window *window, vhushmem_backend *backend, struct fs *fs, uint64_t size,
                 bool for_qemu);

/** Call it after vhushmem_backend_free, which reports the result of each request under way. */
void window_destroy(struct window *window);

/** Whether the front-end serves maps at all. */
bool window_is_served(const struct window *window);

/** FUSE_SETUPMAPPING and FUSE_REMOVEMAPPING: operations of request.c. */
int window_setup(struct request *r);
int window_remove(struct request *r);

/** Undo all mappings, after the requests that are under way. */
void window_clear(struct window *window);

/**
 * The same for a request. Its answer comes after that.
 *
 * @returns 0 if there is nothing to undo, or REQUEST_HELD.
 */
int window_leave(struct request *r);

/** The front-end's mappings have gone: a reset, or the end of the connection. */
void window_lost(struct window *window);

/**
 * A queue stops. Its chains are put back. A chain that cannot be put back is answered with EIO. If
 * the queue is broken, its chains are freed.
 */
void window_queue_stopped(struct window *window, unsigned queue, bool is_broken);

#endif
