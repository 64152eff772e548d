/* SPDX-License-Identifier: BSD-3-Clause */
/* If a back-end does not answer a request of the handshake, the handshake fails with ETIMEDOUT, after request_timeout_ms or
   the caller's own limit. */
#include "rig.h"

int main(void)
{
    static const uint32_t requests[] = {GET_FEATURES, GET_QUEUE_NUM, SET_OWNER, GET_SHMEM_CONFIG};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .request_timeout_ms = 200};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        rig r;
        memset(&r, 0, sizeof(r));
        peer_init(&r.peer);
        r.peer.mute = requests[i];
        peer_add_region(&r.peer, 0, 16 * PAGE);
        int64_t begin = now_ms();
        fails_to_connect(&r, &options, -ETIMEDOUT);
        CHECK(now_ms() - begin >= 190);
    }

    /* The caller's limit is shorter than the request's. */
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.mute = GET_FEATURES;
    options.request_timeout_ms = PATIENCE_MS;
    rig_new(&r, &options);
    int64_t begin = now_ms();
    err(vhushmem_frontend_connect(r.frontend, 100, &error), -ETIMEDOUT);
    CHECK(now_ms() - begin >= 90 && now_ms() - begin < PATIENCE_MS);
    rig_close(&r);
    return 0;
}
