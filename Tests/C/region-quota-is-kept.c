/* SPDX-License-Identifier: BSD-3-Clause */
/* A region takes as many mappings and bytes as its quota says. The next map is refused with ENOSPC, and fits after one has
   gone. */
#include "rig.h"

static vhushmem_region_options options = {.struct_size = sizeof(options), .max_mappings = 3};

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_of(8 * page, 1);
    r->no_spare_page = true;
    ok(rig_map(r, fd, 0, 0, page, 0));
    ok(rig_map(r, fd, 0, page, page, 0));
    ok(rig_map(r, fd, 0, 2 * page, 2 * page - 1, 0)); /* bytes are counted in whole pages */
    EQ(vhushmem_region_mapped_bytes(r->region), 4 * page);
    rig_refuses(r, rig_map(r, fd, 0, 8 * page, page, 0), -ENOSPC);
    ok(rig_unmap(r, 0, page));
    ok(rig_map(r, fd, 0, 8 * page, page, 0));
    ok(rig_unmap(r, 8 * page, page));
    ok(rig_unmap(r, page, page));

    /* One mapping of two pages is left: now the bytes. */
    uint64_t rest = options.max_bytes - 2 * page;
    rig_refuses(r, rig_map(r, fd, 0, 8 * page, rest + 1, 0), -ENOSPC, hex(rest + 1), hex(options.max_bytes));
    ok(rig_map(r, fd, 0, 8 * page, rest, 0));
    rig_refuses(r, rig_map(r, fd, 0, 0, page, 0), -ENOSPC);
    close(fd);
}

int main(void)
{
    options.max_bytes = 6 * PAGE;
    through_every_door(facts, 16 * PAGE, NULL, &options);
    return 0;
}
