/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_LIVES_H
#define VHUSHMEM_TESTS_LIVES_H

/*
 * For the test in which front-ends live in random order: the state of each, and its peer. Some
 * peers speak bytes, some are back-ends of the library, and some go away and come back.
 */

#include "random.h"
#include "rig.h"

#include <sys/un.h>

#include <vhushmem/series.h>

#define LIVES 3
#define PAGES 16
#define DEEPEST 4
#define FEATURES (PROTOCOL_DEFAULTS | BIT(16)) /* and STATUS */

typedef struct life life;

/* The data of callbacks. It outlives the front-end exactly as long as the library needs it. */
typedef struct token {
    life *of;
    bool is_answer, called;
} token;

struct life {
    vhushmem_frontend *frontend; /* NULL: freed */
    /* the library's; NULL: the test writes bytes to `main` and `channel` */
    vhushmem_backend *backend;
    int main, channel, listener_fd; /* listener_fd: of a back-end that comes back, otherwise -1 */
    vhushmem_device *device;        /* referenced */
    vhushmem_region *region;        /* NULL until READY */
    GSource *source;
    MemoryListener listener;
    bool is_listening, is_over;
    int inside_listener;
    token *events;
};

static life lives[LIVES];
static uint64_t state;
static int file;
static char *directory;

static inline uint64_t below(uint64_t limit) { return random_below(&state, limit); }

/* ---- one that is found by a path ---- */

static inline void path_of(const life *l, char *path, size_t size)
{
    snprintf(path, size, "%s/%d", directory, (int)(l - lives));
}

static inline void listen_for(life *l)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    path_of(l, address.sun_path, sizeof(address.sun_path));
    unlink(address.sun_path);
    l->listener_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(bind(l->listener_fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
          listen(l->listener_fd, 8) == 0);
}

/* ---- the other end, where it speaks bytes ---- */

static inline void answer_bytes(life *l, const message *m)
{
    VhostUserShMemConfig config = {.nregions = 1, .memory_sizes = {PAGES * PAGE}};
    uint8_t bytes[64] = {0};
    uint64_t value = 0;
    uint32_t size = 8;
    bool has_reply = true;
    switch (m->header.request) {
    case GET_FEATURES:
        value = VIRTIO_DEFAULTS;
        break;
    case GET_PROTOCOL_FEATURES:
        value = FEATURES;
        break;
    case GET_QUEUE_NUM:
    case GET_MAX_MEM_SLOTS:
        value = 4;
        break;
    case GET_SHMEM_CONFIG:
        try_send_message(l->main, GET_SHMEM_CONFIG, 0x5, &config, sizeof(config), NULL, 0);
        return;
    case GET_CONFIG:
        size = m->header.size < sizeof(bytes) ? m->header.size : sizeof(bytes);
        memcpy(bytes, m->payload, size);
        try_send_message(l->main, GET_CONFIG, 0x5, bytes, size, NULL, 0);
        return;
    case GET_VRING_BASE:
    case GET_STATUS:
        break;
    default:
        has_reply = false;
    }
    if (has_reply || (m->header.flags & VHOST_USER_NEED_REPLY_MASK) != 0) {
        value = has_reply || below(50) ? value : 1;
        try_send_message(l->main, m->header.request, 0x5, &value, size, NULL, 0);
    }
}

static inline void listen_and_answer(life *l)
{
    message m;
    if (l->main < 0 && l->listener_fd >= 0) {
        l->main = accept4(l->listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (l->main >= 0 && l->channel >= 0) {
            close(l->channel);
            l->channel = -1;
        }
    }
    if (l->main < 0 || !wait_readable(l->main, 0)) {
        return;
    }
    if (receive(l->main, &m, 0) != 1) {
        if (l->listener_fd >= 0) {
            close(l->main);
            l->main = -1;
        }
        return;
    }
    if (m.header.request == SET_BACKEND_REQ_FD && m.fd_count == 1 && l->channel < 0) {
        l->channel = m.fds[0];
        m.fd_count = 0;
        CHECK(fcntl(l->channel, F_SETFL, O_NONBLOCK) == 0);
    }
    for (int i = 0; i < m.fd_count; i++) {
        close(m.fds[i]);
    }
    answer_bytes(l, &m);
}

static inline void ask_on_the_channel(life *l, uint32_t request)
{
    uint64_t page = PAGE;
    VhostUserMMap m = mmap_of(0, below(2) * page, below(PAGES) * page, page, below(2));
    if (l->backend != NULL) {
        /* It negotiated no acknowledgements, and so waits for none. */
        (void)(request == MAP
                   ? vhushmem_backend_map(l->backend, 0, file, 0, m.shm_offset, page, 0, NULL)
                   : vhushmem_backend_unmap(l->backend, 0, m.shm_offset, page, NULL));
    } else if (l->channel >= 0) {
        uint8_t bytes[256];
        while (recv(l->channel, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {}
        try_send_message(l->channel, request, below(2) ? 0x9 : 0x1, &m, sizeof(m), &file,
                         request == MAP ? 1 : 0);
    }
}

static inline void hang_up(life *l, bool channel_only)
{
    if (l->backend != NULL && !channel_only) {
        vhushmem_backend *backend = l->backend;
        l->backend = NULL;
        vhushmem_backend_free(backend);
    }
    int *socket = channel_only ? &l->channel : &l->main;
    if (*socket >= 0) {
        close(*socket);
        *socket = -1;
    }
}

#endif
