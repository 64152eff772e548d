/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device puts the chain that it holds back while its queue stops, or later. Nobody has taken the chain then, so the kick is
 * signalled for the next owner of the queue.
 */
#include "bare-queue.h"

static vhushmem_chain *held;
static bool puts_back, frees;

static void put_back(bare_queue *b)
{
    ok(vhushmem_backend_put_back(b->r.backend, held, &error));
    held = NULL;
}

static void hold(bare_queue *b, vhushmem_queue_event event)
{
    if (event == VHUSHMEM_QUEUE_KICKED && held == NULL) {
        held = vhushmem_backend_pop(b->r.backend, 0, NULL);
    }
    if (event == VHUSHMEM_QUEUE_STOPPED && puts_back) {
        put_back(b);
        if (frees) {
            vhushmem_backend_free(b->r.backend);
        }
    }
}

static void open_queue(bare_queue *b, bool puts)
{
    on_queue = hold;
    puts_back = puts;
    bare_queue_open(b, 0);
    set_descriptor(b, 0, BUFFERS, 16, WRITE, 0);
    offer(b, 0);
    kick(b);
    CHECK(held != NULL);
}

static void close_queue(bare_queue *b)
{
    backend_rig_close(&b->r);
    bare_queue_close(b);
}

static void put_back_while_it_stops(void)
{
    bare_queue b;
    open_queue(&b, true);
    EQ(stop_queue(&b), 0);
    CHECK(kick_is_left(&b));
    close_queue(&b);
}

static void put_back_while_it_is_disabled(void)
{
    bare_queue b;
    open_queue(&b, true);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
    CHECK(kick_is_left(&b));
    /* The same back-end goes on with it. */
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    CHECK(held != NULL);
    EQ(stop_queue(&b), 0);
    CHECK(kick_is_left(&b));
    close_queue(&b);
}

static void put_back_while_the_connection_ends(void)
{
    bare_queue b;
    open_queue(&b, true);
    close(b.r.main);
    b.r.main = -1;
    pump_backend(b.r.backend);
    EQ(b.r.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
    CHECK(kick_is_left(&b));
    close_queue(&b);
}

static void put_back_before_the_back_end_is_freed(void)
{
    bare_queue b;
    frees = true;
    open_queue(&b, true);
    close(b.r.main);
    vhushmem_backend_dispatch(b.r.backend);
    CHECK(held == NULL);
    CHECK(kick_is_left(&b));
    close(b.r.channel);
    bare_queue_close(&b);
    frees = false;
}

/* A disabled queue has its rings until it is stopped. */
static void put_back_after_it_was_disabled(void)
{
    bare_queue b;
    open_queue(&b, false);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
    CHECK(!kick_is_left(&b));
    put_back(&b);
    CHECK(kick_is_left(&b));
    EQ(stop_queue(&b), 0);
    CHECK(kick_is_left(&b));
    close_queue(&b);
}

/* While the queue runs, the device knows of the chain itself. */
static void put_back_while_it_runs(void)
{
    bare_queue b;
    open_queue(&b, false);
    CHECK(signalled(b.kick)); /* nobody else reads it now */
    put_back(&b);
    CHECK(!kick_is_left(&b));
    EQ(stop_queue(&b), 0);
    CHECK(kick_is_left(&b));
    close_queue(&b);
}

/* A chain that goes back as it should leaves nothing. */
static void given_back_while_it_is_disabled(void)
{
    bare_queue b;
    open_queue(&b, false);
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
    ok(vhushmem_backend_push(b.r.backend, held, 0, &error));
    held = NULL;
    EQ(stop_queue(&b), 1);
    CHECK(!kick_is_left(&b));
    close_queue(&b);
}

int main(void)
{
    char *fds = fds_now();
    put_back_while_it_stops();
    put_back_while_it_is_disabled();
    put_back_while_the_connection_ends();
    put_back_before_the_back_end_is_freed();
    put_back_after_it_was_disabled();
    put_back_while_it_runs();
    given_back_while_it_is_disabled();
    same(fds, fds_now());
    return 0;
}
