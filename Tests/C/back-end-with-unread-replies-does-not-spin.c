/* SPDX-License-Identifier: BSD-3-Clause */
/* A front-end asks again and again and reads no reply. The back-end waits, reads no more requests, and goes on when the
   front-end reads. */
#include "backend-rig.h"

int main(void)
{
    backend_rig r;
    backend_rig_new(&r, 16 * PAGE, NULL);
    int fd = (int)ok(vhushmem_backend_get_fd(r.backend));
    CHECK(fcntl(r.main, F_SETFL, O_NONBLOCK) == 0);
    long sent = 0, before;
    do {
        before = sent;
        while (try_send_message(r.main, GET_FEATURES, 0x1, NULL, 0, NULL, 0) > 0) {
            sent++;
        }
        for (int i = 0; i < 1000 && has_work(fd); i++) {
            ok(vhushmem_backend_dispatch(r.backend));
        }
    } while (sent > before);

    int wakeups = 0;
    for (int64_t end = now_ms() + 200; now_ms() < end;) {
        if (wait_readable(fd, 20)) {
            wakeups++;
            ok(vhushmem_backend_dispatch(r.backend));
        }
    }
    CHECK(wakeups < 20);

    message m;
    for (long i = 0; i < sent; i++) {
        while (!wait_readable(r.main, 0)) {
            CHECK(wait_readable(fd, PATIENCE_MS));
            ok(vhushmem_backend_dispatch(r.backend));
        }
        EQ(receive(r.main, &m, PATIENCE_MS), 1);
        EQ(m.header.request, GET_FEATURES);
    }
    EQ(r.events[VHUSHMEM_BACKEND_DISCONNECT], 0);
    backend_rig_close(&r);
    return 0;
}
