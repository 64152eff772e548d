/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device asks for a mapping when it is told that a queue has started. The front-end enables another queue before it
 * answers. The device is told of that one too, though nothing else happens: no kick comes, and no message.
 */
#include "bare-queue.h"

/* The front-end hears the request, enables queue 0, and only then answers. */
static void *enable_and_answer(void *user_data)
{
    bare_queue *b = user_data;
    message asked, m;
    const uint64_t done = 0;
    const uint32_t enable[2] = {0, 1};
    EQ(receive(b->r.channel, &asked, PATIENCE_MS), 1);
    for (int i = 0; i < asked.fd_count; i++) {
        close(asked.fds[i]);
    }
    send_message(b->r.main, SET_VRING_ENABLE, 0x9, enable, sizeof(enable), NULL, 0);
    EQ(receive(b->r.main, &m, PATIENCE_MS), 1); /* of queue 1: it was answered before the device was told */
    EQ(receive(b->r.main, &m, PATIENCE_MS), 1);
    EQ(m.header.request, SET_VRING_ENABLE);
    EQ(u64_of(&m), 0);
    send_message(b->r.channel, asked.header.request, 0x5, &done, 8, NULL, 0);
    return NULL;
}

static void map_when_the_first_starts(bare_queue *b, vhushmem_queue_event event)
{
    if (event == VHUSHMEM_QUEUE_STARTED && b->seen[event] == 1) {
        pthread_t front_end;
        int fd = memfd_of(PAGE, 1);
        CHECK(pthread_create(&front_end, NULL, enable_and_answer, b) == 0);
        ok(vhushmem_backend_map(b->r.backend, 0, fd, 0, 0, PAGE, 0, &error));
        pthread_join(front_end, NULL);
        close(fd);
    }
}

static void set_up(bare_queue *b, unsigned queue, int kick)
{
    EQ(tell_vring(b, SET_VRING_NUM, queue, b->size), 0);
    EQ(tell_vring(b, SET_VRING_BASE, queue, 0), 0);
    EQ(tell_rings(b, queue, 0, USER + DESC, USER + AVAIL, USER + USED), 0);
    EQ(tell_u64(b, SET_VRING_KICK, queue, kick), 0);
}

int main(void)
{
    bare_queue b;
    const uint32_t enable[2] = {1, 1};
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    tell_ram(&b);
    set_up(&b, 0, b.kick);
    set_up(&b, 1, b.err);
    on_queue = map_when_the_first_starts;
    send_message(b.r.main, SET_VRING_ENABLE, 0x9, enable, sizeof(enable), NULL, 0);
    pump_backend(b.r.backend);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 1));
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));
    EQ(b.seen[VHUSHMEM_QUEUE_STARTED], 2);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 2);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    return 0;
}
