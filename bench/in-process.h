/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_BENCH_IN_PROCESS_H
#define VHUSHMEM_BENCH_IN_PROCESS_H

/*
 * A front-end under a GMainContext, and its back-end, in one thread. So all that is counted is the
 * cost of one request.
 */

#include "wire.h"

#include <pthread.h>

#include <vhushmem/vhushmem.h>

#define LIVE 64
#define SLOTS (2 * LIVE)

typedef struct in_process {
    uint64_t page;
    GMainContext *context;
    vhushmem_frontend *frontend;
    vhushmem_device *device;
    int file;
    int main;
    int channel;
} in_process;

static inline void *shake_hands_for(void *user_data)
{
    in_process *p = user_data;
    p->channel = shake_hands(p->main, SLOTS * p->page);
    return NULL;
}

static inline void ignore_event(vhushmem_frontend *frontend, const vhushmem_event *event,
                                void *user_data)
{
    (void)frontend;
    (void)event;
    (void)user_data;
}

/*
 * The first half of the slots have a mapping. `adorn`, if it is not NULL, gets the GSource before
 * it is attached.
 */
static inline void in_process_open(in_process *p, void (*adorn)(GSource *))
{
    int pair[2];
    pthread_t back_end;
    p->page = (uint64_t)sysconf(_SC_PAGESIZE);
    p->file = file_of(p->page);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    p->main = pair[1];
    MUST(pthread_create(&back_end, NULL, shake_hands_for, p) == 0);
    p->frontend = vhushmem_frontend_new_fd(pair[0], NULL, NULL);
    MUST(p->frontend != NULL);
    MUST(vhushmem_frontend_set_callback(p->frontend, ignore_event, NULL, NULL) == 0);
    MUST(vhushmem_frontend_connect(p->frontend, -1, NULL) == 0);
    pthread_join(back_end, NULL);
    p->device = vhushmem_frontend_device(p->frontend);
    p->context = g_main_context_new();
    GSource *source = vhushmem_frontend_source_new(p->frontend);
    if (adorn != NULL) {
        adorn(source);
    }
    g_source_attach(source, p->context);
    g_source_unref(source);
    vhushmem_region *region = vhushmem_device_find_region(p->device, 0);
    for (uint64_t slot = 0; slot < LIVE; slot++) {
        MUST(vhushmem_region_map(region, p->file, 0, slot * p->page, p->page, 0, NULL) == 0);
    }
}

static inline void in_process_close(in_process *p)
{
    vhushmem_frontend_free(p->frontend);
    g_main_context_unref(p->context);
    close(p->channel);
    close(p->main);
    close(p->file);
}

/* One turn of the loop. There must be something to do. */
static inline void turn(in_process *p) { g_main_context_iteration(p->context, FALSE); }

static inline void map_by_the_wire(in_process *p, uint64_t slot)
{
    send_map(p->channel, true, slot * p->page, p->page, p->file);
}

static inline void unmap_by_the_wire(in_process *p, uint64_t slot)
{
    send_unmap(p->channel, true, slot * p->page, p->page);
    turn(p);
    take_answer(p->channel);
}

static inline VhostUserMMap mapping_at(const in_process *p, uint64_t slot)
{
    VhostUserMMap map = {
        .shm_offset = slot * p->page, .len = p->page, .flags = VHOST_USER_FLAG_MAP_RW};
    return map;
}

/* A free slot. It is another one each time. */
static inline uint64_t free_slot(uint64_t i) { return LIVE + i % (SLOTS - LIVE); }

#endif
