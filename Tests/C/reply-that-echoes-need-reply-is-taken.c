/* SPDX-License-Identifier: BSD-3-Clause */
/* Some back-ends leave the need_reply of a request in their reply (flags 0xd). It means nothing there. */
#include "rig.h"

int main(void)
{
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * PAGE);
    r.peer.reply_flags = VHOST_USER_NEED_REPLY_MASK;
    rig_connect(&r, NULL);
    EQ(vhushmem_region_size(r.region), 16 * PAGE);
    ok(vhushmem_frontend_reset(r.frontend, &error));
    rig_close(&r);
    return 0;
}
