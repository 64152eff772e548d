/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHUSHMEM_TESTS_CHANNEL_SESSION_H
#define VHUSHMEM_TESTS_CHANNEL_SESSION_H

/*
 * The session of the target `channel`: the VMM's actions, and the answers that the back-end is
 * owed.
 */

#include "channel-model.h"

#define LONGEST_PAYLOAD (4096 - 12)
#define LOOK_UP 8

typedef struct answer {
    uint32_t request;
    int64_t value;
    bool has_fd;
} answer;

typedef struct session {
    input *in;
    model model;
    vhushmem_device *device;
    vhushmem_channel *channel;
    bool keeps, has_callback;
    int peer;
    int resets;
    uint64_t sent, older; /* bytes; requests that begin before `older` are older than a reset */
    bool is_lost;         /* because of what was sent */
    answer owed[128];
    int owed_count, unserved;
    int events[VHUSHMEM_EVENT_CONFIG_CHANGE + 1], expected_events;
} session;

static inline void on_event(vhushmem_channel *channel, const vhushmem_event *event, void *user_data)
{
    session *s = user_data;
    CHECK(channel == s->channel);
    CHECK((event->message != NULL) == (event->result != 0));
    s->events[event->type]++;
}

/* The VMM's answer to another request: the first byte of its payload chooses it. */
static inline int vmm_answer(const uint8_t *payload, uint32_t size)
{
    return size == 0 ? 0 : -(int)(payload[0] & 0x7f);
}

static inline int on_request(vhushmem_channel *channel, const vhushmem_other_request *request,
                             void *user_data)
{
    session *s = user_data;
    CHECK(channel == s->channel && request->nfds <= 8);
    for (unsigned i = 0; i < request->nfds; i++) {
        CHECK(fcntl(request->fds[i], F_GETFD) == FD_CLOEXEC);
    }
    vhushmem_channel_dispatch(channel); /* a nested dispatch must do nothing */
    int result = vmm_answer(request->payload, (uint32_t)request->size);
    if (result == 0 && request->size > 1 && ((const uint8_t *)request->payload)[1] == 1) {
        *request->reply_fd = dup(files[PLAIN].fd);
    }
    return result;
}

/* ---- what is owed ---- */

static inline void owe(session *s, uint32_t request, int64_t value, bool has_fd)
{
    CHECK(s->owed_count < (int)(sizeof(s->owed) / sizeof(s->owed[0])));
    s->owed[s->owed_count++] = (answer){request, value, has_fd};
}

static inline void answers_are_as_owed(session *s)
{
    for (int i = 0; i < s->owed_count; i++) {
        message m;
        EQ(receive(s->peer, &m, 0), 1);
        EQ(m.header.request, s->owed[i].request);
        EQ(m.header.flags, 0x5);
        EQ(m.header.size, 8);
        EQ(u64_of(&m), s->owed[i].value);
        EQ(m.fd_count, s->owed[i].has_fd);
        for (int n = 0; n < m.fd_count; n++) {
            close(m.fds[n]);
        }
    }
    s->owed_count = 0;
    char byte;
    ssize_t n = recv(s->peer, &byte, 1, MSG_DONTWAIT);
    CHECK(s->is_lost ? n == 0 || (n < 0 && errno == ECONNRESET) : n < 0 && errno == EAGAIN);
}

static inline void serve(session *s)
{
    s->unserved = 0;
    pump_channel(s->channel);
    CHECK(vhushmem_channel_is_open(s->channel) == !s->is_lost);
    EQ(s->events[VHUSHMEM_EVENT_CHANNEL_LOST], s->is_lost);
    EQ(s->events[VHUSHMEM_EVENT_MAP] + s->events[VHUSHMEM_EVENT_UNMAP] +
           s->events[VHUSHMEM_EVENT_OTHER_REQUEST],
       s->expected_events);
    answers_are_as_owed(s);
}

static inline void lose(session *s)
{
    s->is_lost = true;
    if (!s->keeps) {
        model_forget_all(&s->model);
    }
    serve(s);
}

#endif
