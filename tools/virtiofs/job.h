/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_JOB_H
#define VHUSHMEM_VIRTIOFS_JOB_H

/*
 * One request to the window: first the ranges to undo, then the range to map, then the answer.
 */

#include "window.h"

/* The most maps and unmaps at the same time. The library takes 1,024. The rest is for others. */
#define JOB_MOST_OUTSTANDING 512u

enum job_stage {
    JOB_REPLACING, /* a map that replaces another is under way */
    JOB_UNMAPPING, /* ranges are being undone */
    JOB_MAPPING,   /* the map is under way, or comes next */
    JOB_DONE
};

struct range {
    uint64_t at, len;
};

struct job {
    struct window *window;
    vhushmem_chain *chain; /* NULL: no request waits for the job */
    unsigned queue;
    uint64_t unique, order;
    struct range whole; /* all that the job touches */
    bool maps, writable, unmaps_all;
    int fd; /* the file to map; -1 */
    uint64_t inode, offset;
    struct range *ranges; /* to undo, if the job maps nothing and unmaps_all is false */
    size_t count;
    /* Used while the job is under way. */
    enum job_stage stage;
    struct range *undo;
    size_t undo_count, undo_next;
    unsigned outstanding;
    int result;
    uint64_t generation;
    bool is_advancing;
};

/** Give the job to the window. It begins when no other job touches its range. */
void job_submit(struct job *job);

/** Begin all jobs that may begin. */
void jobs_start(struct window *window);

/** Free a job that has not begun. */
void job_free(struct job *job);

/* ---- between job.c and job-asks.c ---- */

/** Take the next step, unless the job waits for a result. It may free the job. */
void job_advance(struct job *job);

/** Ask for the job's map. @returns false: it ended at once, and the job's stage says how. */
bool job_ask_map(struct job *job);

/** Ask to undo the next ranges, as many as may be under way. */
void job_ask_unmaps(struct job *job);

/** Ask to undo all mappings, of all jobs. */
void job_ask_unmap_of_all(struct job *job);

#endif
