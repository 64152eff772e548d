/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end takes a range of guest memory away to put it back larger. The rings in it are away for a moment. The work of a
 * driver or a device in that time is done when they are back, and nothing breaks.
 */
#include "bare-queue.h"

static void rings_go(bare_queue *b) { EQ(tell_region(b, REM_MEM_REG, RAM, RAM_SIZE, USER, 0, -1), 0); }

static void with_features(uint64_t features)
{
    bare_queue b;
    bare_queue_open(&b, features);
    set_descriptor(&b, 0, BUFFERS, 8, 0, 0);
    set_descriptor(&b, 1, BUFFERS, 8, 0, 0);
    offer(&b, 0);
    kick(&b);
    vhushmem_chain *chain = some(vhushmem_backend_pop(b.r.backend, 0, &error));

    rings_go(&b);
    CHECK(vhushmem_backend_queue_is_running(b.r.backend, 0));
    offer(&b, 1);
    kick(&b);
    CHECK(vhushmem_backend_pop(b.r.backend, 0, &error) == NULL && error == NULL);
    EQ(vhushmem_backend_push(b.r.backend, chain, 0, &error), -EAGAIN);
    CHECK(strstr(error->message, "queue 0") != NULL);
    g_clear_error(&error);
    EQ(vhushmem_backend_notify(b.r.backend, 0, &error), 0);
    EQ(vhushmem_backend_set_kicks(b.r.backend, 0, true, &error), 0);
    EQ(taken_back(&b), -1);

    /* They are back: the device is told to look, and finds what it missed. */
    int kicked = b.seen[VHUSHMEM_QUEUE_KICKED];
    tell_ram(&b);
    EQ(b.seen[VHUSHMEM_QUEUE_KICKED], kicked + 1);
    EQ(vhushmem_backend_push(b.r.backend, chain, 0, &error), 0);
    chain = some(vhushmem_backend_pop(b.r.backend, 0, &error));
    EQ(vhushmem_chain_head(chain), 1);
    EQ(taken_back(&b), 0);

    /* Chains that were given back, but not told before the rings went, are told when they come. */
    CHECK(!signalled(b.call));
    rings_go(&b);
    EQ(vhushmem_backend_notify(b.r.backend, 0, &error), 0);
    tell_ram(&b);
    CHECK(signalled(b.call));

    /* The driver is asked for kicks again, in the rings. */
    EQ(vhushmem_backend_push(b.r.backend, chain, 0, &error), 0);
    rings_go(&b);
    EQ(vhushmem_backend_set_kicks(b.r.backend, 0, false, &error), 0);
    tell_ram(&b);
    if (features == 0) {
        EQ(*(uint16_t *)(b.ram + USED), 1);
    }

    /* A queue that stops without its rings still knows where it was. */
    rings_go(&b);
    EQ(stop_queue(&b), 2);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 0);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
}

int main(void)
{
    char *fds = fds_now();
    with_features(0);
    with_features(BIT(29));
    same(fds, fds_now());
    return 0;
}
