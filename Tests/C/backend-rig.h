/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_BACKEND_RIG_H
#define VHUSHMEM_TESTS_BACKEND_RIG_H

/*
 * A back-end of the library with a front-end that speaks bytes. The test sends the handshake
 * message by message. A thread answers the back-end's requests on its channel, because the back-end
 * waits for the answers.
 */

#include "peer.h"

static inline void pump_backend(vhushmem_backend *backend)
{
    for (int i = 0; i < 10000 && has_work((int)ok(vhushmem_backend_get_fd(backend))); i++) {
        if (vhushmem_backend_dispatch(backend) == -ENOTCONN) {
            return;
        }
    }
}

typedef struct backend_rig {
    vhushmem_backend *backend;
    int main;    /* the front-end's end */
    int channel; /* likewise */
    bool need_reply;
    int events[5];
} backend_rig;

static inline void backend_rig_event(vhushmem_backend *backend, const vhushmem_backend_event *event,
                                     void *user_data)
{
    backend_rig *r = user_data;
    CHECK(backend == r->backend);
    CHECK(event->type >= 1 && event->type <= 4);
    CHECK((event->message != NULL) == (event->type == VHUSHMEM_BACKEND_DISCONNECT));
    r->events[event->type]++;
}

/* Sends a request and takes the answer: one message with the same id, flags 0x5 and no
   descriptor. */
static inline message backend_rig_ask(backend_rig *r, uint32_t request, const void *payload,
                                      uint32_t size, const int *fds, int fd_count)
{
    message m;
    send_message(r->main, request, r->need_reply ? 0x9 : 0x1, payload, size, fds, fd_count);
    pump_backend(r->backend);
    EQ(receive(r->main, &m, PATIENCE_MS), 1);
    EQ(m.header.request, request);
    EQ(m.header.flags, 0x5);
    EQ(m.fd_count, 0);
    CHECK(!wait_readable(r->main, 0));
    return m;
}

static inline uint64_t backend_rig_get(backend_rig *r, uint32_t request)
{
    message m = backend_rig_ask(r, request, NULL, 0, NULL, 0);
    EQ(m.header.size, 8);
    return u64_of(&m);
}

/* A request without a reply of its own. If REPLY_ACK was negotiated, the answer must be 0. */
static inline void backend_rig_set(backend_rig *r, uint32_t request, const void *payload,
                                   uint32_t size, const int *fds, int fd_count)
{
    if (r->need_reply) {
        message m = backend_rig_ask(r, request, payload, size, fds, fd_count);
        EQ(m.header.size, 8);
        EQ(u64_of(&m), 0);
    } else {
        send_message(r->main, request, 0x1, payload, size, fds, fd_count);
        pump_backend(r->backend);
    }
}

/* A back-end with region 0 of this many bytes, on a socket pair. Nothing has been sent yet. */
static inline void backend_rig_new(backend_rig *r, uint64_t size,
                                   const vhushmem_backend_options *options)
{
    int pair[2];
    memset(r, 0, sizeof(*r));
    r->channel = -1;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    r->main = pair[0];
    r->backend = some(vhushmem_backend_new(options, &error));
    ok(vhushmem_backend_set_callback(r->backend, backend_rig_event, r, NULL));
    ok(vhushmem_backend_add_region(r->backend, 0, size, &error));
    ok(vhushmem_backend_attach(r->backend, pair[1], &error));
}

/* The handshake, with these protocol features accepted. */
static inline void backend_rig_shake_hands(backend_rig *r, uint64_t protocol_features)
{
    int pair[2];
    CHECK((backend_rig_get(r, GET_FEATURES) & BIT(VHOST_USER_F_PROTOCOL_FEATURES)) != 0);
    uint64_t offered = backend_rig_get(r, GET_PROTOCOL_FEATURES);
    EQ(protocol_features & ~offered, 0);
    backend_rig_set(r, SET_PROTOCOL_FEATURES, &protocol_features, 8, NULL, 0);
    r->need_reply = (protocol_features & BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK)) != 0;
    if (protocol_features & BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ)) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        r->channel = pair[0];
        backend_rig_set(r, SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
        close(pair[1]);
    }
    backend_rig_set(r, SET_OWNER, NULL, 0, NULL, 0);
    uint64_t features = VIRTIO_DEFAULTS;
    backend_rig_set(r, SET_FEATURES, &features, 8, NULL, 0);
}

#define BACKEND_RIG_FEATURES                                                                       \
    (BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |               \
     BIT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD) | BIT(VHOST_USER_PROTOCOL_F_SHMEM))

static inline void backend_rig_open(backend_rig *r, uint64_t size,
                                    const vhushmem_backend_options *options)
{
    backend_rig_new(r, size, options);
    backend_rig_shake_hands(r, BACKEND_RIG_FEATURES);
    CHECK(vhushmem_backend_is_negotiated(r->backend));
}

static inline void backend_rig_close(backend_rig *r)
{
    vhushmem_backend_free(r->backend);
    close(r->main);
    if (r->channel >= 0) {
        close(r->channel);
    }
}

/* ---- one request of the back-end, heard and answered by a thread ---- */

typedef struct answerer {
    int channel;
    bool mute;        /* hear, and say nothing */
    bool hang_up;     /* hear, and close */
    uint32_t request; /* the request id in the answer; 0: the request's own */
    uint32_t flags;   /* the flags in the answer; 0: 0x5 */
    uint64_t value;
    message heard; /* the test owns its fds */
    pthread_t thread;
} answerer;

static inline void *answerer_run(void *user_data)
{
    answerer *a = user_data;
    EQ(receive(a->channel, &a->heard, PATIENCE_MS), 1);
    if (a->hang_up) {
        shutdown(a->channel, SHUT_RDWR);
    } else if (!a->mute) {
        send_message(a->channel, a->request != 0 ? a->request : a->heard.header.request,
                     a->flags != 0 ? a->flags : 0x5, &a->value, 8, NULL, 0);
    }
    return NULL;
}

static inline void answerer_start(answerer *a)
{
    CHECK(pthread_create(&a->thread, NULL, answerer_run, a) == 0);
}

static inline void answerer_end(answerer *a)
{
    pthread_join(a->thread, NULL);
    for (int i = 0; i < a->heard.fd_count; i++) {
        close(a->heard.fds[i]);
    }
}

#endif
