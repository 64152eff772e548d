/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end that claims more than 256 regions is refused with EPROTO, and the message says how many. */
#include "rig.h"

int main(void)
{
    static const uint32_t counts[] = {257, 300, 0x80000000, UINT32_MAX};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        char text[32];
        rig r;
        memset(&r, 0, sizeof(r));
        peer_init(&r.peer);
        peer_add_region(&r.peer, 0, 16 * PAGE);
        r.peer.config.nregions = counts[i];
        snprintf(text, sizeof(text), "%u", counts[i]);
        fails_to_connect(&r, NULL, -EPROTO, text, "256");
    }

    /* All 256 are not too many. */
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    for (int i = 0; i < 256; i++) {
        peer_add_region(&r.peer, (uint8_t)i, PAGE);
    }
    rig_connect(&r, NULL);
    EQ(vhushmem_device_region_ids(r.device, NULL, 0), 256);
    rig_close(&r);
    return 0;
}
