/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_VIRTIOFS_JOB_H
#define VHUSHMEM_VIRTIOFS_JOB_H

/*
 * One request to the window on its way: what it still has to undo, then what it has to map, then
 * its answer.
 */

#include "window.h"

/* Maps and unmaps that may be under way. The library takes 1,024; the rest is for other ones. */
#define JOB_MOST_OUTSTANDING 512u

enum job_stage {
    JOB_REPLACING, /* a map in the place of another is under way */
    JOB_UNMAPPING, /* ranges are undone */
    JOB_MAPPING,   /* the map is under way, or about to be */
    JOB_DONE
};

struct range {
    uint64_t at, len;
};

struct job {
    struct window *window;
    vhushmem_chain *chain; /* NULL: nobody waits for it any more, or ever did */
    unsigned queue;
    uint64_t unique, order;
    struct range whole; /* all that it touches */
    bool maps, writable, unmaps_all;
    int fd; /* of the file to map; -1 */
    uint64_t inode, offset;
    struct range *ranges; /* to undo, if it maps nothing and unmaps_all is false */
    size_t count;
    /* While it is under way. */
    enum job_stage stage;
    struct range *undo;
    size_t undo_count, undo_next;
    unsigned outstanding;
    int result;
    uint64_t generation;
    bool is_advancing;
};

/** Hands the job over: it begins when nothing that it touches is under way. */
void job_submit(struct job *job);

/** Begins what may begin. */
void jobs_start(struct window *window);

/** Frees a job that waits and has not begun. */
void job_free(struct job *job);

/* ---- between job.c and job-asks.c ---- */

/** Takes the next step, if nothing that it waits for is under way. It may free the job. */
void job_advance(struct job *job);

/** Asks for the job's map. False: it ended at once, and the job's stage says how. */
bool job_ask_map(struct job *job);

/** Asks for the next of the ranges that are to be undone, as many as may be under way. */
void job_ask_unmaps(struct job *job);

/** Has all that was mapped undone, whoever it was mapped for. */
void job_ask_unmap_of_all(struct job *job);

#endif
