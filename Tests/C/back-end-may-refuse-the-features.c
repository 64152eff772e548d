/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * If a back-end clears FEATURES_OK, start_device fails with -EOPNOTSUPP. The connection lives, the back-end has heard of no
 * queue, and the device can be started with other features.
 */
#include "device-rig.h"

static bool refuses;

static bool answer(peer *p, const message *m)
{
    bool is_answered = device_answer(p, m);
    if (m->header.request == SET_STATUS && refuses) {
        device_status &= (uint8_t)~8;
    }
    return is_answered;
}

int main(void)
{
    rig r;
    vhushmem_queue queue = queue_of(64, 0, 0x10000, eventfd(0, EFD_CLOEXEC));
    device_rig_open(&r, 1, DEVICE_FEATURES);
    r.peer.answer = answer;
    refuses = true;
    refused(vhushmem_frontend_start_device(r.frontend, BIT(32), &queue, 1, &error), -EOPNOTSUPP, "does not accept");
    HEARD(&r, "2 39 40");
    CHECK(vhushmem_frontend_is_ready(r.frontend) && !vhushmem_frontend_is_started(r.frontend));
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 0);
    refuses = false;
    ok(vhushmem_frontend_start_device(r.frontend, 0, &queue, 1, &error));
    CHECK(vhushmem_frontend_is_started(r.frontend));
    rig_close(&r);
    close(queue.kick_fd);
    return 0;
}
