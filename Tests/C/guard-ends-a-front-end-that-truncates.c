/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end that truncates the memory that it gave, or the area for requests in flight, loses its device. The device lives
 * and serves the next front-end.
 */
#include "bare-queue.h"
#include "guard-rig.h"

static void loses_it(bool of_inflight)
{
    bare_queue b;
    bare_queue_open(&b, 0);
    int fd = memfd_of(PAGE, 0);
    if (of_inflight) {
        const uint64_t area[3] = {512, 0, 1 | (uint64_t)16 << 16};
        EQ(stop_queue(&b), 0);
        EQ(tell(&b, SET_INFLIGHT_FD, area, sizeof(area), fd), 0);
        start_queue(&b, 0);
    }
    set_descriptor(&b, 0, BUFFERS, 8, 0, 0);
    offer(&b, 0);
    CHECK(ftruncate(of_inflight ? fd : b.ram_fd, 0) == 0);
    uint64_t one = 1;
    CHECK(write(b.kick, &one, 8) == 8);
    pump_backend(b.r.backend);
    for (vhushmem_chain *chain; (chain = vhushmem_backend_pop(b.r.backend, 0, NULL)) != NULL;) {
        vhushmem_chain_free(chain);
    }
    pump_backend(b.r.backend);
    EQ(b.r.events[VHUSHMEM_BACKEND_DISCONNECT], 1);
    CHECK(hung_up(b.r.main, PATIENCE_MS));
    backend_rig_close(&b.r);
    close(fd);
    bare_queue_close(&b);
}

int main(void)
{
    char *fds = fds_now();
    guard_begin();
    for (int i = 0; i < 4; i++) {
        loses_it(i % 2 == 1);
    }
    CHECK(sigbus_count >= 4);
    same(fds, fds_now());
    return 0;
}
