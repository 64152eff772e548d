/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_WINDOW_H
#define VHUSHMEM_VIRTIOFS_WINDOW_H

/*
 * The DAX window: SETUPMAPPING and REMOVEMAPPING become SHMEM_MAP and SHMEM_UNMAP. None of them is
 * waited for. Requests for ranges that do not touch are under way at once; one that touches a range
 * under way waits for it, and those behind it wait too.
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
    bool never_replaces; /* the front-end has refused to put a mapping in another's place */
    bool said_why;       /* a refusal was logged */
    bool is_starting;    /* jobs_start runs */
    struct mappings mappings;
    GQueue active, waiting; /* of struct job */
    unsigned outstanding;   /* maps and unmaps without an outcome */
    uint64_t generation;    /* of the front-end's books: a reset begins a new one */
    uint64_t order;         /* how many chains were held so far */
};

void window_init(struct window *window, vhushmem_backend *backend, struct fs *fs, uint64_t size,
                 bool for_qemu);

/** Only behind vhushmem_backend_free, which tells the outcome of all that is under way. */
void window_destroy(struct window *window);

/** Whether the front-end maps anything at all. */
bool window_is_served(const struct window *window);

/** FUSE_SETUPMAPPING and FUSE_REMOVEMAPPING: operations of request.c. */
int window_setup(struct request *r);
int window_remove(struct request *r);

/** Has all that is mapped undone, behind what is under way. */
void window_clear(struct window *window);

/**
 * The same for a request that is to be answered behind it.
 *
 * @returns 0 if there is nothing to undo, or REQUEST_HELD.
 */
int window_leave(struct request *r);

/** The front-end's mappings are gone: a reset, or the end of the connection. */
void window_lost(struct window *window);

/**
 * A queue stops: its chains are put back, or answered with EIO where they can't be; or (broken) let
 * go of.
 */
void window_queue_stopped(struct window *window, unsigned queue, bool is_broken);

#endif
