/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHU_THREAD_SHIM_H
#define VHU_THREAD_SHIM_H

/* Threads, and what the library keeps for each thread. */

#include "linux-shim.h"

/* ---- threads (only System/Closer.swift and Region/OrphanedRegions.swift use them) ---- */

/* Starts a detached thread with a small stack and all signals blocked. -1: see errno. */
static inline int vhu_start_thread(void *(*run)(void *))
{
    enum { STACK = 128 << 10 };
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_setstacksize(&attributes, STACK);
    int error = pthread_create(&thread, &attributes, run, NULL);
    if (error == EINVAL) { /* the program's thread-local memory needs a larger stack */
        pthread_attr_destroy(&attributes);
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        error = pthread_create(&thread, &attributes, run, NULL);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    errno = error;
    return error == 0 ? 0 : -1;
}
static inline void vhu_name_thread(const char *name) { prctl(PR_SET_NAME, name); }
static inline void vhu_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    pthread_atfork(prepare, parent, child);
}

/* ---- pauses (only Region/Region+UnmapPieces.swift uses them) ---- */

/* Sleeps. A signal ends it. */
static inline void vhu_pause(long nanoseconds)
{
    struct timespec length = {.tv_nsec = nanoseconds};
    syscall(SYS_ppoll, NULL, 0, &length, NULL, 0);
}

/* ---- a thread's open transaction (only Series/MemoryTransaction.swift uses it) ---- */

struct vhu_transaction {
    unsigned depth;
    void *pending;
};
static inline struct vhu_transaction *vhu_thread_transaction(void)
{
    static __thread struct vhu_transaction transaction;
    return &transaction;
}

/* ---- turns of the calling thread's loop (only Transport/Turn.swift uses them) ---- */

/* The number of turns so far. */
static inline uint32_t *vhu_turns(void)
{
    static __thread uint32_t turns;
    return &turns;
}

static inline uint32_t vhu_next_turn(void) { return ++*vhu_turns(); }

#endif
