/* SPDX-License-Identifier: BSD-3-Clause */
/* tsan: yes (a peer in a thread of its own) */
/* A start makes many requests. A back-end that is slow for each one stays within each request's limit, but not within the
   call's limit. */
#include "device-rig.h"

static bool slow_answer(peer *p, const message *m)
{
    if (m->header.request == SET_VRING_NUM || m->header.request == SET_VRING_BASE || m->header.request == SET_VRING_ADDR) {
        usleep(200000);
    }
    return device_answer(p, m);
}

int main(void)
{
    rig r;
    vhushmem_queue queues[8];
    int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (int i = 0; i < 8; i++) {
        queues[i] = queue_of(64, 0, 0x10000, kick);
    }
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    r.peer.queues = 8;
    r.peer.answer = slow_answer;
    vhushmem_frontend_options options = {
        .struct_size = sizeof(options), .num_queues = 8, .request_timeout_ms = PATIENCE_MS, .call_timeout_ms = 500};
    rig_connect(&r, &options);
    refused(vhushmem_frontend_start_device(r.frontend, 0, queues, 8, &error), -ETIMEDOUT, "500 ms");
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT]);
    CHECK(!vhushmem_frontend_is_ready(r.frontend));
    rig_close(&r);
    close(kick);
    return 0;
}
