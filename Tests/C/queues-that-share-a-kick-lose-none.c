/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two queues have one eventfd for their kicks. The device has taken all chains of queue 0, and none of queue 1. In whatever
 * order the back-end lets go of the two, the eventfd is signalled afterwards. It is empty if both queues have nothing left.
 */
#include "bare-queue.h"

#define DESC_1 0x8000
#define AVAIL_1 0x9000
#define USED_1 0xa000

static bool takes[2];

static void take(bare_queue *b, vhushmem_queue_event event)
{
    vhushmem_chain *chain;
    unsigned queue = b->queue;
    if (event != VHUSHMEM_QUEUE_KICKED || !takes[queue]) {
        return;
    }
    while ((chain = vhushmem_backend_pop(b->r.backend, queue, NULL)) != NULL) {
        ok(vhushmem_backend_push(b->r.backend, chain, 0, &error));
    }
}

static void set_up_queue_1(bare_queue *b)
{
    EQ(tell_vring(b, SET_VRING_NUM, 1, b->size), 0);
    EQ(tell_rings(b, 1, 0, USER + DESC_1, USER + AVAIL_1, USER + USED_1), 0);
    EQ(tell_u64(b, SET_VRING_KICK, 1, b->kick), 0);
}

/* Descriptor 0 is a buffer, in either queue. */
static void offer_in_queue_1(bare_queue *b)
{
    memcpy(b->ram + DESC_1, b->ram + DESC, 16);
    uint16_t *avail = (uint16_t *)(b->ram + AVAIL_1);
    __atomic_store_n(&avail[1], avail[1] + 1, __ATOMIC_RELEASE);
}

/* Both queues run and were kicked. Each has got a chain. */
static void open_two(bare_queue *b, bool takes_of_1)
{
    on_queue = take;
    takes[0] = true;
    takes[1] = takes_of_1;
    bare_queue_open(b, 0);
    set_up_queue_1(b);
    EQ(tell_vring(b, SET_VRING_ENABLE, 1, 1), 0);
    CHECK(vhushmem_backend_queue_is_running(b->r.backend, 1));
    set_descriptor(b, 0, BUFFERS, 16, WRITE, 0);
    offer(b, 0);
    offer_in_queue_1(b);
    kick(b);
    EQ(taken_back(b), 0);
}

static void close_two(bare_queue *b)
{
    if (b->r.backend != NULL) {
        backend_rig_close(&b->r);
    }
    bare_queue_close(b);
}

static void stop_one(bare_queue *b, uint32_t queue)
{
    uint32_t state[2] = {queue, 0};
    backend_rig_ask(&b->r, GET_VRING_BASE, state, sizeof(state), NULL, 0);
}

static void stop_0_then_1(bare_queue *b)
{
    stop_one(b, 0);
    stop_one(b, 1);
}

static void stop_1_then_0(bare_queue *b)
{
    stop_one(b, 1);
    stop_one(b, 0);
}

static void disable_1_then_stop_0(bare_queue *b)
{
    EQ(tell_vring(b, SET_VRING_ENABLE, 1, 0), 0);
    stop_one(b, 0);
}

static void break_1_then_stop_0(bare_queue *b)
{
    ok(vhushmem_backend_break_queue(b->r.backend, 1, &error));
    stop_one(b, 0);
}

static void reset(bare_queue *b) { EQ(tell(b, RESET_DEVICE, NULL, 0, -1), 0); }

static void lose_the_front_end(bare_queue *b)
{
    close(b->r.main);
    b->r.main = -1;
    pump_backend(b->r.backend);
    EQ(b->r.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
}

static void free_the_back_end(bare_queue *b)
{
    vhushmem_backend_free(b->r.backend);
    b->r.backend = NULL;
    close(b->r.main);
    close(b->r.channel);
}

static void (*const ways[])(bare_queue *b) = {
    stop_0_then_1, stop_1_then_0, disable_1_then_stop_0, break_1_then_stop_0, reset, lose_the_front_end, free_the_back_end,
};

static void chains_that_are_left_leave_it_signalled(bool takes_of_1)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        bare_queue b;
        printf("way %zu%s\n", i, takes_of_1 ? ", all taken" : "");
        open_two(&b, takes_of_1);
        ways[i](&b);
        EQ(kick_is_left(&b), !takes_of_1);
        close_two(&b);
    }
}

/* Another owner has queue 1 again, and its kick comes while queue 0 runs here. */
static void kick_for_another_owner_stays(void)
{
    bare_queue b;
    open_two(&b, true);
    stop_one(&b, 1);
    CHECK(!kick_is_left(&b));
    offer_in_queue_1(&b);
    kick(&b);
    stop_one(&b, 0);
    CHECK(kick_is_left(&b));
    /* With no queue left here, the back-end keeps none of the descriptors. */
    char *before = fds_now();
    stop_one(&b, 1);
    same(before, fds_now());
    close_two(&b);
}

/* Queue 1 is not enabled yet. A kick stays if there was one. */
static void kick_of_a_queue_that_is_set_up_stays(void)
{
    bare_queue b;
    for (int is_kicked = 0; is_kicked < 2; is_kicked++) {
        on_queue = take;
        takes[0] = true;
        bare_queue_open(&b, 0);
        set_up_queue_1(&b);
        if (is_kicked) {
            kick(&b);
        }
        stop_one(&b, 0);
        EQ(kick_is_left(&b), is_kicked);
        close_two(&b);
    }
}

/* A queue with an eventfd of its own gives no signal to that of another, and gets none. */
static void other_eventfds_are_left_alone(void)
{
    bare_queue b;
    int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    open_two(&b, false);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, other), 0);
    CHECK(write(other, &(uint64_t){1}, 8) == 8);
    pump_backend(b.r.backend);
    stop_one(&b, 1);
    CHECK(kick_is_left(&b));
    CHECK(signalled(b.kick));
    stop_one(&b, 0);
    CHECK(!kick_is_left(&b));
    CHECK(!wait_readable(other, 0));
    close(other);
    close_two(&b);
}

int main(void)
{
    char *fds = fds_now();
    chains_that_are_left_leave_it_signalled(false);
    chains_that_are_left_leave_it_signalled(true);
    kick_for_another_owner_stays();
    kick_of_a_queue_that_is_set_up_stays();
    other_eventfds_are_left_alone();
    same(fds, fds_now());
    return 0;
}
