/* SPDX-License-Identifier: BSD-3-Clause */
/* valgrind: no (its limit of descriptors closes what was accepted) */
/*
 * A front-end that listens waits where there is nothing to do but try again: when there is no descriptor for the back-end that has
 * come, and when the one that comes again and again is not the right one.
 */
#include "reconnect-rig.h"

#include <sys/resource.h>

static int dial(coming_rig *c)
{
    struct sockaddr_un address = coming_address(c);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* How often a front-end finds something to do in so long. */
static int turns(coming_rig *c, int ms)
{
    int count = 0, fd = (int)ok(vhushmem_frontend_get_fd(c->r.frontend));
    for (int64_t end = now_ms() + ms; now_ms() < end;) {
        if (wait_readable(fd, 1)) {
            ok(vhushmem_frontend_dispatch(c->r.frontend));
            count++;
        }
    }
    return count;
}

/* The back-end has come, and every descriptor is in use. */
static void wants_descriptors(coming_rig *c, bool ready_before)
{
    struct rlimit before, none;
    if (ready_before) {
        coming_ready(c);
        coming_leave(c);
        turns(c, 50);
    }
    int ended = c->r.events[VHUSHMEM_EVENT_DISCONNECT], fd = dial(c);
    CHECK(fd >= 0);
    ok(vhushmem_frontend_get_fd(c->r.frontend));
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    int count = turns(c, 350);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(count >= 2 && count <= 8); /* ten a second */
    EQ(c->r.events[VHUSHMEM_EVENT_DISCONNECT], ended);

    /* It is let in when there is one. */
    int ready = c->r.events[VHUSHMEM_EVENT_READY];
    coming_prepare(c);
    peer_start(&c->r.peer, fd);
    PUMP_UNTIL(c->r.frontend, c->r.events[VHUSHMEM_EVENT_READY] == ready + 1);
    rig_connected(&c->r);
    coming_leave(c);
}

int main(void)
{
    coming_rig c;
    g_log_set_always_fatal(G_LOG_LEVEL_ERROR);
    for (int i = 0; i < 2; i++) {
        coming_open(&c, true, 0);
        wants_descriptors(&c, i == 1);
        coming_close(&c);
    }

    /* One that is no back-end, and comes back as soon as it is thrown out: it is let in once in reconnect_ms, which is 20. */
    coming_open(&c, true, 0);
    coming_ready(&c);
    coming_leave(&c);
    int ended = c.r.events[VHUSHMEM_EVENT_DISCONNECT], fd = -1, calls = 0,
        loop = (int)ok(vhushmem_frontend_get_fd(c.r.frontend));
    for (int64_t end = now_ms() + 400; now_ms() < end;) {
        if (fd < 0 && (fd = dial(&c)) >= 0) {
            calls++;
            CHECK(write(fd, "nonsense that is long enough", 28) == 28);
        }
        while (wait_readable(loop, 0) && c.r.events[VHUSHMEM_EVENT_DISCONNECT] - ended < calls) {
            ok(vhushmem_frontend_dispatch(c.r.frontend));
        }
        if (wait_readable(loop, 1)) {
            ok(vhushmem_frontend_dispatch(c.r.frontend));
        }
        if (fd >= 0 && c.r.events[VHUSHMEM_EVENT_DISCONNECT] - ended == calls) {
            close(fd);
            fd = -1;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    CHECK(calls >= 2 && calls <= 21);
    printf("note: let in %d times in 400 ms\n", calls);
    coming_ready(&c);
    coming_leave(&c);
    coming_close(&c);
    return 0;
}
