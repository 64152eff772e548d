/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_CHANNEL_RIG_H
#define VHUSHMEM_TESTS_CHANNEL_RIG_H

/* A channel of the library without a front-end. The test has the back-end's end, and plays the
   VMM too. */

#include "rig.h"

typedef struct channel_rig {
    vhushmem_device *device;
    vhushmem_region *region;
    vhushmem_channel *channel;
    int peer;
    int events[VHUSHMEM_EVENT_HEALED + 1];
    vhushmem_event last;
} channel_rig;

static inline void channel_rig_event(vhushmem_channel *channel, const vhushmem_event *event,
                                     void *user_data)
{
    channel_rig *r = user_data;
    CHECK(channel == r->channel);
    r->events[event->type]++;
    r->last = *event;
    r->last.message = NULL;
}

static inline void channel_rig_open(channel_rig *r, const vhushmem_channel_options *options)
{
    int pair[2];
    memset(r, 0, sizeof(*r));
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    r->peer = pair[1];
    r->device = some(vhushmem_device_new(NULL, &error));
    r->region = some(vhushmem_region_new(r->device, 0, 16 * PAGE, NULL, &error));
    r->channel = some(vhushmem_channel_new(pair[0], r->device, options, &error));
    ok(vhushmem_channel_set_callback(r->channel, channel_rig_event, r, NULL));
}

static inline void channel_rig_close(channel_rig *r)
{
    vhushmem_channel_free(r->channel);
    vhushmem_device_unref(r->device);
    if (r->peer >= 0) {
        close(r->peer);
    }
}

static inline void pump_channel(vhushmem_channel *channel)
{
    for (int i = 0; i < 10000 && has_work((int)ok(vhushmem_channel_get_fd(channel))); i++) {
        if (vhushmem_channel_dispatch(channel) == -ENOTCONN) {
            return;
        }
    }
}

/* The answer to one request with need_reply. */
static inline int64_t channel_rig_ask(channel_rig *r, uint32_t request, const void *payload,
                                      uint32_t size, const int *fds, int nfds)
{
    message m;
    send_message(r->peer, request, 0x9, payload, size, fds, nfds);
    pump_channel(r->channel);
    EQ(receive(r->peer, &m, PATIENCE_MS), 1);
    EQ(m.header.request, request);
    EQ(m.header.flags, 0x5);
    EQ(m.header.size, 8);
    return (int64_t)u64_of(&m);
}

static inline int64_t channel_rig_map(channel_rig *r, int fd, uint64_t shm_offset, uint64_t len)
{
    VhostUserMMap m = mmap_of(0, 0, shm_offset, len, 0);
    return channel_rig_ask(r, MAP, &m, sizeof(m), &fd, 1);
}

#endif
