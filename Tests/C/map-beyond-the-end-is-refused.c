/* SPDX-License-Identifier: BSD-3-Clause */
/* A map that ends beyond the region is refused with EINVAL, and the message says where the region ends. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE, size = 16 * page;
    int fd = memfd_of(20 * page, 1);
    rig_refuses(r, rig_map(r, fd, 0, size, page, 0), -EINVAL, hex(size));
    rig_refuses(r, rig_map(r, fd, 0, size - page, page + 1, 0), -EINVAL, hex(size - page), hex(page + 1), hex(size));
    rig_refuses(r, rig_map(r, fd, 0, 0, size + 1, 0), -EINVAL, hex(size + 1), hex(size));
    rig_refuses(r, rig_map(r, fd, 0, 0, size + page, 0), -EINVAL, hex(size + page), hex(size));
    rig_refuses(r, rig_map(r, fd, 0, BIT(40), page, 0), -EINVAL, hex(BIT(40)), hex(size));

    /* The whole region is not beyond its end. */
    ok(rig_map(r, fd, 0, 0, size, 0));
    shows(r->region, 0, size, 1, 0);
    ok(rig_unmap(r, 0, size));
    close(fd);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
