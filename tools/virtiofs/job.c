/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Jobs of the window: maps and unmaps are asked for without waiting, and the outcome moves the job on.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "job.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "request.h"
#include "statistics.h"

/* The library takes 1,024; the rest is for what the program asks for besides. */
#define MOST_OUTSTANDING 512u

static void job_advance(struct job *job);

void job_free(struct job *job)
{
    if (job->chain != NULL) {
        vhushmem_chain_free(job->chain);
    }
    if (job->fd >= 0) {
        close(job->fd);
    }
    g_free(job->ranges);
    g_free(job->undo);
    g_free(job);
}

static void job_finish(struct job *job)
{
    struct window *window = job->window;

    if (job->chain != NULL) {
        request_answer(window->backend, job->chain, job->unique, job->result);
        vhushmem_backend_notify(window->backend, job->queue, NULL);
        job->chain = NULL;
    }
    g_queue_remove(&window->active, job);
    job_free(job);
    jobs_start(window);
}

/** Whether what the job knows of the window is still so: no reset came between. */
static bool is_current(const struct job *job) { return job->generation == job->window->generation; }

static void say_why(struct window *window, int result, const char *message)
{
    if (!window->said_why && result != -ENOTCONN && result != -ECANCELED) {
        window->said_why = true;
        g_message("the front-end refuses a mapping with errno %d (%s)%s", -result, message != NULL ? message : "",
                  result == -EOVERFLOW ? "; virtiofs needs mappings beyond the end of a file: "
                                         "vhushmem_region_options_for_dax sets a region up for it"
                                       : "");
    }
}

/* ---- outcomes ---- */

struct ask {
    struct job *job;
    struct range range;
};

static struct ask *new_ask(struct job *job, struct range range)
{
    struct ask *ask = g_new(struct ask, 1);

    *ask = (struct ask){job, range};
    return ask;
}

/** The job counts as advancing while several are asked for: an outcome may come at once, and must not end it. */
static void settle(struct job *job)
{
    job->outstanding--;
    job->window->outstanding--;
    job_advance(job);
}

static void unmapped(struct job *job, struct range range, int result)
{
    /* A front-end that has no such mapping has what was asked for. One with QEMU's refusals, all EIO, may be such a one. */
    bool is_gone = result == 0 || result == -ENOENT || (job->window->for_qemu && result == -EIO);

    if (is_current(job) && is_gone) {
        mappings_remove(&job->window->mappings, range.at, range.len);
    }
    if (!is_gone && job->result == 0) {
        job->result = result;
    }
}

static void on_unmapped(vhushmem_backend *backend, int result, const char *message, void *user_data)
{
    struct ask *ask = user_data;

    (void)backend;
    (void)message;
    unmapped(ask->job, ask->range, result);
    settle(ask->job);
}

static void on_all_unmapped(vhushmem_backend *backend, int result, const char *message, void *user_data)
{
    struct job *job = user_data;

    (void)backend;
    (void)message;
    /* Where not all were undone it is not known which are left; to map over one of these is refused. */
    if (is_current(job)) {
        mappings_clear(&job->window->mappings);
    }
    if (result < 0 && job->result == 0) {
        job->result = result;
    }
    settle(job);
}

static void mapped(struct job *job, int result, const char *message)
{
    struct window *window = job->window;

    if (job->stage == JOB_REPLACING && (result == -EEXIST || result == -EINVAL || result == -EIO)) {
        /* The front-end puts none in another's place, or does not say why it refuses: undo the old one first. */
        window->never_replaces = true;
        job->stage = JOB_UNMAPPING;
        return;
    }
    job->result = result;
    if (result == 0 && is_current(job)) {
        if (job->stage == JOB_REPLACING) {
            mappings_remove(&window->mappings, job->whole.at, job->whole.len);
        }
        mappings_add(&window->mappings,
                     (struct mapping){job->whole.at, job->whole.len, job->inode, job->offset, job->writable});
        statistics_mapped(window->mappings.count);
    } else if (result != 0) {
        say_why(window, result, message);
    }
    job->stage = JOB_DONE;
}

static void on_mapped(vhushmem_backend *backend, int result, const char *message, void *user_data)
{
    struct ask *ask = user_data;

    (void)backend;
    mapped(ask->job, result, message);
    settle(ask->job);
}

/* ---- asking ---- */

/** Asks for the job's map. False: it ended at once. */
static bool ask_map(struct job *job)
{
    struct window *window = job->window;
    GError *error = NULL;
    int rc = vhushmem_backend_map_async(window->backend, WINDOW_SHMID, job->fd, job->offset, job->whole.at, job->whole.len,
                                        job->writable ? VHOST_USER_FLAG_MAP_RW : 0, on_mapped, new_ask(job, job->whole), g_free,
                                        &error);

    if (rc == 0) {
        job->outstanding++;
        window->outstanding++;
        return true;
    }
    mapped(job, rc, error != NULL ? error->message : NULL);
    g_clear_error(&error);
    return false;
}

static void ask_unmaps(struct job *job)
{
    struct window *window = job->window;

    /* At least one, since its outcome moves the job on. */
    while (job->undo_next < job->undo_count && (window->outstanding < MOST_OUTSTANDING || job->outstanding == 0)) {
        struct range range = job->undo[job->undo_next++];
        int rc = vhushmem_backend_unmap_async(window->backend, WINDOW_SHMID, range.at, range.len, on_unmapped,
                                              new_ask(job, range), g_free, NULL);

        if (rc == 0) {
            job->outstanding++;
            window->outstanding++;
        } else {
            unmapped(job, range, rc);
        }
    }
}

