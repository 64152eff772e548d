/* SPDX-License-Identifier: BSD-3-Clause */
/* A map whose end wraps around 2^64 is refused with EINVAL (in the region) or EOVERFLOW (in the file). */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE, top = 0 - page;
    int fd = memfd_of(2 * page, 1);
    rig_refuses(r, rig_map(r, fd, 0, top, page, 0), -EINVAL, hex(top), hex(page));
    rig_refuses(r, rig_map(r, fd, 0, top, 2 * page, 0), -EINVAL, hex(top), hex(2 * page));
    rig_refuses(r, rig_map(r, fd, 0, page, UINT64_MAX, 0), -EINVAL, hex(UINT64_MAX));
    rig_refuses(r, rig_map(r, fd, 0, 0, UINT64_MAX, 0), -EINVAL, hex(UINT64_MAX));
    rig_refuses(r, rig_map(r, fd, 0, page, top, 0), -EINVAL, hex(top));
    rig_refuses(r, rig_map(r, fd, 0, BIT(63), BIT(63), 0), -EINVAL, hex(BIT(63)));
    rig_refuses(r, rig_map(r, fd, top, 0, page, 0), -EOVERFLOW);
    rig_refuses(r, rig_map(r, fd, top, 0, 2 * page, 0), -EOVERFLOW);
    rig_refuses(r, rig_map(r, fd, BIT(63), 0, page, 0), -EOVERFLOW);
    close(fd);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
