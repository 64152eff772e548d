/* SPDX-License-Identifier: BSD-3-Clause */
/* RESET_DEVICE is the next message that the back-end gets, even if other requests of the program wait before it. */
#include "device-rig.h"

static int answers;

static void count(vhushmem_frontend *frontend, const vhushmem_reply *reply, void *user_data)
{
    (void)frontend;
    (void)reply;
    (void)user_data;
    answers++;
}

static bool silent(peer *p, const message *m)
{
    (void)p;
    return m->header.request == GET_CONFIG; /* the test answers */
}

int main(void)
{
    rig r;
    struct {
        uint32_t offset, size, flags;
        uint8_t byte;
    } __attribute__((packed)) config = {0, 1, 0, 0};
    device_rig_open(&r, 1, DEVICE_FEATURES);
    r.peer.answer = silent;
    ok(vhushmem_frontend_get_config_async(r.frontend, 0, 1, count, NULL, NULL, &error));
    ok(vhushmem_frontend_set_device_status_async(r.frontend, 1, count, NULL, NULL, &error));
    ok(vhushmem_frontend_get_device_status_async(r.frontend, count, NULL, NULL, &error));
    ok(vhushmem_frontend_reset(r.frontend, &error));
    STEP_UNTIL(peer_heard(&r.peer, GET_CONFIG, 0) != NULL, usleep(1000));
    send_message(r.peer.main, GET_CONFIG, 0x5, &config, sizeof(config), NULL, 0);
    PUMP_UNTIL(r.frontend, answers == 3 && r.events[VHUSHMEM_EVENT_RESET] == 1);
    HEARD(&r, "24 34 39 40");
    rig_close(&r);
    return 0;
}
