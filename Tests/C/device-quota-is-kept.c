/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's quota of mappings and bytes counts all its regions together. A map beyond it is refused with ENOSPC. */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    vhushmem_device_options limits = {.struct_size = sizeof(limits), .max_mappings = 3, .max_bytes = 6 * page};
    vhushmem_frontend_options options = {.struct_size = sizeof(options), .device = &limits};
    rig r;
    memset(&r, 0, sizeof(r));
    peer_init(&r.peer);
    peer_add_region(&r.peer, 0, 16 * page);
    peer_add_region(&r.peer, 200, 16 * page);
    rig_connect(&r, &options);
    vhushmem_region *other = some(vhushmem_device_find_region(r.device, 200));
    int fd = memfd_of(8 * page, 1);
    r.no_spare_page = true;
    ok(wire_map(&r, 0, fd, 0, 0, page, 0));
    ok(wire_map(&r, 200, fd, 0, 0, page, 0));
    ok(vhushmem_region_map(other, fd, 0, page, page, 0, &error));
    EQ(vhushmem_device_mapping_count(r.device), 3);
    EQ(vhushmem_device_mapped_bytes(r.device), 3 * page);
    rig_refuses(&r, wire_map(&r, 0, fd, 0, 8 * page, page, 0), -ENOSPC);
    rig_refuses(&r, wire_map(&r, 200, fd, 0, 8 * page, page, 0), -ENOSPC);
    rig_refuses(&r, vhushmem_region_map(other, fd, 0, 8 * page, page, 0, &error), -ENOSPC);
    ok(wire_unmap(&r, 200, 0, page));
    rig_refuses(&r, wire_map(&r, 0, fd, 0, 8 * page, 4 * page + 1, 0), -ENOSPC, hex(4 * page + 1), hex(6 * page));
    ok(wire_map(&r, 0, fd, 0, 8 * page, 4 * page, 0));
    EQ(vhushmem_device_unmap_all(r.device), 3);
    ok(wire_map(&r, 0, fd, 0, 0, 6 * page, 0));
    close(fd);
    rig_close(&r);
    return 0;
}
