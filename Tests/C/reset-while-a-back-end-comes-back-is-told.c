/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A reset comes while a back-end that came back is told how to run. The back-end hears of the reset when it is ready, since
 * it may have mapped something before. It does not get the requests that were in flight before the reset.
 */
#include "reconnect-rig.h"

int main(void)
{
    char *fds = fds_now();
    coming_rig c;
    rig *r = &c.r;
    const uint64_t done = 0;
    int file = memfd_of(PAGE, 1);
    vhushmem_inflight area = {.struct_size = sizeof(area), .size = 4096, .num_queues = 1, .queue_size = 64, .fd = file};
    coming_open(&c, false, 0);
    coming_ready(&c);
    ok(vhushmem_frontend_set_inflight(r->frontend, &area, &error));
    ok(vhushmem_frontend_start_device(r->frontend, 0, &c.queue, 1, &error));
    CHECK(peer_heard(&r->peer, SET_INFLIGHT_FD, 0) != NULL);
    coming_leave(&c);

    coming_prepare(&c);
    r->peer.mute = SET_VRING_BASE;
    coming_arrive(&c);
    PUMP_UNTIL(r->frontend, peer_heard(&r->peer, SET_VRING_BASE, 0) != NULL);
    err(vhushmem_frontend_reset(r->frontend, &error), -ENOTCONN);
    send_message(r->peer.main, SET_VRING_BASE, 0x5, &done, sizeof(done), NULL, 0);
    PUMP_UNTIL(r->frontend, r->events[VHUSHMEM_EVENT_RESET] == 1);
    EQ(r->events[VHUSHMEM_EVENT_READY], 2);
    CHECK(peer_heard(&r->peer, RESET_DEVICE, 0) != NULL);
    CHECK(!vhushmem_frontend_is_started(r->frontend));

    /* The device begins again, without the requests in flight. */
    r->peer.heard_count = 0;
    r->peer.mute = 0;
    ok(vhushmem_frontend_start_device(r->frontend, 0, &c.queue, 1, &error));
    CHECK(peer_heard(&r->peer, SET_VRING_BASE, 0) != NULL);
    CHECK(peer_heard(&r->peer, SET_INFLIGHT_FD, 0) == NULL);

    /* The same after an ordinary reset. */
    ok(vhushmem_frontend_set_inflight(r->frontend, &area, &error));
    ok(vhushmem_frontend_reset(r->frontend, &error));
    PUMP_UNTIL(r->frontend, r->events[VHUSHMEM_EVENT_RESET] == 2);
    ok(vhushmem_frontend_start_device(r->frontend, 0, &c.queue, 1, &error));
    CHECK(peer_heard(&r->peer, SET_INFLIGHT_FD, 0) == NULL);
    coming_leave(&c);
    coming_close(&c);
    close(file);
    same(fds, fds_now());
    return 0;
}
