/* SPDX-License-Identifier: BSD-3-Clause */
/* An unmap where nothing is mapped is refused with ENOENT. One that is not inside the region is refused with EINVAL. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_of(page, 1);
    rig_refuses(r, rig_unmap(r, 0, page), -ENOENT, hex(page));
    ok(rig_map(r, fd, 0, 4 * page, page, 0));
    rig_refuses(r, rig_unmap(r, 3 * page, page), -ENOENT, hex(3 * page));
    rig_refuses(r, rig_unmap(r, 5 * page, page), -ENOENT, hex(5 * page));
    ok(rig_unmap(r, 4 * page, page));
    rig_refuses(r, rig_unmap(r, 4 * page, page), -ENOENT, hex(4 * page));
    rig_refuses(r, rig_unmap(r, 16 * page, page), -EINVAL, hex(16 * page));
    rig_refuses(r, rig_unmap(r, 15 * page, 2 * page), -EINVAL, hex(15 * page));
    rig_refuses(r, rig_unmap(r, 0 - page, 2 * page), -EINVAL, hex(0 - page));
    close(fd);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
