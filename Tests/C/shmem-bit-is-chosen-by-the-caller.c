/* SPDX-License-Identifier: BSD-3-Clause */
/* SHMEM is bit 22 unless the caller says 20 or 21. Bits 20 and 21 of a newer back-end are never mistaken for it. */
#include "rig.h"

static void asks_for_regions(uint32_t chosen, uint64_t offered, bool asks)
{
    rig r;
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .shmem_bit = chosen};
    uint32_t bit = chosen != 0 ? chosen : 22;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.protocol_features &= ~BIT(22);
    r.peer.protocol_features |= offered;
    peer_add_region(&r.peer, 0, 16 * PAGE);
    rig_connect(&r, &options);
    CHECK((peer_heard(&r.peer, GET_SHMEM_CONFIG, 0) != NULL) == asks);
    EQ(vhushmem_device_region_ids(r.device, NULL, 0), asks ? 1 : 0);
    EQ(r.peer.accepted & (BIT(20) | BIT(21) | BIT(22)), asks ? BIT(bit) : 0);
    if (asks && bit != 20) { /* bit 20 has other flags: flags-of-the-first-series-are-translated */
        rig_still_works(&r);
    }
    rig_close(&r);
}

int main(void)
{
    for (uint32_t bit = 20; bit <= 22; bit++) {
        asks_for_regions(bit, BIT(bit), true);
        asks_for_regions(bit, BIT(20) | BIT(21) | BIT(22), true);
        asks_for_regions(bit, (BIT(20) | BIT(21) | BIT(22)) & ~BIT(bit), false);
    }
    asks_for_regions(0, BIT(22), true);
    asks_for_regions(0, BIT(20) | BIT(21), false);

    static const uint32_t wrong[] = {1, 19, 23, 63, 64, UINT32_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        vhushmem_frontend_options options = {.struct_size = sizeof(options), .shmem_bit = wrong[i]};
        vhushmem_backend_options backend = {.struct_size = sizeof(backend), .shmem_bit = wrong[i]};
        refused(errno_of_null(vhushmem_frontend_new("/tmp/x", &options, &error)), -EINVAL);
        refused(errno_of_null(vhushmem_backend_new(&backend, &error)), -EINVAL);
    }
    return 0;
}
