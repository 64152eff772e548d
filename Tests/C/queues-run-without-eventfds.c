/* SPDX-License-Identifier: BSD-3-Clause */
/* INBAND_NOTIFICATIONS: messages kick and call a queue and report it as broken. CROSS_ENDIAN: one byte order is accepted. */
#include "bare-queue.h"

#define INBAND BIT(14)
#define CROSS_ENDIAN BIT(6)

enum { VRING_CALL = 4, VRING_ERR = 5 };

static bool was_told;

static void echoes(bare_queue *b, vhushmem_queue_event event)
{
    vhushmem_chain *chain;
    if (event != VHUSHMEM_QUEUE_KICKED) {
        return;
    }
    while ((chain = vhushmem_backend_pop(b->r.backend, 0, NULL)) != NULL) {
        EQ(vhushmem_backend_push(b->r.backend, chain, 0, NULL), 0);
    }
    was_told = vhushmem_backend_notify(b->r.backend, 0, NULL) == 1;
}

/* The next message on the channel: of queue 0, without need_reply. */
static void heard(bare_queue *b, uint32_t request)
{
    message m;
    uint32_t state[2];
    EQ(receive(b->r.channel, &m, PATIENCE_MS), 1);
    EQ(m.header.request, request);
    EQ(m.header.flags, 0x1);
    EQ(m.header.size, 8);
    EQ(m.fd_count, 0);
    memcpy(state, m.payload, 8);
    EQ(state[0], 0);
    EQ(state[1], 0);
}

static void open_without(bare_queue *b, uint64_t more)
{
    bare_queue_init(b);
    bare_queue_connect(b, BARE_FEATURES | more);
    tell_ram(b);
    EQ(tell_vring(b, SET_VRING_NUM, 0, b->size), 0);
    EQ(tell_rings(b, 0, 0, USER + DESC, USER + AVAIL, USER + USED), 0);
    EQ(tell_vring(b, SET_VRING_ENABLE, 0, 1), 0);
}

static void close_all(bare_queue *b)
{
    backend_rig_close(&b->r);
    bare_queue_close(b);
}

static void by_messages(void)
{
    bare_queue b;
    open_without(&b, INBAND);
    CHECK(!vhushmem_backend_queue_is_running(b.r.backend, 0));
    set_descriptor(&b, 3, BUFFERS, 4, 0, 0);
    offer(&b, 3);
    /* The first kick starts the queue. */
    EQ(tell_vring(&b, 35, 0, 0), 0);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));
    EQ(taken_back(&b), 3);
    heard(&b, VRING_CALL);
    offer(&b, 3);
    EQ(tell_vring(&b, 35, 0, 0), 0);
    EQ(taken_back(&b), 3);
    heard(&b, VRING_CALL);
    EQ(tell_vring(&b, 35, 2, 0), -EINVAL);
    EQ(tell_vring(&b, 35, UINT32_MAX, 0), -EINVAL);
    /* A descriptor takes precedence over messages. */
    EQ(tell_u64(&b, SET_VRING_CALL, 0, b.call), 0);
    offer(&b, 3);
    EQ(tell_vring(&b, 35, 0, 0), 0);
    EQ(taken_back(&b), 3);
    CHECK(signalled(b.call));
    CHECK(!wait_readable(b.r.channel, 0));
    /* Broken: a message reports it too. A kick of such a queue does nothing. */
    offer(&b, 99);
    EQ(tell_vring(&b, 35, 0, 0), 0);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 1);
    heard(&b, VRING_ERR);
    EQ(tell_vring(&b, 35, 0, 0), 0);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 1);
    close_all(&b);
}

/* A front-end that does not read its channel holds nobody up. It hears later, when it reads. */
static void by_messages_that_nobody_reads(void)
{
    bare_queue b;
    int small = 1, calls = 0, later = 0;
    open_without(&b, INBAND);
    set_descriptor(&b, 3, BUFFERS, 4, 0, 0);
    CHECK(setsockopt(b.r.channel, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0);
    for (; later < 3; calls++) {
        CHECK(calls < 100000);
        offer(&b, 3);
        send_message(b.r.main, 35, 0x1, (uint32_t[2]){0, 0}, 8, NULL, 0);
        pump_backend(b.r.backend);
        EQ(taken_back(&b), 3);
        later += was_told ? 0 : 1;
    }
    /* All missed calls come as one, and the channel works as before. */
    for (int i = 0; i < calls - later + 1; i++) {
        STEP_UNTIL(wait_readable(b.r.channel, 0), pump_backend(b.r.backend));
        heard(&b, VRING_CALL);
    }
    pump_backend(b.r.backend);
    CHECK(!wait_readable(b.r.channel, 20)); /* twice the pause before the next try */
    offer(&b, 3);
    EQ(tell_vring(&b, 35, 0, 0), 0);
    EQ(taken_back(&b), 3);
    heard(&b, VRING_CALL);
    close_all(&b);
}

static void not_agreed_on(void)
{
    bare_queue b;
    open_without(&b, 0);
    EQ(tell_vring(&b, 35, 0, 0), -EOPNOTSUPP);
    EQ(tell_vring(&b, 23, 0, 0), -EOPNOTSUPP);
    CHECK(!vhushmem_backend_queue_is_running(b.r.backend, 0));
    /* The driver is told as soon as it can be. */
    EQ(tell_u64(&b, SET_VRING_KICK, 0, b.kick), 0);
    set_descriptor(&b, 3, BUFFERS, 4, 0, 0);
    offer(&b, 3);
    kick(&b);
    EQ(taken_back(&b), 3);
    CHECK(!wait_readable(b.r.channel, 0));
    EQ(tell_u64(&b, SET_VRING_CALL, 0, b.call), 0);
    CHECK(signalled(b.call));
    close_all(&b);
}

static void byte_orders(void)
{
    bare_queue b;
    open_without(&b, CROSS_ENDIAN);
    EQ(tell_vring(&b, 23, 0, 0), 0);
    EQ(tell_vring(&b, 23, 1, 0), 0);
    EQ(tell_vring(&b, 23, 0, 1), -EOPNOTSUPP);
    EQ(tell_vring(&b, 23, 0, 2), -EINVAL);
    EQ(tell_vring(&b, 23, 2, 0), -EINVAL);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, b.kick), 0);
    EQ(tell_vring(&b, 23, 0, 0), -EBUSY);
    close_all(&b);
}

int main(void)
{
    char *fds = fds_now(), *maps = maps_now();
    bare_queue b;
    on_queue = echoes;
    /* The feature is offered only if the device asks for it. */
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    EQ(backend_rig_get(&b.r, GET_PROTOCOL_FEATURES) & (INBAND | CROSS_ENDIAN), 0);
    close_all(&b);
    bare_queue_offer = UINT64_MAX;
    by_messages();
    by_messages_that_nobody_reads();
    not_agreed_on();
    byte_orders();
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
