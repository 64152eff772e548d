/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_RECONNECT_RIG_H
#define VHUSHMEM_TESTS_RECONNECT_RIG_H

/* A front-end with a path, whose back-ends come and go. Each is a peer that runs a device. */

#include "device-rig.h"

#include <sys/un.h>

typedef struct coming_rig {
    rig r;
    char *directory, *path;
    bool serves;  /* the front-end listens */
    int listener; /* the back-ends listen here if the front-end connects */
    /* A queue whose ring is in the test's memory. */
    uint16_t used[4];
    vhushmem_queue queue;
} coming_rig;

static inline struct sockaddr_un coming_address(coming_rig *c)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", c->path);
    return address;
}

static inline void coming_listen(coming_rig *c)
{
    struct sockaddr_un address = coming_address(c);
    c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(c->listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
          listen(c->listener, 4) == 0);
}

/* A started front-end without a back-end. */
static inline void coming_open(coming_rig *c, bool serves, uint32_t flags)
{
    vhushmem_frontend_options options = {.struct_size = sizeof(options),
                                         .flags = flags | (serves ? VHUSHMEM_FRONTEND_SERVER : 0),
                                         .request_timeout_ms = PATIENCE_MS,
                                         .region = device_rig_region,
                                         .reconnect_ms = 20};
    memset(c, 0, sizeof(*c));
    c->serves = serves;
    c->listener = -1;
    c->directory = new_directory();
    c->path = g_strdup_printf("%s/socket", c->directory);
    c->queue = queue_of(64, 3, 0x10000, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    c->queue.used = c->used;
    if (!serves) {
        coming_listen(c);
    }
    c->r.wire = true;
    c->r.door = "the wire";
    c->r.frontend = some(vhushmem_frontend_new(c->path, &options, &error));
    c->r.device = some(vhushmem_frontend_device(c->r.frontend));
    ok(vhushmem_frontend_set_callback(c->r.frontend, rig_event, &c->r, NULL));
    ok(vhushmem_frontend_start(c->r.frontend, &error));
}

/* A back-end that offers these features comes. The test sets its regions before. */
static inline void coming_prepare(coming_rig *c)
{
    device_status = 0;
    peer_init(&c->r.peer);
    peer_add_region(&c->r.peer, 0, 16 * PAGE);
    c->r.peer.queues = 1;
    c->r.peer.slots = 32;
    c->r.peer.protocol_features = DEVICE_FEATURES;
    c->r.peer.answer = device_answer;
}

static inline void coming_arrive(coming_rig *c)
{
    struct sockaddr_un address = coming_address(c);
    int fd = -1;
    int64_t end = now_ms() + PATIENCE_MS;
    while (fd < 0) {
        CHECK(now_ms() < end);
        if (c->serves) {
            fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
                close(fd);
                fd = -1;
            }
        } else if (wait_readable(c->listener, 5)) {
            fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
        }
        if (wait_readable((int)ok(vhushmem_frontend_get_fd(c->r.frontend)), 5)) {
            vhushmem_frontend_dispatch(c->r.frontend);
        }
    }
    peer_start(&c->r.peer, fd);
}

/* One like the others comes, and the front-end is ready again. */
static inline void coming_ready(coming_rig *c)
{
    int before = c->r.events[VHUSHMEM_EVENT_READY];
    coming_prepare(c);
    coming_arrive(c);
    PUMP_UNTIL(c->r.frontend, c->r.events[VHUSHMEM_EVENT_READY] == before + 1);
    rig_connected(&c->r);
}

/* The back-end dies, and the front-end notices. */
static inline void coming_leave(coming_rig *c)
{
    int before = c->r.events[VHUSHMEM_EVENT_DISCONNECT];
    peer_hang_up(&c->r.peer);
    PUMP_UNTIL(c->r.frontend, c->r.events[VHUSHMEM_EVENT_DISCONNECT] == before + 1);
    peer_end(&c->r.peer);
    c->r.peer.heard_count = 0;
}

/* Called after coming_leave. */
static inline void coming_close(coming_rig *c)
{
    vhushmem_frontend_free(c->r.frontend);
    if (c->listener >= 0) {
        close(c->listener);
        unlink(c->path);
    }
    close(c->queue.kick_fd);
    rmdir(c->directory);
    g_free(c->path);
    g_free(c->directory);
}

#endif
