/* SPDX-License-Identifier: BSD-3-Clause */
/* The front-end does not accept the protocol features that the caller leaves out, even if they are offered. */
#include "rig.h"

int main(void)
{
    uint64_t wanted = BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | BIT(VHOST_USER_PROTOCOL_F_SHMEM);
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .protocol_features = wanted};
    rig r;
    rig_open(&r, 16 * PAGE, &options);
    EQ(r.peer.accepted, wanted);
    rig_still_works(&r);
    rig_close(&r);
    return 0;
}
