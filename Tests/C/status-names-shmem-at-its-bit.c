/* SPDX-License-Identifier: BSD-3-Clause */
/* If an old bit means SHMEM, the status gives it that name, and does not use the bit's meaning of today. */
#include "rig.h"
#include "status-rig.h"

int main(void)
{
    for (unsigned bit = 20; bit <= 22; bit++) {
        rig r;
        char *number;
        vhushmem_frontend_options options = {.struct_size = sizeof(options), .shmem_bit = bit};
        memset(&r, 0, sizeof(r));
        peer_init(&r.peer);
        r.peer.protocol_features = (r.peer.protocol_features & ~(UINT64_C(7) << 20)) | UINT64_C(1) << bit;
        peer_add_region(&r.peer, 0, 16 * PAGE);
        rig_connect(&r, &options);
        number = g_strdup_printf("\"protocol_features\":%" PRIu64 ",", vhushmem_frontend_protocol_features(r.frontend));
        char *json = some(vhushmem_status_json(r.frontend));
        EQ(number_of(json, "shmem_bit"), bit);
        EQ(number_of(json, "unknown_protocol_features"), 0);
        EQ(times(json, "\"SHMEM\""), 1);
        EQ(times(json, "GPA_ADDRESSES"), 0);
        EQ(times(json, "GET_VRING_BASE_INFLIGHT"), 0);
        says(json, number, "\"BACKEND_REQ\"");
        g_free(number);
        rig_close(&r);
    }
    return 0;
}
