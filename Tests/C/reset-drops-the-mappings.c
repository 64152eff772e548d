/* SPDX-License-Identifier: BSD-3-Clause */
/* A reset undoes every mapping before the call returns, tells the back-end where that was negotiated, and new maps work
   afterwards. */
#include "rig.h"

static void facts(uint64_t protocol_features)
{
    uint64_t page = PAGE;
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    r.peer.protocol_features = protocol_features;
    peer_add_region(&r.peer, 0, 16 * page);
    peer_add_region(&r.peer, 1, 16 * page);
    rig_new(&r, NULL);
    refused(vhushmem_frontend_reset(r.frontend, &error), -ENOTCONN);
    ok(vhushmem_frontend_connect(r.frontend, PATIENCE_MS, &error));
    rig_connected(&r);
    int fd = memfd_of(4 * page, 1);
    for (int round = 1; round <= 3; round++) {
        for (uint8_t id = 0; id < 2; id++) {
            ok(wire_map(&r, id, fd, 0, 0, page, 0));
            ok(wire_map(&r, id, fd, 0, 4 * page, 4 * page, VHOST_USER_FLAG_MAP_RW));
        }
        EQ(vhushmem_device_mapping_count(r.device), 4);
        ok(vhushmem_frontend_reset(r.frontend, &error));
        EQ(vhushmem_device_mapping_count(r.device), 0);
        CHECK(!readable(vhushmem_region_window(r.region)));
        PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == round);
        EQ(r.last.result, 0);
        CHECK(vhushmem_frontend_is_ready(r.frontend));
    }
    bool told = peer_heard(&r.peer, RESET_DEVICE, 2) != NULL;
    EQ(told, (protocol_features & BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE)) != 0);
    EQ(vhushmem_device_region_ids(r.device, NULL, 0), 2);
    rig_still_works(&r);
    close(fd);
    rig_close(&r);
}

int main(void)
{
    facts(PROTOCOL_DEFAULTS);
    facts(PROTOCOL_DEFAULTS & ~BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE));
    return 0;
}
