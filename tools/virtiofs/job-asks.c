/* SPDX-License-Identifier: BSD-3-Clause */

/**
 * @file
 * The requests of a job to the front-end. Their results change the job and the window's list of mappings.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "job.h"

#include <errno.h>

#include "statistics.h"

/** Whether the job's view of the window is still right: there was no reset meanwhile. */
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

/** Several requests are sent while the job counts as advancing: a result may come at once, and must not end it. */
static void settle(struct job *job)
{
    job->outstanding--;
    job->window->outstanding--;
    job_advance(job);
}

static void unmapped(struct job *job, struct range range, int result)
{
    /*
     * If the front-end has no such mapping, the aim is reached. A front-end with QEMU's refusals always answers EIO, also for
     * this.
     */
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
    /* If some could not be undone, it is not known which. A later map over one of these is refused. */
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
        /* The front-end does not replace mappings, or does not say why it refuses. So undo the old mapping first. */
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

/** Ask for the job's map. @returns false: the job ended at once. */
bool job_ask_map(struct job *job)
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

void job_ask_unmaps(struct job *job)
{
    struct window *window = job->window;

    /* Ask for one at least, because its result moves the job on. */
    while (job->undo_next < job->undo_count && (window->outstanding < JOB_MOST_OUTSTANDING || job->outstanding == 0)) {
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

/** Ask to undo all mappings, of all jobs. */
void job_ask_unmap_of_all(struct job *job)
{
    int rc = vhushmem_backend_unmap_all_async(job->window->backend, WINDOW_SHMID, on_all_unmapped, job, NULL, NULL);

    if (rc == 0) {
        job->outstanding++;
        job->window->outstanding++;
    } else {
        job->result = rc;
    }
}
