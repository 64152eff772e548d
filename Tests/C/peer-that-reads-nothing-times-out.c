/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that stops reading in the midst of the handshake, and owes no answer: the time limit of requests ends it. */
#include "rig.h"

int main(void)
{
    rig r;
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .num_queues = 256, .request_timeout_ms = 200};
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    /* Each queue costs two messages with a descriptor, none is acknowledged: more than the kernel lets be under way. */
    r.peer.queues = 256;
    r.peer.protocol_features &= ~BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK);
    r.peer.deaf_after_second = GET_FEATURES;
    rig_new(&r, &options);
    int64_t start = now_ms();
    refused(vhushmem_frontend_connect(r.frontend, PATIENCE_MS, &error), -ETIMEDOUT, "took no request in 200 ms");
    CHECK(now_ms() - start < PATIENCE_MS / 2);
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 1);
    rig_close(&r);
    return 0;
}
