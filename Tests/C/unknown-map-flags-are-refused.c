/* SPDX-License-Identifier: BSD-3-Clause */
/* A map with any flag but read-write is refused with EINVAL. */
#include "rig.h"

static void facts(rig *r)
{
    uint64_t page = PAGE;
    int fd = memfd_of(page, 1);
    for (int bit = 1; bit < 64; bit++) {
        uint64_t flags = BIT(bit) | (bit % 2 ? VHOST_USER_FLAG_MAP_RW : 0);
        rig_refuses(r, rig_map(r, fd, 0, 0, page, flags), -EINVAL);
    }
    rig_refuses(r, rig_map(r, fd, 0, 0, page, UINT64_MAX), -EINVAL);
    ok(rig_map(r, fd, 0, 0, page, VHOST_USER_FLAG_MAP_RW));
    close(fd);
}

int main(void)
{
    through_every_door(facts, 16 * PAGE, NULL, NULL);
    return 0;
}
