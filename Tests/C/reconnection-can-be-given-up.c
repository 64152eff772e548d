/* SPDX-License-Identifier: BSD-3-Clause */
/* While its back-end is away, a device can be stopped, reset or freed. A back-end on its way back can be lost again. */
#include "reconnect-rig.h"

static void running(coming_rig *c, bool serves)
{
    coming_open(c, serves, 0);
    coming_ready(c);
    ok(vhushmem_frontend_start_device(c->r.frontend, 0, &c->queue, 1, &error));
}

static void comes_back_stopped(coming_rig *c)
{
    coming_ready(c);
    CHECK(!vhushmem_frontend_is_started(c->r.frontend));
    CHECK(peer_heard(&c->r.peer, SET_VRING_NUM, 0) == NULL);
    coming_leave(c);
    coming_close(c);
}

int main(void)
{
    char *fds = fds_now();
    coming_rig c;

    running(&c, false);
    coming_leave(&c);
    err(vhushmem_frontend_stop_device(c.r.frontend, NULL, 0, &error), -ENOTCONN);
    comes_back_stopped(&c);

    running(&c, true);
    coming_leave(&c);
    err(vhushmem_frontend_reset(c.r.frontend, &error), -ENOTCONN);
    comes_back_stopped(&c);

    /* A reset whose back-end died before the answer is done. */
    running(&c, false);
    c.r.peer.mute = RESET_DEVICE;
    ok(vhushmem_frontend_reset(c.r.frontend, &error));
    coming_leave(&c);
    comes_back_stopped(&c);

    /* Lost again at each message of its way back. */
    running(&c, true);
    coming_leave(&c);
    static const uint32_t last[] = {GET_FEATURES, SET_BACKEND_REQ_FD, GET_SHMEM_CONFIG,
                                    SET_FEATURES, SET_VRING_BASE,     SET_VRING_ENABLE};
    for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
        coming_prepare(&c);
        c.r.peer.mute = last[i];
        coming_arrive(&c);
        PUMP_UNTIL(c.r.frontend, peer_heard(&c.r.peer, last[i], 0) != NULL);
        CHECK(!vhushmem_frontend_is_ready(c.r.frontend));
        coming_leave(&c);
    }
    /* Stopped while the back-end is told how to run. */
    coming_prepare(&c);
    c.r.peer.mute = SET_VRING_BASE;
    coming_arrive(&c);
    PUMP_UNTIL(c.r.frontend, peer_heard(&c.r.peer, SET_VRING_BASE, 0) != NULL);
    err(vhushmem_frontend_stop_device(c.r.frontend, NULL, 0, &error), -ENOTCONN);
    uint64_t done = 0;
    send_message(c.r.peer.main, SET_VRING_BASE, 0x5, &done, sizeof(done), NULL, 0);
    PUMP_UNTIL(c.r.frontend, c.r.events[VHUSHMEM_EVENT_READY] == 2);
    CHECK(!vhushmem_frontend_is_started(c.r.frontend));
    EQ(device_status, 15); /* as it was: nothing is reset */
    CHECK(peer_heard(&c.r.peer, GET_VRING_BASE, 0) != NULL);
    coming_leave(&c);
    coming_close(&c); /* freed while it looks for another back-end */

    /* Memory that changes while the back-end is told how to run is told before it is ready. */
    int file = memfd_of(PAGE, 1);
    vhushmem_guest_memory ram = memory_of(0x100000, PAGE, file, 0);
    running(&c, false);
    coming_leave(&c);
    coming_prepare(&c);
    c.r.peer.mute = SET_VRING_BASE;
    coming_arrive(&c);
    PUMP_UNTIL(c.r.frontend, peer_heard(&c.r.peer, SET_VRING_BASE, 0) != NULL);
    ok(vhushmem_frontend_set_memory(c.r.frontend, &ram, 1, &error));
    CHECK(peer_heard(&c.r.peer, ADD_MEM_REG, 0) == NULL);
    send_message(c.r.peer.main, SET_VRING_BASE, 0x5, &done, sizeof(done), NULL, 0);
    PUMP_UNTIL(c.r.frontend, c.r.events[VHUSHMEM_EVENT_READY] == 2);
    CHECK(peer_heard(&c.r.peer, ADD_MEM_REG, 0) != NULL);
    coming_leave(&c);
    coming_close(&c);
    close(file);

    /* A front-end on a given socket cannot reconnect. */
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .reconnect_ms = 1};
    refused(errno_of_null(vhushmem_frontend_new_fd(pair[0], &options, &error)), -EINVAL, "path");
    close(pair[0]);
    close(pair[1]);

    /* If the first connect fails, the front-end has failed. */
    vhushmem_frontend *frontend = some(vhushmem_frontend_new("/nowhere/at/all", &options, &error));
    err(vhushmem_frontend_connect(frontend, 1000, &error), -ENOENT);
    vhushmem_frontend_free(frontend);
    same(fds, fds_now());
    return 0;
}
