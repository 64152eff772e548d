/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STOPPED, BROKEN and the device's own answers (get_config, set_status) are callbacks as well. If one turns the loop after
 * another queue was kicked, the device hears of that when the callback has returned, even if the call that called it back was
 * no turn of the loop. The end of a connection does not keep such a loop busy.
 */

#include "bare-queue.h"

static bare_queue b;
static int depth, kicked;
static bool turns, is_ending;

static void turn_the_loop(void)
{
    int before = kicked;
    depth++;
    for (int turn = 0; turns && turn < 5; turn++) {
        vhushmem_backend_dispatch(b.r.backend);
    }
    EQ(kicked, before);
    if (is_ending) {
        CHECK(!wait_readable((int)ok(vhushmem_backend_get_fd(b.r.backend)), 0));
        EQ(vhushmem_backend_poll(b.r.backend, -1), 0);
    }
    depth--;
}

static void on_queue_event(vhushmem_backend *backend, unsigned queue, vhushmem_queue_event event, const char *message,
                           void *user_data)
{
    (void)backend;
    (void)queue;
    (void)message;
    (void)user_data;
    if (event == VHUSHMEM_QUEUE_STARTED || event == VHUSHMEM_QUEUE_KICKED) {
        CHECK(depth == 0);
        kicked += event == VHUSHMEM_QUEUE_KICKED;
    }
    turn_the_loop();
}

static int get_config(vhushmem_backend *backend, uint32_t offset, void *buf, uint32_t len, void *user_data)
{
    (void)backend;
    (void)offset;
    (void)user_data;
    memset(buf, 0, len);
    turn_the_loop();
    return 0;
}

static int set_status(vhushmem_backend *backend, uint8_t status, void *user_data)
{
    (void)backend;
    (void)status;
    (void)user_data;
    turn_the_loop();
    return 0;
}

/* Two queues that run, with one kick for both. */
static void open_both(void)
{
    vhushmem_backend_options options = {.struct_size = sizeof(options), .num_queues = 2, .config_size = 16};
    vhushmem_backend_handlers handlers = {
        .struct_size = sizeof(handlers), .queue = on_queue_event, .get_config = get_config, .set_status = set_status};
    int pair[2];
    turns = false;
    bare_queue_init(&b);
    b.r.channel = -1;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    b.r.main = pair[0];
    b.r.backend = some(vhushmem_backend_new(&options, &error));
    ok(vhushmem_backend_set_callback(b.r.backend, backend_rig_event, &b.r, NULL));
    ok(vhushmem_backend_set_handlers(b.r.backend, &handlers, NULL, NULL, &error));
    ok(vhushmem_backend_add_region(b.r.backend, 0, 16 * PAGE, &error));
    ok(vhushmem_backend_attach(b.r.backend, pair[1], &error));
    backend_rig_shake_hands(&b.r, BARE_FEATURES | BIT(VHOST_USER_PROTOCOL_F_CONFIG));
    tell_ram(&b);
    start_queue(&b, 0);
    EQ(tell_vring(&b, SET_VRING_NUM, 1, b.size), 0);
    EQ(tell_rings(&b, 1, 0, USER + DESC, USER + AVAIL, USER + USED), 0);
    EQ(tell_u64(&b, SET_VRING_KICK, 1, b.kick), 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 1, 1), 0);
    turns = true;
}

/* A message that calls the device back while a kick waits. */
static void message_with_a_kick(uint32_t request, const void *payload, uint32_t size)
{
    open_both();
    int before = kicked;
    write_kick(&b);
    send_message(b.r.main, request, 0x1, payload, size, NULL, 0);
    pump_backend(b.r.backend);
    CHECK(kicked > before);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

int main(void)
{
    const uint32_t stop[2] = {0, 0}, config[4] = {0, 4, 0, 0};
    const uint64_t status = 3;
    message_with_a_kick(GET_VRING_BASE, stop, sizeof(stop));
    message_with_a_kick(GET_CONFIG, config, sizeof(config));
    message_with_a_kick(SET_STATUS, &status, sizeof(status));
    /* BROKEN, and STOPPED at the end. */
    open_both();
    int before = kicked;
    write_kick(&b);
    ok(vhushmem_backend_break_queue(b.r.backend, 0, &error));
    EQ(kicked, before);
    pump_backend(b.r.backend);
    EQ(kicked, before + 1);
    is_ending = true;
    write_kick(&b);
    shutdown(b.r.main, SHUT_RDWR);
    pump_backend(b.r.backend);
    EQ(b.r.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    return 0;
}
