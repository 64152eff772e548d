/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SET_VRING_ENABLE may come before SET_FEATURES, as QEMU's vhost-user-net sends it. If a front-end leaves bit 30 out of its
 * features, all queues are enabled, except those for which it said something else.
 */
#include "bare-queue.h"

/* Up to SET_OWNER: no features were set, and nothing is acknowledged unless `more` has REPLY_ACK. */
static void connect_without_features(bare_queue *b, uint64_t more)
{
    int pair[2];
    uint64_t features = more | BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(15);
    vhushmem_backend_options options = {.struct_size = sizeof(options), .num_queues = 2};
    vhushmem_backend_handlers handlers = {.struct_size = sizeof(handlers), .queue = bare_queue_event};
    bare_queue_init(b);
    b->r.channel = -1;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    b->r.main = pair[0];
    b->r.backend = some(vhushmem_backend_new(&options, &error));
    ok(vhushmem_backend_set_callback(b->r.backend, backend_rig_event, &b->r, NULL));
    ok(vhushmem_backend_set_handlers(b->r.backend, &handlers, b, NULL, &error));
    ok(vhushmem_backend_attach(b->r.backend, pair[1], &error));
    CHECK(backend_rig_get(&b->r, GET_FEATURES) & BIT(30));
    backend_rig_get(&b->r, GET_PROTOCOL_FEATURES);
    backend_rig_set(&b->r, SET_PROTOCOL_FEATURES, &features, 8, NULL, 0);
    backend_rig_set(&b->r, SET_OWNER, NULL, 0, NULL, 0);
}

static void close_all(bare_queue *b)
{
    backend_rig_close(&b->r);
    bare_queue_close(b);
}

/* There is no answer: only the connection tells whether the message was accepted. */
static void as_qemu_s_network_does(void)
{
    bare_queue b;
    connect_without_features(&b, 0);
    for (uint32_t queue = 0; queue < 2; queue++) {
        uint32_t enable[2] = {queue, 0};
        send_message(b.r.main, SET_VRING_ENABLE, 0x1, enable, sizeof(enable), NULL, 0);
    }
    pump_backend(b.r.backend);
    EQ(b.r.events[VHUSHMEM_BACKEND_DISCONNECT], 0);
    backend_rig_get(&b.r, GET_FEATURES);
    close_all(&b);
}

/* Everything except enabling it. */
static void set_up(bare_queue *b, uint32_t queue)
{
    EQ(tell_vring(b, SET_VRING_NUM, queue, b->size), 0);
    EQ(tell_rings(b, queue, 0, USER + DESC, USER + AVAIL, USER + USED), 0);
    EQ(tell_u64(b, SET_VRING_KICK, queue, b->kick), 0);
}

static void without_bit_30(void)
{
    bare_queue b;
    connect_without_features(&b, BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK));
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
    EQ(tell_u64(&b, SET_FEATURES, BIT(32), -1), 0);
    tell_ram(&b);
    set_up(&b, 0);
    CHECK(!vhushmem_backend_queue_is_running(b.r.backend, 0));
    set_up(&b, 1);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 1));
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));
    /* Bit 30 is about messages. It affects a started queue as little as the log does. */
    EQ(tell_u64(&b, SET_FEATURES, BIT(32) | BIT(30), -1), 0);
    EQ(tell_u64(&b, SET_FEATURES, BIT(30), -1), -EBUSY);
    close_all(&b);
}

/* Messages from before SET_FEATURES count after it. */
static void enabled_first(void)
{
    bare_queue b;
    connect_without_features(&b, BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK));
    EQ(tell_vring(&b, SET_VRING_ENABLE, 1, 1), 0);
    EQ(tell_u64(&b, SET_FEATURES, BIT(32) | BIT(30), -1), 0);
    tell_ram(&b);
    set_up(&b, 1);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 1));
    set_up(&b, 0);
    CHECK(!vhushmem_backend_queue_is_running(b.r.backend, 0));
    close_all(&b);
}

int main(void)
{
    as_qemu_s_network_does();
    without_bit_30();
    enabled_first();
    return 0;
}
