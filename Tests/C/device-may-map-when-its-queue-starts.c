/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end may serve the channel only when it has the answer to its own request. STARTED, KICKED and RESET come after
 * that answer, so a device may ask for mappings in them.
 */
/* tsan: yes (the library's front-end and back-end are in two threads) */
#include "bare-queue.h"

typedef struct slow_front_end {
    bare_queue *b;
    uint32_t request; /* it first waits for the acknowledgement of this */
    pthread_t thread;
} slow_front_end;

static int results[5], resets;

static void *serve_behind_the_answer(void *user_data)
{
    slow_front_end *f = user_data;
    message m;
    const uint64_t done = 0;
    EQ(receive(f->b->r.main, &m, PATIENCE_MS), 1);
    EQ(m.header.request, f->request);
    EQ(receive(f->b->r.channel, &m, PATIENCE_MS), 1);
    for (int i = 0; i < m.fd_count; i++) {
        close(m.fds[i]);
    }
    send_message(f->b->r.channel, m.header.request, 0x5, &done, 8, NULL, 0);
    return NULL;
}

static int ask(vhushmem_backend *backend)
{
    int fd = memfd_of(PAGE, 1);
    int result = vhushmem_backend_map(backend, 0, fd, 0, 0, PAGE, 0, NULL);
    close(fd);
    return result;
}

static void map_in_it(bare_queue *b, vhushmem_queue_event event)
{
    if (event == VHUSHMEM_QUEUE_STARTED) {
        CHECK(vhushmem_backend_queue_is_running(b->r.backend, 0));
        results[event] = ask(b->r.backend);
    }
}

static void on_backend_event(vhushmem_backend *backend, const vhushmem_backend_event *event, void *user_data)
{
    (void)user_data;
    if (event->type == VHUSHMEM_BACKEND_RESET) {
        resets++;
        EQ(ask(backend), 0);
    }
}

static void say(bare_queue *b, uint32_t request, const void *payload, uint32_t size)
{
    slow_front_end f = {.b = b, .request = request};
    CHECK(pthread_create(&f.thread, NULL, serve_behind_the_answer, &f) == 0);
    send_message(b->r.main, request, 0x9, payload, size, NULL, 0);
    pump_backend(b->r.backend);
    pthread_join(f.thread, NULL);
}

int main(void)
{
    bare_queue b;
    const uint32_t enable[2] = {0, 1};
    bare_queue_open(&b, 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
    EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], 1);
    results[VHUSHMEM_QUEUE_STARTED] = -1;
    on_queue = map_in_it;
    say(&b, SET_VRING_ENABLE, enable, sizeof(enable));
    EQ(results[VHUSHMEM_QUEUE_STARTED], 0);
    EQ(b.seen[VHUSHMEM_QUEUE_STARTED], 2);
    CHECK(b.seen[VHUSHMEM_QUEUE_KICKED] >= 2);

    ok(vhushmem_backend_set_callback(b.r.backend, on_backend_event, NULL, NULL));
    say(&b, RESET_DEVICE, NULL, 0);
    EQ(resets, 1);
    EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], 2);

    /* A start and stop before a callback was set are not told. */
    on_queue = NULL;
    start_queue(&b, 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
    int started = b.seen[VHUSHMEM_QUEUE_STARTED], stopped = b.seen[VHUSHMEM_QUEUE_STOPPED];
    EQ(started, stopped);
    const uint32_t disable[2] = {0, 0};
    const uint64_t status = 5;
    send_message(b.r.main, SET_VRING_ENABLE, 0x1, enable, sizeof(enable), NULL, 0);
    send_message(b.r.main, SET_VRING_ENABLE, 0x1, disable, sizeof(disable), NULL, 0);
    EQ(tell_u64(&b, SET_STATUS, status, -1), 0);
    EQ(b.seen[VHUSHMEM_QUEUE_STARTED], started);
    EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], stopped);

    backend_rig_close(&b.r);
    bare_queue_close(&b);
    return 0;
}
