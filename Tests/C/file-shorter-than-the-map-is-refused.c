/* SPDX-License-Identifier: BSD-3-Clause */
/* A map with a whole page beyond the end of its file is refused with EOVERFLOW. A partial last page is accepted. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_of(2 * page + 8, 1), empty = memfd_of(0, 2);
    rig_refuses(r, rig_map(r, fd, 0, 0, 4 * page, 0), -EOVERFLOW, hex(4 * page), hex(2 * page + 8));
    rig_refuses(r, rig_map(r, fd, 0, 0, 3 * page + 1, 0), -EOVERFLOW, hex(3 * page + 1));
    rig_refuses(r, rig_map(r, fd, 3 * page, 0, 1, 0), -EOVERFLOW, hex(3 * page));
    rig_refuses(r, rig_map(r, fd, page, 0, 3 * page, VHOST_USER_FLAG_MAP_RW), -EOVERFLOW, hex(3 * page));
    rig_refuses(r, rig_map(r, fd, BIT(40), 0, page, 0), -EOVERFLOW, hex(BIT(40)));
    rig_refuses(r, rig_map(r, empty, 0, 0, 1, 0), -EOVERFLOW);

    ok(rig_map(r, fd, 0, 0, 3 * page, 0));
    shows(r->region, 0, 2 * page, 1, 0);
    EQ(word_at(r->region, 2 * page), pattern(1, 2 * page));
    EQ(word_at(r->region, 2 * page + 8), 0);
    ok(rig_map(r, fd, 2 * page, 4 * page, 8, 0));
    EQ(word_at(r->region, 4 * page), pattern(1, 2 * page));
    ok(rig_map(r, fd, 2 * page, 5 * page, page, 0));
    close(fd);
    close(empty);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
