/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end resets its device. While the queues stop, a handler finds the front-end's memory gone and dispatches, and the
 * connection ends there. The reset then has nothing left to do: no RESET comes after the DISCONNECT, and the front-end that
 * came meanwhile starts from the beginning.
 */
#include "bare-queue.h"
#include "guard-rig.h"

static int next_front_end = -1, resets, disconnects;

static void on_backend_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)user_data;
    if (event->type == VHUSHMEM_BACKEND_DISCONNECT) {
        int pair[2];
        disconnects++;
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        next_front_end = pair[0];
        ok(vhushmem_backend_attach(backend, pair[1], &error));
    } else if (event->type == VHUSHMEM_BACKEND_RESET) {
        resets++;
    }
}

static void end_it(bare_queue *b, vhushmem_queue_event event)
{
    if (event == VHUSHMEM_QUEUE_STOPPED) {
        volatile uint8_t *ram = some(vhushmem_backend_guest_memory(b->r.backend, RAM, 1));
        CHECK(ftruncate(b->ram_fd, 0) == 0);
        EQ(*ram, 0);
        CHECK(vhushmem_backend_dispatch(b->r.backend) >= 0);
        EQ(disconnects, 0); /* it is told after this returns */
    }
}

static void ends_in(uint32_t request, const void *payload, uint32_t size)
{
    bare_queue b;
    message m;
    bare_queue_open(&b, 0);
    EQ(tell_u64(&b, SET_STATUS, 7, -1), 0);
    ok(vhushmem_backend_set_callback(b.r.backend, on_backend_event, NULL, NULL));
    on_queue = end_it;
    resets = disconnects = 0;
    send_message(b.r.main, request, 0x9, payload, size, NULL, 0);
    pump_backend(b.r.backend);
    EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], 1);
    EQ(disconnects, 1);
    EQ(resets, 0);
    CHECK(hung_up(b.r.main, PATIENCE_MS));
    on_queue = NULL;

    EQ(vhushmem_backend_device_status(b.r.backend), 0);
    EQ(vhushmem_backend_features(b.r.backend), 0);
    CHECK(vhushmem_backend_guest_memory(b.r.backend, RAM, 1) == NULL);
    send_message(next_front_end, GET_FEATURES, 0x1, NULL, 0, NULL, 0);
    pump_backend(b.r.backend);
    EQ(receive(next_front_end, &m, PATIENCE_MS), 1);
    EQ(m.header.request, GET_FEATURES);
    ok(vhushmem_backend_set_callback(b.r.backend, NULL, NULL, NULL));
    close(next_front_end);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

int main(void)
{
    char *fds = fds_now();
    const uint32_t queue[2] = {0, 0};
    guard_begin();
    ends_in(RESET_DEVICE, NULL, 0);
    ends_in(SET_STATUS, &(uint64_t){0}, 8);
    ends_in(GET_VRING_BASE, queue, sizeof(queue));
    EQ(sigbus_count, 3);
    same(fds, fds_now());
    return 0;
}
