/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * On one loop, each of a hundred devices has one request served a turn, however many it has sent. A device that is alone has
 * 64 served, or as many as 10 ms are enough for. So a greedy device makes the others wait no longer than any device does.
 */
#include "rig.h"

#define DEVICES 100
#define SENT 60
#define LONGEST_MS 10 /* a turn that lasts as long takes no more */

static rig rigs[DEVICES];

static void turn(void) { g_main_context_iteration(NULL, FALSE); }

static void send_unmaps(rig *r, int count)
{
    VhostUserMMap m = mmap_of(0, 0, PAGE, PAGE, 0);
    for (int i = 0; i < count; i++) {
        send_message(r->channel, UNMAP, 0x1, &m, sizeof(m), NULL, 0); /* refused, which is an event as well */
    }
}

static int served(const rig *r) { return r->events[VHUSHMEM_EVENT_UNMAP]; }

int main(void)
{
    for (int i = 0; i < DEVICES; i++) {
        rig_open(&rigs[i], 16 * PAGE, NULL);
        GSource *source = some(vhushmem_frontend_source_new(rigs[i].frontend));
        g_source_attach(source, NULL);
        g_source_unref(source);
    }
    while (g_main_context_iteration(NULL, FALSE)) {}

    /* Alone: after a first turn, in which it may count as one of many. */
    send_unmaps(&rigs[0], 1);
    turn();
    EQ(served(&rigs[0]), 1);
    int64_t took = LONGEST_MS;
    for (int attempt = 0; attempt < 20 && took >= LONGEST_MS; attempt++) { /* the machine may be too busy for 64 */
        int before = served(&rigs[0]);
        send_unmaps(&rigs[0], 64);
        took = now_ms();
        turn();
        took = now_ms() - took;
        int alone = served(&rigs[0]) - before;
        CHECK(alone > 1 && alone <= 64 && (alone == 64 || took >= LONGEST_MS - 1));
        while (served(&rigs[0]) < before + 64) {
            turn();
        }
    }

    for (int i = 0; i < DEVICES; i++) {
        send_unmaps(&rigs[i], SENT);
    }
    turn(); /* now each device knows how many there are */
    for (int round = 0; round < 20; round++) {
        int before[DEVICES];
        for (int i = 0; i < DEVICES; i++) {
            before[i] = served(&rigs[i]);
        }
        turn();
        for (int i = 0; i < DEVICES; i++) {
            int now = served(&rigs[i]) - before[i];
            CHECK(now == 1 || (now == 0 && served(&rigs[i]) >= SENT));
        }
    }
    for (int i = 0; i < DEVICES; i++) {
        while (served(&rigs[i]) < SENT) {
            turn();
        }
        rig_close(&rigs[i]);
    }
    return 0;
}
