/* SPDX-License-Identifier: BSD-3-Clause */
/* What a device may do with chains: hold them, give them back in any order, put the last one back, say that it polls, give a
   queue up. */
#include "bare-queue.h"

static vhushmem_chain *pop(bare_queue *b) { return some(vhushmem_backend_pop(b->r.backend, 0, &error)); }

static bool is_empty(bare_queue *b)
{
    bool empty = vhushmem_backend_pop(b->r.backend, 0, &error) == NULL;
    CHECK(error == NULL);
    return empty;
}

static void held(void)
{
    bare_queue b;
    bare_queue_open(&b, 0);
    for (uint16_t head = 0; head < 3; head++) {
        set_descriptor(&b, head, BUFFERS + head * 64u, 64, WRITE, 0);
        offer(&b, head);
    }
    vhushmem_chain *first = pop(&b), *second = pop(&b), *third = pop(&b);
    CHECK(is_empty(&b));
    EQ(vhushmem_chain_head(second), 1);
    EQ(vhushmem_chain_readable_size(second), 0);
    EQ(vhushmem_chain_writable_size(second), 64);
    /* Only the last one can be put back, and then the one before it. */
    refused(vhushmem_backend_put_back(b.r.backend, first, &error), -EINVAL, "last");
    ok(vhushmem_backend_put_back(b.r.backend, third, &error));
    ok(vhushmem_backend_put_back(b.r.backend, second, &error));
    second = pop(&b);
    third = pop(&b);
    EQ(vhushmem_chain_head(second), 1);
    EQ(vhushmem_chain_head(third), 2);
    CHECK(is_empty(&b));
    /* In any order, but never twice, and never with more bytes than the chain has room for. */
    refused(vhushmem_backend_push(b.r.backend, third, 65, &error), -EINVAL, "room");
    ok(vhushmem_backend_push(b.r.backend, third, 64, &error));
    EQ(taken_back(&b), 2);
    CHECK(!signalled(b.call));
    EQ(vhushmem_backend_notify(b.r.backend, 0, &error), 1);
    CHECK(signalled(b.call));
    EQ(vhushmem_backend_notify(b.r.backend, 0, &error), 0); /* nothing new */
    ok(vhushmem_backend_push(b.r.backend, first, 0, &error));
    EQ(taken_back(&b), 0);
    /* The driver has the first again, and the device still has the second: the second may not be offered again. */
    offer(&b, 0);
    ok(vhushmem_backend_push(b.r.backend, pop(&b), 0, &error));
    EQ(taken_back(&b), 0);
    EQ(stop_queue(&b), 4);
    refused(vhushmem_backend_push(b.r.backend, second, 0, &error), -ESTALE, "stopped");
    refused(vhushmem_backend_put_back(b.r.backend, second, &error), -ESTALE, "stopped");
    CHECK(vhushmem_backend_pop(b.r.backend, 0, &error) == NULL);
    err(errno_of_null(NULL), -ENOTCONN);
    start_queue(&b, 4);
    refused(vhushmem_backend_push(b.r.backend, second, 0, &error), -ESTALE); /* it is of an earlier life of the queue */
    vhushmem_chain_free(second);
    CHECK(vhushmem_backend_pop(b.r.backend, 2, &error) == NULL);
    err(errno_of_null(NULL), -EINVAL);
    err(vhushmem_backend_notify(b.r.backend, 2, &error), -EINVAL);
    err(vhushmem_backend_notify(b.r.backend, 1, &error), -ENOTCONN);
    err(vhushmem_backend_set_kicks(b.r.backend, 1, true, &error), -ENOTCONN);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* Indices of a ring come round after 65,536 entries. A chain that was taken so long ago is still not the last one. */
static void held_for_long(void)
{
    bare_queue b;
    bare_queue_open(&b, 0);
    set_descriptor(&b, 0, BUFFERS, 64, WRITE, 0);
    set_descriptor(&b, 1, BUFFERS + 64, 64, WRITE, 0);
    offer(&b, 0);
    vhushmem_chain *first = pop(&b);
    for (int i = 0; i < 0x10000; i++) {
        offer(&b, 1);
        ok(vhushmem_backend_push(b.r.backend, pop(&b), 0, &error));
    }
    refused(vhushmem_backend_put_back(b.r.backend, first, &error), -EINVAL, "last");
    CHECK(is_empty(&b));
    ok(vhushmem_backend_push(b.r.backend, first, 0, &error));
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

static void twice(void)
{
    bare_queue b;
    bare_queue_open(&b, 0);
    set_descriptor(&b, 0, BUFFERS, 64, WRITE, 0);
    offer(&b, 0);
    offer(&b, 0);
    vhushmem_chain *chain = pop(&b);
    CHECK(vhushmem_backend_pop(b.r.backend, 0, &error) == NULL);
    err(errno_of_null(NULL), -EPROTO);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 1);
    CHECK(strstr(b.broken, "twice") != NULL);
    CHECK(signalled(b.err));
    err(vhushmem_backend_push(b.r.backend, chain, 0, &error), -EPROTO);
    vhushmem_chain_free(chain);
    EQ(vhushmem_backend_device_status(b.r.backend), 0x40);
    stop_queue(&b);
    EQ(b.seen[VHUSHMEM_QUEUE_STOPPED], 0); /* BROKEN was its last event */

    /* The device itself may find that the driver makes no sense. */
    start_queue(&b, 2);
    ok(vhushmem_backend_break_queue(b.r.backend, 0, &error));
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 2);
    CHECK(signalled(b.err));
    CHECK(!vhushmem_backend_queue_is_running(b.r.backend, 0));
    err(vhushmem_backend_break_queue(b.r.backend, 0, &error), -EPROTO);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* A device that polls. Without event indices it says so in the used ring; with them, by an index that stays behind. */
static void polls(uint64_t features)
{
    bare_queue b;
    bare_queue_open(&b, features);
    uint16_t *flags = (uint16_t *)(b.ram + USED), *event = (uint16_t *)(b.ram + USED + 4 + 8 * b.size);
    CHECK(is_empty(&b));
    EQ(*event, 0);
    EQ(vhushmem_backend_set_kicks(b.r.backend, 0, false, &error), 0);
    EQ(*flags, features != 0 ? 0 : 1);
    for (uint16_t head = 0; head < 3; head++) {
        set_descriptor(&b, head, BUFFERS, 64, WRITE, 0);
        offer(&b, head);
        ok(vhushmem_backend_push(b.r.backend, pop(&b), 0, &error));
    }
    CHECK(is_empty(&b));
    EQ(*event, 0);
    /* KICKED comes here for chains from before kicks were wanted again. */
    offer(&b, 0);
    EQ(vhushmem_backend_set_kicks(b.r.backend, 0, true, &error), 1);
    EQ(*flags, 0);
    ok(vhushmem_backend_push(b.r.backend, pop(&b), 0, &error));
    CHECK(is_empty(&b));
    EQ(vhushmem_backend_set_kicks(b.r.backend, 0, true, &error), 0);
    EQ(*event, features != 0 ? 4 : 0);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

static void give_back_when_stopped(bare_queue *b, vhushmem_queue_event event)
{
    static vhushmem_chain *chain;
    if (event == VHUSHMEM_QUEUE_KICKED && chain == NULL) {
        chain = vhushmem_backend_pop(b->r.backend, 0, NULL);
    } else if (event == VHUSHMEM_QUEUE_STOPPED && chain != NULL) {
        EQ(vhushmem_backend_push(b->r.backend, chain, 3, NULL), 0);
        EQ(vhushmem_backend_notify(b->r.backend, 0, NULL), 1);
        chain = NULL;
    }
}

/* While it is told that the queue stops, the device can still give chains back, even if the front-end has just gone. */
static void stopped(bool leaves)
{
    bare_queue b;
    bare_queue_open(&b, 0);
    on_queue = give_back_when_stopped;
    set_descriptor(&b, 9, BUFFERS, 64, WRITE, 0);
    offer(&b, 9);
    kick(&b);
    EQ(taken_back(&b), -1);
    if (leaves) {
        shutdown(b.r.main, SHUT_RDWR);
        pump_backend(b.r.backend);
    } else {
        EQ(stop_queue(&b), 1);
    }
    EQ(taken_back(&b), 9);
    CHECK(signalled(b.call));
    on_queue = NULL;
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

/* Kicks and calls may become other eventfds at any moment, and no signal is lost. */
static void other_eventfds(void)
{
    bare_queue b;
    int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bare_queue_open(&b, 0);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 1); /* unasked: there may have been a kick */
    EQ(tell_u64(&b, SET_VRING_KICK, 0, other), 0);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 2);
    kick(&b); /* nobody listens to that one any more */
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 2);
    CHECK(write(other, &(uint64_t){1}, 8) == 8);
    pump_backend(b.r.backend);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], 3);
    EQ(tell_u64(&b, SET_VRING_CALL, 0x100, -1), 0); /* no eventfd for now */
    set_descriptor(&b, 0, BUFFERS, 64, WRITE, 0);
    offer(&b, 0);
    ok(vhushmem_backend_push(b.r.backend, pop(&b), 0, &error));
    EQ(vhushmem_backend_notify(b.r.backend, 0, &error), 0);
    EQ(tell_u64(&b, SET_VRING_CALL, 0, b.call), 0);
    CHECK(signalled(b.call)); /* the missed call is made up for */
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    close(other);
}

int main(void)
{
    char *fds = fds_now(), *maps = maps_now();
    held();
    held_for_long();
    twice();
    polls(0);
    polls(BIT(29));
    stopped(false);
    stopped(true);
    other_eventfds();
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
