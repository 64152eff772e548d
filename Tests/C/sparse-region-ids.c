/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions are found at the ids where GET_SHMEM_CONFIG has sizes, with gaps between them, and each is a window of its own. */
#include "rig.h"

int main(void)
{
    static const uint8_t ids[] = {1, 7, 128, 255};
    uint64_t page = PAGE;
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    for (size_t i = 0; i < 4; i++) {
        peer_add_region(&r.peer, ids[i], (i + 1) * 4 * page);
    }
    rig_connect(&r, NULL);
    uint8_t seen[256] = {0};
    EQ(vhushmem_device_region_ids(r.device, seen, sizeof(seen)), 4);
    CHECK(memcmp(seen, ids, 4) == 0);
    seen[2] = 99;
    EQ(vhushmem_device_region_ids(r.device, seen, 2), 4);
    EQ(seen[2], 99);
    int fd = memfd_of(page, 1);
    for (unsigned id = 0; id < 256; id++) {
        vhushmem_region *region = vhushmem_device_find_region(r.device, (uint8_t)id);
        const uint8_t *at = memchr(ids, (int)id, 4);
        CHECK((region != NULL) == (at != NULL));
        if (region != NULL) {
            EQ(vhushmem_region_id(region), id);
            EQ(vhushmem_region_size(region), (uint64_t)(at - ids + 1) * 4 * page);
            ok(wire_map(&r, (uint8_t)id, fd, 0, page, page, 0));
            shows(region, page, page, 1, 0);
            EQ(vhushmem_region_mapping_count(region), 1);
        }
    }
    EQ(vhushmem_device_mapping_count(r.device), 4);
    close(fd);
    rig_close(&r);
    return 0;
}
