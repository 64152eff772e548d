/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * If the exit does not tell the place, every hole of the region shows zeros from then on. At a second such fault, the cause
 * was not in this region.
 */
#include "rig.h"

int main(void)
{
    uint64_t page = PAGE;
    rig r;
    rig_open_plain(&r, 16 * page, NULL, NULL);
    int fd = memfd_of(4 * page, 1);
    ok(vhushmem_region_map(r.region, fd, 0, 4 * page, 4 * page, 0, &error));
    CHECK(!readable(vhushmem_region_window(r.region)));
    ok(vhushmem_resolve_guest_fault(r.region, VHUSHMEM_OFFSET_UNKNOWN, 8, VHUSHMEM_ACCESS_UNKNOWN, NULL));
    for (uint64_t at = 0; at < 16 * page; at += page) {
        EQ(word_at(r.region, at), at >= 4 * page && at < 8 * page ? pattern(1, at - 4 * page) : 0);
    }
    EQ(vhushmem_resolve_guest_fault(r.region, VHUSHMEM_OFFSET_UNKNOWN, 8, VHUSHMEM_ACCESS_UNKNOWN, NULL), -ENXIO);
    ok(vhushmem_region_unmap(r.region, 4 * page, 4 * page, &error));
    for (uint64_t at = 0; at < 16 * page; at += page) {
        EQ(word_at(r.region, at), 0);
    }
    rig_still_works(&r);
    EQ(word_at(r.region, 15 * page), 0);
    close(fd);
    rig_close(&r);

    /* A region that shows zeros from the beginning. */
    vhushmem_region_options options = {.struct_size = sizeof(options), .holes = VHUSHMEM_HOLES_ZERO};
    rig_open_plain(&r, 16 * page, NULL, &options);
    EQ(vhushmem_resolve_guest_fault(r.region, VHUSHMEM_OFFSET_UNKNOWN, 8, VHUSHMEM_ACCESS_UNKNOWN, NULL), -ENXIO);
    rig_close(&r);
    return 0;
}
