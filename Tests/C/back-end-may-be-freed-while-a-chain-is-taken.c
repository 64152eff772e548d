/* SPDX-License-Identifier: BSD-3-Clause */
/* The call that takes a chain may find the queue broken, and report that. The device may then free its back-end inside that
   call. */
#include "bare-queue.h"

static bool frees;

static void free_it(bare_queue *b, vhushmem_queue_event event)
{
    if (event == VHUSHMEM_QUEUE_BROKEN && frees) {
        vhushmem_backend_free(b->r.backend);
        b->r.backend = NULL;
    }
}

static void take_one(bare_queue *b)
{
    vhushmem_chain *chain = vhushmem_backend_pop(b->r.backend, 0, &error);
    CHECK(chain == NULL);
}

static void take_many(bare_queue *b)
{
    vhushmem_chain *chains[4];
    EQ(vhushmem_backend_pop_many(b->r.backend, 0, chains, 4, &error), -EPROTO);
}

static void take_some(bare_queue *b)
{
    vhushmem_chain *chains[4];
    EQ(vhushmem_backend_pop_many(b->r.backend, 0, chains, 4, &error), 1);
    vhushmem_chain_free(chains[0]);
    error = g_error_new(g_quark_from_string("test"), EPROTO, "none is told behind a chain");
}

static void tell_driver(bare_queue *b) { EQ(vhushmem_backend_break_queue(b->r.backend, 0, &error), 0); }

static void breaks(void (*by)(bare_queue *), bool has_one)
{
    bare_queue b;
    frees = true;
    on_queue = free_it;
    bare_queue_open(&b, 0);
    set_descriptor(&b, 0, BUFFERS, 8, WRITE, 0);
    if (has_one) {
        offer(&b, 0);
    }
    offer(&b, 1000);
    by(&b);
    if (by == tell_driver) {
        CHECK(error == NULL);
    } else {
        CHECK(error != NULL && error->code == EPROTO);
    }
    g_clear_error(&error);
    CHECK(b.r.backend == NULL);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 1);
    close(b.r.main);
    close(b.r.channel);
    bare_queue_close(&b);
}

int main(void)
{
    char *fds = fds_now(), *maps = maps_now();
    breaks(take_one, false);
    breaks(take_many, false);
    breaks(take_some, true);
    breaks(tell_driver, false);
    same(fds, fds_now());
    same(maps, maps_now());
    return 0;
}
