/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * The guest's side of the window: its two requests are checked and become jobs (job.c).
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "window.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "job.h"
#include "request.h"

void window_init(struct window *window, vhushmem_backend *backend, struct fs *fs, uint64_t size, bool for_qemu)
{
    *window = (struct window){
        .backend = backend, .fs = fs, .size = size, .page = (uint64_t)sysconf(_SC_PAGESIZE), .for_qemu = for_qemu};
    window->never_replaces = for_qemu;
}

void window_destroy(struct window *window)
{
    struct job *job;

    while ((job = g_queue_pop_head(&window->waiting)) != NULL) {
        job_free(job);
    }
    while ((job = g_queue_pop_head(&window->active)) != NULL) {
        job_free(job);
    }
    mappings_clear(&window->mappings);
}

bool window_is_served(const struct window *window)
{
    return window->size > 0 && vhushmem_backend_is_negotiated(window->backend);
}

/** Whether a range consists of pages of the window. */
static bool is_range(const struct window *window, uint64_t at, uint64_t len)
{
    return len > 0 && at % window->page == 0 && len % window->page == 0 && at <= window->size && len <= window->size - at;
}

static struct job *new_job(struct window *window, struct request *r)
{
    struct job *job = g_new0(struct job, 1);

    job->window = window;
    job->fd = -1;
    if (r != NULL) {
        job->chain = r->chain;
        job->queue = r->queue;
        job->unique = r->header.unique;
        job->order = window->order++;
    }
    return job;
}

/** Open the file as the mapping needs it: for writing if the guest wants to write, or if QEMU 11.1 must accept the file. */
static int open_for(struct window *window, const struct inode *inode, bool writable)
{
    int fd;

    if (inode->type != S_IFREG) {
        return -ENODEV;
    }
    if (writable || (window->for_qemu && !window->fs->config.read_only)) {
        fd = fs_reopen(window->fs, inode, O_RDWR);
        if (fd >= 0 || writable) {
            return fd;
        }
    }
    return fs_reopen(window->fs, inode, O_RDONLY);
}

int window_setup(struct request *r)
{
    struct window *window = r->window;
    struct fuse_setupmapping_in in;
    struct job *job;
    bool writable;
    int fd;

    memcpy(&in, r->in, sizeof(in));
    if (window == NULL || !r->fs->has_dax) {
        return -ENOSYS;
    }
    writable = (in.flags & FUSE_SETUPMAPPING_FLAG_WRITE) != 0;
    if ((in.flags & ~(uint64_t)(FUSE_SETUPMAPPING_FLAG_WRITE | FUSE_SETUPMAPPING_FLAG_READ)) != 0 ||
        !is_range(window, in.moffset, in.len) || in.foffset % window->page != 0 || in.foffset > INT64_MAX - in.len) {
        return -EINVAL;
    }
    if (writable && r->fs->config.read_only) {
        return -EROFS;
    }
    fd = open_for(window, r->inode, writable);
    if (fd < 0) {
        return fd;
    }
    job = new_job(window, r);
    job->maps = true;
    job->fd = fd;
    job->writable = writable;
    job->inode = r->inode->id;
    job->offset = in.foffset;
    job->whole = (struct range){in.moffset, in.len};
    job_submit(job);
    return REQUEST_HELD;
}

int window_remove(struct request *r)
{
    struct window *window = r->window;
    struct fuse_removemapping_in in;
    struct fuse_removemapping_one one;
    uint64_t low = UINT64_MAX, high = 0;
    struct range *ranges;
    struct job *job;
    bool is_all = false;

    memcpy(&in, r->in, sizeof(in));
    if (window == NULL || !r->fs->has_dax) {
        return -ENOSYS;
    }
    if (in.count > (r->in_size - sizeof(in)) / sizeof(one)) {
        return -EINVAL;
    }
    ranges = g_new(struct range, in.count + 1);
    for (uint32_t i = 0; i < in.count; i++) {
        memcpy(&one, r->in + sizeof(in) + i * sizeof(one), sizeof(one));
        /* Linux's client sends this when it gives up a whole file system. */
        is_all = is_all || (in.count == 1 && one.len == UINT64_MAX);
        if (!is_all && !is_range(window, one.moffset, one.len)) {
            g_free(ranges);
            return -EINVAL;
        }
        ranges[i] = (struct range){one.moffset, one.len};
        low = MIN(low, one.moffset);
        high = MAX(high, one.moffset + one.len);
    }
    if (in.count == 0) {
        g_free(ranges);
        return 0;
    }
    job = new_job(window, r);
    job->unmaps_all = is_all;
    job->ranges = ranges;
    job->count = in.count;
    job->whole = is_all ? (struct range){0, window->size} : (struct range){low, high - low};
    job_submit(job);
    return REQUEST_HELD;
}

static bool is_empty(const struct window *window)
{
    return window->mappings.count == 0 && window->active.length == 0 && window->waiting.length == 0;
}

/** Undo all mappings. If `r` is not NULL, it is answered after that. */
static void clear(struct window *window, struct request *r)
{
    struct job *job = new_job(window, r);

    job->unmaps_all = true;
    job->whole = (struct range){0, window->size};
    job_submit(job);
}

void window_clear(struct window *window)
{
    if (!is_empty(window)) {
        clear(window, NULL);
    }
}

int window_leave(struct request *r)
{
    if (r->window == NULL || is_empty(r->window)) {
        return 0;
    }
    clear(r->window, r);
    return REQUEST_HELD;
}

void window_lost(struct window *window)
{
    window->generation++;
    window->never_replaces = window->for_qemu;
    window->said_why = false;
    mappings_clear(&window->mappings);
}

/* ---- a queue stops ---- */

static gint later_first(gconstpointer a, gconstpointer b)
{
    const struct job *x = *(struct job *const *)a, *y = *(struct job *const *)b;

    return x->order < y->order ? 1 : x->order > y->order ? -1 : 0;
}

/** Add the jobs of a list that have a chain of the queue. */
static void collect(const GQueue *jobs, unsigned queue, GPtrArray *found)
{
    for (GList *link = jobs->head; link != NULL; link = link->next) {
        struct job *job = link->data;

        if (job->chain != NULL && job->queue == queue) {
            g_ptr_array_add(found, job);
        }
    }
}

void window_queue_stopped(struct window *window, unsigned queue, bool is_broken)
{
    GPtrArray *held = g_ptr_array_new();
    bool can_put_back = !is_broken;

    collect(&window->active, queue, held);
    collect(&window->waiting, queue, held);
    /*
     * The last one that was taken comes first. So each can be put back, if no later chain was answered meanwhile. When the
     * queue goes on, the request is taken again. To map the same again changes nothing.
     */
    g_ptr_array_sort(held, later_first);
    for (guint i = 0; i < held->len; i++) {
        struct job *job = held->pdata[i];
        vhushmem_chain *chain = job->chain;

        job->chain = NULL;
        can_put_back = can_put_back && vhushmem_backend_put_back(window->backend, chain, NULL) == 0;
        if (is_broken) {
            vhushmem_chain_free(chain);
        } else if (!can_put_back) {
            request_answer(window->backend, chain, job->unique, -EIO);
        }
        if (g_queue_remove(&window->waiting, job)) {
            job_free(job);
        }
    }
    if (held->len > 0 && !is_broken) {
        vhushmem_backend_notify(window->backend, queue, NULL);
    }
    g_ptr_array_free(held, TRUE);
    jobs_start(window);
}
