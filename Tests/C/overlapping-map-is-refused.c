/* SPDX-License-Identifier: BSD-3-Clause */
/* A map that overlaps a live mapping by as little as one page is refused with EEXIST. The message says what is there. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_of(8 * page, 1);
    ok(rig_map(r, fd, page, 4 * page, 2 * page, 0));
    rig_refuses(r, rig_map(r, fd, 0, 4 * page, 2 * page, 0), -EEXIST, hex(4 * page), hex(2 * page));
    rig_refuses(r, rig_map(r, fd, 0, 4 * page, page, 0), -EEXIST, hex(4 * page));
    rig_refuses(r, rig_map(r, fd, 0, 5 * page, page, 0), -EEXIST, hex(5 * page), hex(4 * page));
    rig_refuses(r, rig_map(r, fd, 0, 3 * page, page + 1, 0), -EEXIST, hex(3 * page), hex(page + 1), hex(4 * page));
    rig_refuses(r, rig_map(r, fd, 0, 5 * page, 3 * page, 0), -EEXIST, hex(5 * page));
    rig_refuses(r, rig_map(r, fd, 0, 3 * page, 4 * page, 0), -EEXIST, hex(3 * page));
    rig_refuses(r, rig_map(r, fd, 0, 0, 8 * page, 0), -EEXIST, hex(8 * page));
    shows(r->region, 4 * page, 2 * page, 1, page);

    /* Neighbours do not overlap. */
    ok(rig_map(r, fd, 0, 3 * page, page, 0));
    ok(rig_map(r, fd, 0, 6 * page, page, 0));

    /* A mapping owns all of its last page. */
    ok(rig_map(r, fd, 0, 8 * page, 1, 0));
    rig_refuses(r, rig_map(r, fd, 0, 8 * page, page, 0), -EEXIST, hex(8 * page));
    close(fd);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
