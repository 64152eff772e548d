/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A reset while the device is being started ends the start, and the device does not run. After a reset it can be started at
 * once. While it is being started it can be neither started again nor stopped. Guest memory is as it was when the start
 * began.
 */
#include "device-rig.h"

static int outcome = 99;

static void ended(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)user_data;
    outcome = reply->result;
}

int main(void)
{
    rig r;
    const uint64_t done = 0;
    int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), file = memfd_of(PAGE, 1);
    vhushmem_queue q = queue_of(64, 0, 0x10000, kick);
    vhushmem_guest_memory ram = {.struct_size = sizeof(ram), .guest_addr = 0, .size = PAGE, .host = &r, .fd = file};
    device_rig_open(&r, 1, DEVICE_FEATURES);
    r.peer.mute = SET_VRING_BASE;
    ok(vhushmem_frontend_start_device_async(r.frontend, 0, &q, 1, ended, NULL, NULL, &error));
    PUMP_UNTIL(r.frontend, peer_heard(&r.peer, SET_VRING_BASE, 0) != NULL);
    refused(vhushmem_frontend_start_device(r.frontend, 0, &q, 1, &error), -EALREADY, "being started");
    refused(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error), -EALREADY, "being started");
    refused(vhushmem_frontend_set_memory(r.frontend, &ram, 1, &error), -EALREADY, "being started");
    ok(vhushmem_frontend_reset(r.frontend, &error));
    send_message(r.peer.main, SET_VRING_BASE, 0x5, &done, sizeof(done), NULL, 0);
    PUMP_UNTIL(r.frontend, outcome != 99 && r.events[VHUSHMEM_EVENT_RESET] == 1);
    EQ(outcome, -ECANCELED);
    CHECK(!vhushmem_frontend_is_started(r.frontend));
    CHECK(peer_heard(&r.peer, SET_VRING_KICK, 0) == NULL);

    /* Right after a reset whose answer has not come, the device does not run, and can be started. */
    r.peer.mute = 0;
    ok(vhushmem_frontend_set_memory(r.frontend, &ram, 1, &error));
    ok(vhushmem_frontend_start_device(r.frontend, 0, &q, 1, &error));
    ok(vhushmem_frontend_reset(r.frontend, &error));
    CHECK(!vhushmem_frontend_is_started(r.frontend));
    err(vhushmem_frontend_stop_device(r.frontend, NULL, 0, &error), -ENOTCONN);
    ok(vhushmem_frontend_start_device(r.frontend, 0, &q, 1, &error));
    CHECK(vhushmem_frontend_is_started(r.frontend));
    EQ(r.events[VHUSHMEM_EVENT_RESET], 2);
    rig_close(&r);
    close(kick);
    close(file);
    return 0;
}
