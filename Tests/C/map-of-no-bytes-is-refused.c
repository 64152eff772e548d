/* SPDX-License-Identifier: BSD-3-Clause */
/* A map or unmap of 0 bytes is refused with EINVAL. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_of(page, 1);
    rig_refuses(r, rig_map(r, fd, 0, 0, 0, 0), -EINVAL);
    rig_refuses(r, rig_map(r, fd, 0, 16 * page, 0, 0), -EINVAL);
    rig_refuses(r, rig_map(r, fd, page, page, 0, VHOST_USER_FLAG_MAP_RW), -EINVAL, hex(page));
    ok(rig_map(r, fd, 0, 0, page, 0));
    rig_refuses(r, rig_unmap(r, 0, 0), -EINVAL);
    ok(rig_unmap(r, 0, page));
    close(fd);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
