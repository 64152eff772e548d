/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that closes the connection in the middle of the handshake makes it fail with ECONNRESET. */
#include "rig.h"

static uint32_t at;

static void leave(peer *p, const message *m)
{
    if (m->header.request == at) {
        peer_hang_up(p);
    }
}

int main(void)
{
    static const uint32_t requests[] = {GET_FEATURES,       SET_PROTOCOL_FEATURES, GET_QUEUE_NUM,
                                        SET_BACKEND_REQ_FD, SET_VRING_ERR,         GET_SHMEM_CONFIG};
    char *fds = fds_now();
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        rig r;
        memset(&r, 0, sizeof(r));
        peer_init(&r.peer);
        r.peer.before_answer = leave;
        at = requests[i];
        peer_add_region(&r.peer, 0, 16 * PAGE);
        fails_to_connect(&r, NULL, -ECONNRESET);
    }
    same(fds, fds_now());
    return 0;
}
