/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end that comes back says where a queue continues. If the used ring is further already, for example because the
 * front-end says 0 each time, the queue continues from the used ring's index: no request is served twice.
 */
#include "bare-queue.h"

/* Rings in which `done` chains were given back and `more` chains wait, one descriptor each. */
static void starts(uint16_t done, uint16_t more, uint16_t base, int taken)
{
    bare_queue b;
    vhushmem_chain *chain;
    int count = 0;

    bare_queue_open(&b, 0);
    EQ(stop_queue(&b), 0);
    for (unsigned i = 0; i < b.size; i++) {
        set_descriptor(&b, i, BUFFERS + 64 * i, 64, WRITE, 0);
    }
    ((uint16_t *)(b.ram + USED))[1] = done;
    b.avail_idx = done;
    b.used_idx = done;
    for (unsigned i = 0; i < more; i++) {
        offer(&b, (uint16_t)((done + i) % b.size));
    }
    start_queue(&b, base);
    kick(&b);
    while ((chain = vhushmem_backend_pop(b.r.backend, 0, NULL)) != NULL) {
        EQ(vhushmem_chain_head(chain), (done + count) % b.size);
        ok(vhushmem_backend_push(b.r.backend, chain, 0, &error));
        EQ(taken_back(&b), (done + count) % b.size);
        count++;
    }
    EQ(count, taken);
    EQ(b.seen[VHUSHMEM_QUEUE_BROKEN], 0);
    EQ(stop_queue(&b), (uint16_t)(done + more));
    vhushmem_backend_free(b.r.backend);
    bare_queue_close(&b);
}

int main(void)
{
    starts(40, 3, 0, 3);      /* further than the queue is long */
    starts(10, 3, 0, 3);      /* not so far: ten would be served twice */
    starts(0xfffe, 5, 40, 5); /* the indices wrap around */
    starts(10, 3, 10, 3);     /* a correct base */
    return 0;
}