/** Has all that was mapped undone, whoever it was mapped for. */
static void ask_unmap_of_all(struct job *job)
{
    int rc = vhushmem_backend_unmap_all_async(job->window->backend, WINDOW_SHMID, on_all_unmapped, job, NULL, NULL);

    if (rc == 0) {
        job->outstanding++;
        job->window->outstanding++;
    } else {
        job->result = rc;
    }
}

/* ---- a job's way ---- */

/** Notes what is mapped in a range. False: a mapping is in it only in part, and `strictly` so. */
static bool note(struct job *job, struct range range, bool strictly)
{
    const struct mappings *m = &job->window->mappings;
    size_t first = mappings_find(m, range.at), count = mappings_below(m, first, range.at + range.len);

    job->undo = g_renew(struct range, job->undo, job->undo_count + count);
    for (size_t i = first; i < first + count; i++) {
        const struct mapping *mapping = &m->all[i];

        if (strictly && (mapping->at < range.at || mapping->at + mapping->len > range.at + range.len)) {
            return false;
        }
        job->undo[job->undo_count++] = (struct range){mapping->at, mapping->len};
    }
    return true;
}

/** The mapping that has exactly the job's range, or NULL. */
static const struct mapping *same_place(const struct job *job)
{
    const struct mappings *m = &job->window->mappings;
    size_t i = mappings_find(m, job->whole.at);

    return i < m->count && m->all[i].at == job->whole.at && m->all[i].len == job->whole.len ? &m->all[i] : NULL;
}

static void begin_map(struct job *job)
{
    const struct mapping *same = same_place(job);

    if (same != NULL && same->inode == job->inode && same->offset == job->offset && (same->writable || !job->writable)) {
        job->stage = JOB_DONE;
        return;
    }
    note(job, job->whole, false);
    if (job->undo_count == 0 && job->window->mappings.count + job->window->outstanding >= MOST_MAPPINGS) {
        job->result = -ENOSPC;
        job->stage = JOB_DONE;
    } else if (same != NULL && !job->window->never_replaces) {
        /* In one step, so that no vCPU sees a hole: a chunk becomes writable, or is another file's. */
        job->stage = JOB_REPLACING;
        ask_map(job);
    } else {
        job->stage = JOB_UNMAPPING;
    }
}

static int compare_ranges(const void *a, const void *b)
{
    const struct range *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at;
}

/** Makes one range of those that overlap or touch: what a guest names many times is undone once, and takes the memory of once. */
static void merge_ranges(struct job *job)
{
    size_t last = 0;

    qsort(job->ranges, job->count, sizeof(*job->ranges), compare_ranges);
    for (size_t i = 1; i < job->count; i++) {
        struct range *into = &job->ranges[last], next = job->ranges[i];

        if (next.at <= into->at + into->len) {
            into->len = MAX(into->len, next.at + next.len - into->at);
        } else {
            job->ranges[++last] = next;
        }
    }
    job->count = last + 1;
}

static void begin_unmaps(struct job *job)
{
    job->stage = JOB_UNMAPPING;
    if (job->unmaps_all) {
        ask_unmap_of_all(job);
        return;
    }
    merge_ranges(job);
    for (size_t i = 0; i < job->count; i++) {
        if (!note(job, job->ranges[i], true)) {
            /* Nothing was undone yet. */
            job->undo_count = 0;
            job->result = -EINVAL;
            break;
        }
    }
}

static void job_begin(struct job *job)
{
    g_queue_push_tail(&job->window->active, job);
    job->generation = job->window->generation;
    if (job->maps) {
        begin_map(job);
    } else {
        begin_unmaps(job);
    }
    job_advance(job);
}

static void job_advance(struct job *job)
{
    if (job->is_advancing) {
        return;
    }
    job->is_advancing = true;
    if (job->stage == JOB_UNMAPPING) {
        ask_unmaps(job);
        if (job->outstanding == 0 && job->undo_next == job->undo_count) {
            job->stage = job->maps && job->result == 0 ? JOB_MAPPING : JOB_DONE;
        }
    }
    if (job->stage == JOB_MAPPING && job->outstanding == 0) {
        ask_map(job);
    }
    job->is_advancing = false;
    if (job->stage == JOB_DONE && job->outstanding == 0) {
        job_finish(job);
    }
}

/* ---- which jobs may run ---- */

static bool touches(struct range a, struct range b) { return a.at < b.at + b.len && b.at < a.at + a.len; }

static bool may_begin(const struct job *job)
{
    if (job->window->outstanding >= MOST_OUTSTANDING) {
        return false;
    }
    for (const GList *link = job->window->active.head; link != NULL; link = link->next) {
        if (touches(job->whole, ((const struct job *)link->data)->whole)) {
            return false;
        }
    }
    return true;
}

void jobs_start(struct window *window)
{
    struct job *job;

    /* A job that ends at once comes here again: the loop goes on, and the stack does not grow. */
    if (window->is_starting) {
        return;
    }
    window->is_starting = true;
    while ((job = g_queue_peek_head(&window->waiting)) != NULL && may_begin(job)) {
        g_queue_pop_head(&window->waiting);
        job_begin(job);
    }
    window->is_starting = false;
}

void job_submit(struct job *job)
{
    g_queue_push_tail(&job->window->waiting, job);
    jobs_start(job->window);
}
