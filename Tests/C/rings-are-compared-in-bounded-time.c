/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end is lost and leaves a used ring of 32,768 entries, none of which is a request that was made. The time to find
 * out whether the next one can go on grows with the queue, and not with its square. The same holds if all requests are
 * there, the last one first.
 */

#include "reconnect-rig.h"

#define ENTRIES 32768
#define ROUNDS 20

static uint16_t avail[ENTRIES + 3];
static struct {
    uint16_t flags, index;
    struct {
        uint32_t id, length;
    } ring[ENTRIES];
} used;

static int64_t cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void open_with(coming_rig *c)
{
    coming_open(c, false, 0);
    c->queue.base = 0;
    c->queue.size = ENTRIES;
    c->queue.avail = avail;
    c->queue.used = &used;
    coming_ready(c);
    ok(vhushmem_frontend_start_device(c->r.frontend, BIT(32), &c->queue, 1, &error));
    coming_leave(c);
}

int main(void)
{
    coming_rig c;
    memset(&used, 0, sizeof(used));
    open_with(&c);
    avail[1] = used.index = ENTRIES;
    for (int i = 0; i < ENTRIES; i++) {
        avail[2 + i] = (uint16_t)i;
        used.ring[i].id = (uint32_t)(ENTRIES - 1 - i);
    }
    int64_t begin = cpu_ms();
    for (int round = 0; round < ROUNDS; round++) {
        coming_ready(&c);
        coming_leave(&c);
        /* The ring is restored, so that the rings are compared again. */
        used.index = 0;
        coming_ready(&c);
        coming_leave(&c);
        used.index = ENTRIES;
    }
    /* None of the requests that were made. */
    for (int i = 0; i < ENTRIES; i++) {
        used.ring[i].id = ENTRIES + (uint32_t)i % 1000;
    }
    for (int round = 0; round < ROUNDS; round++) {
        int before = c.r.events[VHUSHMEM_EVENT_DISCONNECT];
        coming_prepare(&c);
        c.r.peer.heard_count = 0;
        coming_arrive(&c);
        PUMP_UNTIL(c.r.frontend, c.r.events[VHUSHMEM_EVENT_DISCONNECT] == before + 1);
        CHECK(strstr(c.r.said, "out of order") != NULL);
        peer_end(&c.r.peer);
    }
    /* A slow comparison takes a second and more each time. The test counts processor time, which does not depend on how busy
       the machine is. */
    int64_t spent = cpu_ms() - begin;
    int slower = 1000 / steps(1000); /* than a machine that is not emulated */
    if (!under_valgrind() && !under_sanitizer() && spent > 300 * ROUNDS * slower) {
        FAIL("%d comparisons took %" PRId64 " ms", 2 * ROUNDS, spent);
    }
    coming_close(&c);
    return 0;
}
