/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that never negotiates BACKEND_SEND_FD, as some do, can map nevertheless. */
#include "rig.h"

int main(void)
{
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.protocol_features &= ~BIT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    rig_connect(&r, NULL);
    rig_still_works(&r);
    rig_close(&r);
    return 0;
}
