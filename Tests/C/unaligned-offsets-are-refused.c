/* SPDX-License-Identifier: BSD-3-Clause */
/* A map whose shm_offset or fd_offset is no multiple of the page is refused with EINVAL. Its length may be any. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_of(8 * page, 1);
    const uint64_t off[] = {1, 8, 512, page - 1, page + 1, 3 * page / 2};
    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
        rig_refuses(r, rig_map(r, fd, 0, off[i], page, 0), -EINVAL, hex(off[i]));
        rig_refuses(r, rig_map(r, fd, off[i], 0, page, 0), -EINVAL, hex(off[i]));
        rig_refuses(r, rig_map(r, fd, off[i], off[i], page, 0), -EINVAL);
        ok(rig_map(r, fd, page, page, off[i], 0));
        EQ(vhushmem_region_mapped_bytes(r->region), (off[i] + page - 1) / page * page);
        shows(r->region, page, (off[i] + page - 1) / page * page, 1, page);
        ok(rig_unmap(r, page, off[i]));
    }
    close(fd);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
