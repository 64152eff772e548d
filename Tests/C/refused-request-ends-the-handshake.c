/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that acknowledges a request of the handshake with anything except 0 ends it: EPROTO, and nothing stays open. */
#include "rig.h"

int main(void)
{
    static const uint32_t requests[] = {SET_BACKEND_REQ_FD, SET_OWNER, SET_VRING_CALL, SET_VRING_ERR};
    char *fds = fds_now();
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        rig r;
        memset(&r, 0, sizeof(r));
        peer_init(&r.peer);
        r.peer.refuses = requests[i];
        peer_add_region(&r.peer, 0, 16 * PAGE);
        fails_to_connect(&r, NULL, -EPROTO);
    }
    same(fds, fds_now());
    return 0;
}
