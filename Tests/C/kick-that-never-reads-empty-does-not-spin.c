/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kick that counts down by one with each read (EFD_SEMAPHORE) is signalled once with the largest number: it could be read
 * for ever. The queue is told of one kick, and of one more for each further signal.
 */

#include "bare-queue.h"

int main(void)
{
    bare_queue b;
    const uint64_t nearly_all = UINT64_MAX - 100, one = 1;
    int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    bare_queue_open(&b, 0);
    EQ(tell_u64(&b, SET_VRING_KICK, 0, kick), 0);
    for (int i = 0; i < 5; i++) {
        int before = b.seen[VHUSHMEM_QUEUE_KICKED];
        CHECK(write(kick, i == 0 ? &nearly_all : &one, 8) == 8);
        pump_backend(b.r.backend);
        EQ(b.seen[VHUSHMEM_QUEUE_KICKED], before + 1);
        CHECK(!wait_readable((int)ok(vhushmem_backend_get_fd(b.r.backend)), 0));
    }
    /* A kick that is signalled before it is given, and a queue that is disabled meanwhile. */
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 0), 0);
    CHECK(write(kick, &one, 8) == 8);
    int before = b.seen[VHUSHMEM_QUEUE_KICKED];
    EQ(tell_vring(&b, SET_VRING_ENABLE, 0, 1), 0);
    CHECK(b.seen[VHUSHMEM_QUEUE_KICKED] > before);
    CHECK(!wait_readable((int)ok(vhushmem_backend_get_fd(b.r.backend)), 0));
    close(kick);
    backend_rig_close(&b.r);
    bare_queue_close(&b);
    return 0;
}
