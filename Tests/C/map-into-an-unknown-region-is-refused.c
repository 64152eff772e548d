/* SPDX-License-Identifier: BSD-3-Clause */
/* A MAP or UNMAP that names a region the device does not have is answered with ENOENT. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 5, 16 * page);
    rig_connect(&r, NULL);
    EQ(r.shmid, 5);
    int fd = memfd_of(page, 1);
    static const uint8_t unknown[] = {0, 4, 6, 255};
    for (size_t i = 0; i < sizeof(unknown); i++) {
        rig_refuses(&r, wire_map(&r, unknown[i], fd, 0, 0, page, 0), -ENOENT);
        rig_refuses(&r, wire_unmap(&r, unknown[i], 0, page), -ENOENT);
        CHECK(vhushmem_device_find_region(r.device, unknown[i]) == NULL);
    }
    ok(wire_map(&r, 5, fd, 0, 0, page, 0));
    shows(r.region, 0, page, 1, 0);
    close(fd);
    rig_close(&r);
    return 0;
}
