/* SPDX-License-Identifier: BSD-3-Clause */
/* When the back-end goes away, its mappings are dropped, DISCONNECT is the last event, and the front-end can only be freed. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    rig_open(&r, 16 * page, NULL);
    int fd = memfd_of(page, 1);
    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    peer_hang_up(&r.peer);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    EQ(r.last.type, VHUSHMEM_EVENT_DISCONNECT);
    CHECK(r.last.result < 0 && r.said[0] != 0);
    EQ(vhushmem_device_mapping_count(r.device), 0);
    CHECK(!readable(vhushmem_region_window(r.region)));
    CHECK(!vhushmem_frontend_is_ready(r.frontend));
    EQ(vhushmem_frontend_dispatch(r.frontend), -ENOTCONN);
    err(vhushmem_frontend_reset(r.frontend, &error), -ENOTCONN);
    CHECK(hung_up(r.channel, PATIENCE_MS));
    EQ(r.events[VHUSHMEM_EVENT_DISCONNECT], 1);

    /* The window lives as long as the device. */
    ok(vhushmem_region_map(r.region, fd, 0, 0, page, 0, &error));
    shows(r.region, 0, page, 1, 0);
    close(fd);
    rig_close(&r);
    return 0;
}
