/* SPDX-License-Identifier: BSD-3-Clause */
/* With VHUSHMEM_FRONTEND_KEEP_MAPPINGS the mappings stay when the back-end goes. They also stay when the front-end goes
   while somebody holds its device. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .flags = VHUSHMEM_FRONTEND_KEEP_MAPPINGS};
    rig r;
    rig_open(&r, 16 * page, &options);
    int fd = memfd_of(page, 1);
    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    close(fd);
    peer_hang_up(&r.peer);
    PUMP_UNTIL(r.frontend, r.events[VHUSHMEM_EVENT_DISCONNECT] == 1);
    EQ(vhushmem_device_mapping_count(r.device), 1);
    shows(r.region, 0, page, 1, 0);
    vhushmem_device *device = vhushmem_device_ref(r.device);
    rig_close(&r);
    EQ(vhushmem_device_mapping_count(device), 1);
    shows(r.region, 0, page, 1, 0);
    vhushmem_device_unref(device);

    /* Without the flag they go with the front-end, even if somebody holds the device. */
    rig_open(&r, 16 * page, NULL);
    fd = memfd_of(page, 1);
    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    close(fd);
    device = vhushmem_device_ref(r.device);
    rig_close(&r);
    EQ(vhushmem_device_mapping_count(device), 0);
    vhushmem_device_unref(device);
    return 0;
}
