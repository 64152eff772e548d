/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end that tracks no requests in flight uses the third and the fourth request, and is lost. No base makes the next
 * one take only the first and the second: DISCONNECT says so until the device is reset. If all were used, in another order,
 * the queue continues.
 */
#include "reconnect-rig.h"

static uint16_t avail[70];
static struct {
    uint16_t flags, index;
    struct {
        uint32_t id, length;
    } ring[64];
} used;

static void lose_with(coming_rig *c, const uint16_t *ids, uint16_t count)
{
    memset(avail, 0, sizeof(avail));
    memset(&used, 0, sizeof(used));
    coming_open(c, false, 0);
    c->queue.base = 0;
    c->queue.avail = avail;
    c->queue.used = &used;
    coming_ready(c);
    ok(vhushmem_frontend_start_device(c->r.frontend, BIT(32), &c->queue, 1, &error));
    avail[1] = 4;
    for (uint16_t i = 0; i < 4; i++) {
        avail[2 + i] = 10 + i;
    }
    for (uint16_t i = 0; i < count; i++) {
        used.ring[i].id = ids[i];
    }
    used.index = count;
    coming_leave(c);
}

static void goes_on(const uint16_t *ids, uint16_t count)
{
    coming_rig c;
    uint32_t base[2];
    lose_with(&c, ids, count);
    coming_ready(&c);
    memcpy(base, some(peer_heard(&c.r.peer, SET_VRING_BASE, 0))->payload, sizeof(base));
    EQ(base[1], count);
    coming_leave(&c);
    coming_close(&c);
}

int main(void)
{
    static const uint16_t in_order[] = {10, 11}, swapped[] = {11, 10}, early[] = {12, 13};
    goes_on(in_order, 2);
    goes_on(swapped, 2);

    coming_rig c;
    lose_with(&c, early, 2);
    for (int attempt = 0; attempt < 3; attempt++) {
        coming_prepare(&c);
        c.r.peer.heard_count = 0;
        coming_arrive(&c);
        int gone = 0;
        while (!gone) { /* until the front-end has left */
            pump_once(c.r.frontend);
            gone = pthread_tryjoin_np(c.r.peer.thread, NULL) == 0;
        }
        close(c.r.peer.main);
        close(c.r.peer.channel);
    }
    EQ(c.r.events[VHUSHMEM_EVENT_DISCONNECT], 4); /* the loss, and three refusals to go on */
    CHECK(strstr(c.r.said, "out of order") != NULL);
    err(vhushmem_frontend_reset(c.r.frontend, &error), -ENOTCONN);
    coming_ready(&c);
    CHECK(!vhushmem_frontend_is_started(c.r.frontend));
    coming_leave(&c);
    coming_close(&c);
    return 0;
}
