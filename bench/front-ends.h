/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_BENCH_FRONT_ENDS_H
#define VHUSHMEM_BENCH_FRONT_ENDS_H

/* Front-ends under a GMainContext. The same thread plays their back-ends. */

#include "wire.h"

#include <pthread.h>
#include <sys/resource.h>

#include <vhushmem/vhushmem.h>

typedef struct front_end {
    vhushmem_frontend *frontend;
    vhushmem_region *region;
    int main;
    int channel;
} front_end;

typedef struct handshake {
    int main;
    int channel;
    uint64_t size;
} handshake;

static inline void *shake_hands_of(void *user_data)
{
    handshake *h = user_data;
    h->channel = shake_hands(h->main, h->size);
    return NULL;
}

static inline void count_event(vhushmem_frontend *frontend, const vhushmem_event *event,
                               void *user_data)
{
    (void)frontend;
    (void)event;
    ++*(uint64_t *)user_data;
}

static uint64_t uncounted;

/* Makes a front-end that is ready and has one region of `pages` pages. */
static inline front_end open_front_end(GMainContext *context, unsigned queues, uint64_t pages)
{
    int pair[2];
    pthread_t back_end;
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .num_queues = queues};
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    handshake h = {.main = pair[1], .channel = -1, .size = pages * (uint64_t)sysconf(_SC_PAGESIZE)};
    MUST(pthread_create(&back_end, NULL, shake_hands_of, &h) == 0);
    front_end f = {.frontend = vhushmem_frontend_new_fd(pair[0], &options, NULL), .main = pair[1]};
    MUST(f.frontend != NULL);
    MUST(vhushmem_frontend_set_callback(f.frontend, count_event, &uncounted, NULL) == 0);
    MUST(vhushmem_frontend_connect(f.frontend, -1, NULL) == 0);
    pthread_join(back_end, NULL);
    f.channel = h.channel;
    f.region = vhushmem_device_find_region(vhushmem_frontend_device(f.frontend), 0);
    GSource *source = vhushmem_frontend_source_new(f.frontend);
    g_source_attach(source, context);
    g_source_unref(source);
    return f;
}

static inline void allow_descriptors(void)
{
    struct rlimit files;
    MUST(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max;
    MUST(setrlimit(RLIMIT_NOFILE, &files) == 0);
}

#endif
