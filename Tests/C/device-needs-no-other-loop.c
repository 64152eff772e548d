/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhushmem_backend_poll waits for whatever the device has to do, and does it: messages, kicks, the end of the connection. A
 * kick that comes inside a callback does not keep the descriptor readable there, and is told afterwards.
 */
/* tsan: yes (another thread kicks while this one waits) */
#include "bare-queue.h"

#include <signal.h>

static bool kicks_again;
static int depth;

static void device(bare_queue *b, vhushmem_queue_event event)
{
    vhushmem_chain *chain;
    EQ(depth, 0);
    depth++;
    while (event == VHUSHMEM_QUEUE_KICKED && (chain = vhushmem_backend_pop(b->r.backend, 0, NULL)) != NULL) {
        EQ(vhushmem_backend_push(b->r.backend, chain, 0, NULL), 0);
    }
    if (event == VHUSHMEM_QUEUE_KICKED && kicks_again) {
        int fd = (int)ok(vhushmem_backend_get_fd(b->r.backend));
        kicks_again = false;
        write_kick(b);
        /* A loop inside the callback. */
        ok(vhushmem_backend_poll(b->r.backend, 0));
        CHECK(!wait_readable(fd, 0));
        write_kick(b);
        ok(vhushmem_backend_dispatch(b->r.backend));
        CHECK(!wait_readable(fd, 0));
        EQ(b->seen[VHUSHMEM_QUEUE_KICKED], 2);
    }
    depth--;
}

static void nothing_to_wait_for(void)
{
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    EQ(vhushmem_backend_poll(backend, -1), -ENOTCONN);
    vhushmem_backend_free(backend);
}

static void the_time_is_up(bare_queue *b)
{
    int64_t began = now_ms();
    EQ(vhushmem_backend_poll(b->r.backend, 0), 0);
    EQ(vhushmem_backend_poll(b->r.backend, 20), 0);
    CHECK(now_ms() - began >= 19);
}

static void *kick_soon(void *user_data)
{
    usleep(5000);
    write_kick(user_data);
    return NULL;
}

static void a_kick_ends_the_wait(bare_queue *b)
{
    pthread_t other;
    int seen = b->seen[VHUSHMEM_QUEUE_KICKED];
    set_descriptor(b, 0, BUFFERS, 16, 2, 0);
    offer(b, 0);
    CHECK(pthread_create(&other, NULL, kick_soon, b) == 0);
    EQ(vhushmem_backend_poll(b->r.backend, -1), 1);
    pthread_join(other, NULL);
    EQ(b->seen[VHUSHMEM_QUEUE_KICKED], seen + 1);
    EQ(taken_back(b), 0);
}

static void a_kick_inside_a_callback(bare_queue *b)
{
    b->seen[VHUSHMEM_QUEUE_KICKED] = 1;
    kicks_again = true;
    write_kick(b);
    EQ(vhushmem_backend_poll(b->r.backend, -1), 1);
    EQ(b->seen[VHUSHMEM_QUEUE_KICKED], 2);
    EQ(vhushmem_backend_poll(b->r.backend, -1), 1);
    EQ(b->seen[VHUSHMEM_QUEUE_KICKED], 3);
    EQ(vhushmem_backend_poll(b->r.backend, 0), 0);
}

static void a_message_comes_first(bare_queue *b)
{
    uint32_t state[2] = {0, 0};
    message m;
    int seen = b->seen[VHUSHMEM_QUEUE_KICKED];
    offer(b, 0);
    write_kick(b);
    send_message(b->r.main, GET_VRING_BASE, 0x1, state, sizeof(state), NULL, 0);
    EQ(vhushmem_backend_poll(b->r.backend, -1), 1);
    EQ(receive(b->r.main, &m, PATIENCE_MS), 1);
    EQ(m.header.request, GET_VRING_BASE);
    /* The queue has stopped, so its kick is told to nobody, and is left for whoever has the queue next. */
    CHECK(wait_readable(b->kick, 0));
    EQ(b->seen[VHUSHMEM_QUEUE_STOPPED], 1);
    EQ(b->seen[VHUSHMEM_QUEUE_KICKED], seen);
    EQ(vhushmem_backend_poll(b->r.backend, 0), 0);
}

static void on_signal(int number) { (void)number; }

static pthread_t waiting;
static bool is_over;

/* A signal may come before the wait, so it comes again. */
static void *interrupt(void *user_data)
{
    (void)user_data;
    while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
        pthread_kill(waiting, SIGUSR1);
        usleep(2000);
    }
    return NULL;
}

static void a_signal_ends_the_wait(bare_queue *b)
{
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t other;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    waiting = pthread_self();
    CHECK(pthread_create(&other, NULL, interrupt, NULL) == 0);
    EQ(vhushmem_backend_poll(b->r.backend, -1), 0);
    __atomic_store_n(&is_over, true, __ATOMIC_RELEASE);
    pthread_join(other, NULL);
}

static void the_end(bare_queue *b)
{
    close(b->r.main);
    b->r.main = -1;
    EQ(vhushmem_backend_poll(b->r.backend, -1), 0);
    EQ(b->r.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
    EQ(vhushmem_backend_poll(b->r.backend, -1), -ENOTCONN);
}

int main(void)
{
    bare_queue b;
    on_queue = device;
    nothing_to_wait_for();
    bare_queue_open(&b, 0);
    the_time_is_up(&b);
    a_kick_ends_the_wait(&b);
    a_kick_inside_a_callback(&b);
    a_signal_ends_the_wait(&b);
    a_message_comes_first(&b);
    the_end(&b);
    vhushmem_backend_free(b.r.backend);
    bare_queue_close(&b);
    return 0;
}
