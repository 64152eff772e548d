/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * Jobs of the window: which of them may run, and the next step of each. A job asks for maps and unmaps without waiting
 * (job-asks.c). The results move it on.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "job.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "request.h"

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

/* ---- the steps of a job ---- */

/** Note the mappings in a range. @returns false: with `strictly`, a mapping is only partly in the range. */
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

/** @returns the mapping that has exactly the job's range, or NULL. */
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
        /* One step, so that no vCPU sees a hole: a chunk becomes writable, or gets another file. */
        job->stage = JOB_REPLACING;
        job_ask_map(job);
    } else {
        job->stage = JOB_UNMAPPING;
    }
}

static int compare_ranges(const void *a, const void *b)
{
    const struct range *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at;
}

/** Merge ranges that overlap or touch. So a range that a guest names many times is undone once, and takes the memory of one. */
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
        job_ask_unmap_of_all(job);
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

void job_advance(struct job *job)
{
    if (job->is_advancing) {
        return;
    }
    job->is_advancing = true;
    if (job->stage == JOB_UNMAPPING) {
        job_ask_unmaps(job);
        if (job->outstanding == 0 && job->undo_next == job->undo_count) {
            job->stage = job->maps && job->result == 0 ? JOB_MAPPING : JOB_DONE;
        }
    }
    if (job->stage == JOB_MAPPING && job->outstanding == 0) {
        job_ask_map(job);
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
    if (job->window->outstanding >= JOB_MOST_OUTSTANDING) {
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

    /* A job that ends at once calls this again. Then the loop below goes on, so the stack does not grow. */
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
