/* SPDX-License-Identifier: BSD-3-Clause */
/* An answer to GET_SHMEM_CONFIG that is not exactly 2056 bytes long ends the handshake with EPROTO. */
#include "rig.h"

int main(void)
{
    static const uint32_t sizes[] = {0, 8, 16, 2048, 2055};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        rig r;
        memset(&r, 0, sizeof(r));
        peer_init(&r.peer);
        peer_add_region(&r.peer, 0, 16 * PAGE);
        r.peer.config_size = sizes[i];
        fails_to_connect(&r, NULL, -EPROTO);
    }
    return 0;
}
