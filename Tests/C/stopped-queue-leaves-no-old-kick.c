/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nobody reads the kicks of a queue that runs. When the back-end lets go of the queue, the eventfd is empty if the device has
 * taken all, so its next owner takes no old kick for a new one. It is signalled if the driver has put in more. Another queue
 * with the same eventfd loses no kick by that. An eventfd that counts down by one with each read is emptied too, up to a bound.
 */
#include "bare-queue.h"

static bool takes_none;

static void take(bare_queue *b, vhushmem_queue_event event)
{
    vhushmem_chain *chain;
    if (takes_none || event != VHUSHMEM_QUEUE_KICKED) {
        return;
    }
    while ((chain = vhushmem_backend_pop(b->r.backend, 0, NULL)) != NULL) {
        ok(vhushmem_backend_push(b->r.backend, chain, 0, &error));
    }
}

static void offer_and_kick(bare_queue *b)
{
    set_descriptor(b, 0, BUFFERS, 16, WRITE, 0);
    offer(b, 0);
    kick(b);
}

static void open_queue(bare_queue *b)
{
    on_queue = take;
    takes_none = false;
    bare_queue_open(b, 0);
    offer_and_kick(b);
    EQ(taken_back(b), 0);
}

static void close_queue(bare_queue *b)
{
    backend_rig_close(&b->r);
    bare_queue_close(b);
}

static void taken_kicks_go(void)
{
    bare_queue b;
    open_queue(&b);
    EQ(stop_queue(&b), 1);
    CHECK(!kick_is_left(&b));
    start_queue(&b, 1);
    int seen = b.seen[VHUSHMEM_QUEUE_KICKED];
    pump_backend(b.r.backend);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], seen);
    /* A queue that is disabled, another kick, a connection that ends. */
    offer_and_kick(&b);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
    CHECK(!kick_is_left(&b));
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    offer_and_kick(&b);
    int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, other), 0);
    CHECK(!kick_is_left(&b));
    offer(&b, 0);
    CHECK(write(other, &(uint64_t){1}, 8) == 8);
    pump_backend(b.r.backend);
    close(b.r.main);
    b.r.main = -1;
    pump_backend(b.r.backend);
    EQ(b.r.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
    CHECK(!wait_readable(other, 0));
    close(other);
    close_queue(&b);
}

static void what_was_not_taken_stays(void)
{
    bare_queue b;
    open_queue(&b);
    takes_none = true;
    offer_and_kick(&b);
    EQ(stop_queue(&b), 1);
    CHECK(kick_is_left(&b));
    /* The next owner is the same back-end. */
    takes_none = false;
    start_queue(&b, 1);
    EQ(taken_back(&b), 0);
    EQ(stop_queue(&b), 2);
    CHECK(!kick_is_left(&b));
    close_queue(&b);
}

/* Nobody kicked: the chain was there before the start. */
static void what_was_never_kicked_stays(void)
{
    bare_queue b;
    open_queue(&b);
    EQ(stop_queue(&b), 1);
    CHECK(!kick_is_left(&b));
    takes_none = true;
    offer(&b, 0);
    start_queue(&b, 1);
    EQ(stop_queue(&b), 1);
    CHECK(kick_is_left(&b));
    close_queue(&b);
}

static void semaphores_are_emptied(void)
{
    bare_queue b;
    const uint64_t nearly_all = UINT64_MAX - 100;
    open_queue(&b);
    int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    CHECK(dup3(kick, b.kick, O_CLOEXEC) == b.kick);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, kick), 0);
    for (int i = 1; i <= 5; i++) {
        offer_and_kick(&b);
        EQ(taken_back(&b), 0);
    }
    EQ(stop_queue(&b), 6);
    CHECK(!kick_is_left(&b));
    /* It takes hundreds of years to read so many one by one. */
    start_queue(&b, 6);
    CHECK(write(kick, &nearly_all, 8) == 8);
    pump_backend(b.r.backend);
    EQ(stop_queue(&b), 6);
    CHECK(kick_is_left(&b));
    close(kick);
    close_queue(&b);
}

/* Nobody has looked at the rings of a queue that could not be started. */
static void kick_of_a_failed_start_stays(void)
{
    bare_queue b;
    bare_queue_init(&b);
    bare_queue_connect(&b, BARE_FEATURES);
    tell_ram(&b);
    EQ(tell_vring(&b, SET_VRING_NUM, 0, b.size), 0);
    EQ(tell_rings(&b, 0, 0, USER + DESC, USER + AVAIL, USER + USED), 0);
    EQ(tell_region(&b, REM_MEM_REG, RAM, RAM_SIZE, USER, 0, -1), 0);
    write_kick(&b);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, b.kick), 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), -EINVAL);
    CHECK(kick_is_left(&b));
    close_queue(&b);
}

/* A child of fork shares the eventfd, and takes no kick away from its parent. */
static void child_leaves_it(void)
{
    bare_queue b;
    open_queue(&b);
    write_kick(&b);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        vhushmem_backend_free(b.r.backend);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(kick_is_left(&b));
    close_queue(&b);
}

static void shared_kick_is_not_lost(void)
{
    bare_queue b;
    uint32_t state[2] = {0, 0};
    uint64_t status = 4;
    message m;
    on_status = write_kick; /* after the back-end has looked for kicks in this turn */
    open_queue(&b);
    EQ(tell_vring(&b, SET_VRING_NUM, 1, b.size), 0);
    EQ(tell_rings(&b, 1, 0, USER + DESC, USER + AVAIL, USER + USED), 0);
    EQ(tell_u64(&b, SET_VRING_KICK, 1, b.kick), 0);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 1, 1), 0);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 1));
    int seen = b.seen[VHUSHMEM_QUEUE_KICKED];
    send_message(b.r.main, SET_STATUS, 0x1, &status, sizeof(status), NULL, 0);
    send_message(b.r.main, GET_VRING_BASE, 0x1, state, sizeof(state), NULL, 0);
    EQ(vhushmem_backend_dispatch(b.r.backend), 3);
    EQ(receive(b.r.main, &m, PATIENCE_MS), 1);
    EQ(m.header.request, GET_VRING_BASE);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], seen + 1);
    CHECK(!vhushmem_backend_queue_is_running(b.r.backend, 0));
    close_queue(&b);
}

int main(void)
{
    char *fds = fds_now();
    taken_kicks_go();
    what_was_not_taken_stays();
    what_was_never_kicked_stays();
    semaphores_are_emptied();
    kick_of_a_failed_start_stays();
    child_leaves_it();
    shared_kick_is_not_lost();
    same(fds, fds_now());
    return 0;
}
