/* SPDX-License-Identifier: BSD-3-Clause */
/* valgrind: no (its limit of descriptors closes what was accepted) */
/*
 * A listening front-end waits if it can only try again: when there is no descriptor for the back-end that has come, and when
 * the wrong back-end comes again and again.
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

/* Lets a front-end find something to do so many times, and for so long. Returns how often it found something in each
   `every_ms`. */
static double turns(coming_rig *c, int least, int least_ms, int every_ms)
{
    int count = 0, fd = (int)ok(vhushmem_frontend_get_fd(c->r.frontend));
    int64_t begin = now_ms(), took = 0;
    for (; count < least || took < least_ms; took = now_ms() - begin) {
        CHECK(took < PATIENCE_MS);
        if (wait_readable(fd, 1)) {
            ok(vhushmem_frontend_dispatch(c->r.frontend));
            count++;
        }
    }
    /* The first turn need not wait. */
    return (double)(count - 1) * every_ms / (double)took;
}

/* The back-end has come, and every descriptor is in use. */
static void wants_descriptors(coming_rig *c, bool ready_before)
{
    struct rlimit before, none;
    if (ready_before) {
        coming_ready(c);
        coming_leave(c);
    }
    int ended = c->r.events[VHUSHMEM_EVENT_DISCONNECT], fd = -1;
    STEP_UNTIL((fd = dial(c)) >= 0, pump_once(c->r.frontend));
    ok(vhushmem_frontend_get_fd(c->r.frontend));
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    double rate = turns(c, 3, 350, 100);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(rate <= 2); /* ten a second, and fewer on a busy machine */
    EQ(c->r.events[VHUSHMEM_EVENT_DISCONNECT], ended);

    /* It is let in when there is a descriptor. */
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

    /* A peer that is no back-end comes back as soon as it is thrown out. The front-end lets it in once in reconnect_ms,
       which is 20. */
    coming_open(&c, true, 0);
    coming_ready(&c);
    coming_leave(&c);
    int ended = c.r.events[VHUSHMEM_EVENT_DISCONNECT], fd = -1, calls = 0,
        loop = (int)ok(vhushmem_frontend_get_fd(c.r.frontend));
    int64_t begin = now_ms(), took = 0;
    for (; took < 400 || calls < 3; took = now_ms() - begin) {
        CHECK(took < PATIENCE_MS);
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
    CHECK(calls <= 2 + took / 20); /* the last one has connected, but need not have been let in */
    printf("note: the front-end let %d peers in within %d ms\n", calls, (int)took);
    coming_ready(&c);
    coming_leave(&c);
    coming_close(&c);
    return 0;
}
