/* SPDX-License-Identifier: BSD-3-Clause */
/* When the back-end closes its channel, the mappings end, and the connection goes on. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    rig_open(&r, 16 * page, NULL);
    int fd = memfd_of(page, 1);
    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    close(r.channel);
    r.peer.channel = -1;
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_CHANNEL_LOST] == 1);
    EQ(vhushmem_device_mapping_count(r.device), 0);
    CHECK(!readable(vhushmem_region_window(r.region)));
    CHECK(vhushmem_frontend_is_ready(r.frontend));
    pump(r.frontend);
    EQ(r.events[VHUSHMEM_EVENT_CHANNEL_LOST], 1);
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 0);

    /* The connection works: a reset is answered. */
    ok(vhushmem_frontend_reset(r.frontend, &error));
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_RESET] == 1);
    CHECK(peer_heard(&r.peer, RESET_DEVICE, 0) != NULL);
    close(fd);
    rig_close(&r);
    return 0;
}
